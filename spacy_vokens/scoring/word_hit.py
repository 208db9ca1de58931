"""Word-hit: how often the image of a word has a text, such as a caption, with that word.

A *content word* is alphabetic, is not a stop word, and its stem is in the texts of several images.
Rare words are left out, because chance alone decides whether a pool has an image of them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from spacy.tokens import Doc
from spacy.vocab import Vocab

from ..attributes import get_token_values

MIN_IMAGES = 5


@dataclass(frozen=True)
class WordHit:
    """How well vokens show their words. All shares are from 0 to 1.

    Attributes:
        word_hit: Share of the content words whose voken has a text with the word's stem.
        word_hit_macro: Mean over the stems of each stem's share, so that frequent words do not
            outweigh the others.
        word_hit_chance: What `word_hit` would be if every voken were drawn at random.
        word_hit_macro_chance: The same for `word_hit_macro`.
        content_words: Number of content words.
        content_stems: Number of their stems.
        content_without: Share of the content words without a voken. They count as misses.
        stop_coverage: Share of the stop words that have a voken; None if there are no stop words.
    """

    word_hit: float
    word_hit_macro: float
    word_hit_chance: float
    word_hit_macro_chance: float
    content_words: int
    content_stems: int
    content_without: float
    stop_coverage: float | None

    def to_dict(self) -> dict[str, float | int | None]:
        """Return the figures by their names as scores, such as `voken_word_hit`."""
        return {f"voken_{name}": value for name, value in vars(self).items()}


class _Forms:
    """Looks up forms of words, each of them once.

    Args:
        stem_of: Returns the stem of a word.
    """

    def __init__(self, stem_of: Callable[[str], str]) -> None:
        self._stem_of = stem_of
        self._found: dict[int, tuple[str | None, bool]] = {}

    def look_up(self, vocab: Vocab, orth: int) -> tuple[str | None, bool]:
        """Return the stem, or None if it cannot be a content word, and if it is a stop word."""
        if (found := self._found.get(orth)) is None:
            lexeme = vocab[orth]
            can_be_content = lexeme.is_alpha and not lexeme.is_stop
            stem = self._stem_of(lexeme.text) if can_be_content else None
            found = self._found[orth] = stem, lexeme.is_stop
        return found


def image_stems(
    texts: Iterable[tuple[str, Doc]], stem_of: Callable[[str], str]
) -> dict[str, set[str]]:
    """Collect the stems in the texts of each image.

    Args:
        texts: Ids of images, each with a text. An image may have several.
        stem_of: Returns the stem of a word, for instance `spacy_vokens.stems.stemmer_of("en")`.

    Returns:
        The stems of the alphabetic words that are not stop words, by image id.
    """
    forms = _Forms(stem_of)
    stems: defaultdict[str, set[str]] = defaultdict(set)
    for image_id, doc in texts:
        found = (forms.look_up(doc.vocab, orth)[0] for orth in doc.to_array("ORTH").tolist())
        stems[image_id].update(stem for stem in found if stem is not None)
    return dict(stems)


@dataclass
class _Tally:
    """What was counted of the content words of one stem."""

    words: int = 0
    hits: int = 0
    without: int = 0


def word_hit(
    docs: Iterable[Doc],
    stems: Mapping[str, Collection[str]],
    *,
    n_images: int,
    stem_of: Callable[[str], str],
    min_images: int = MIN_IMAGES,
) -> WordHit | None:
    """Measure how often the voken of a word has a text with that word.

    The image that came with a document does not count, because the document may be one of its
    texts: the next best image in `Token._.vokens` is taken. If it is not known, the word is left
    out.

    Args:
        docs: Documents with vokens.
        stems: The stems in the texts of each image, from `image_stems`. An image that is not there
            has no text and is never a hit.
        n_images: Number of images that the vokens were chosen from, for chance.
        stem_of: Returns the stem of a word; the same as for `stems`.
        min_images: A content word's stem is in the texts of at least so many images.

    Returns:
        The measure; None if the documents have no content words.
    """
    images_of = Counter(stem for of_image in stems.values() for stem in of_image)
    forms = _Forms(stem_of)
    tallies: defaultdict[str, _Tally] = defaultdict(_Tally)
    n_stops = n_stops_with = 0
    for doc in docs:
        own = doc._.visual_image_id
        orths = doc.to_array("ORTH").tolist()
        vokens = get_token_values(doc, "voken")
        rankings = get_token_values(doc, "vokens")
        for orth, voken, ranking in zip(orths, vokens, rankings, strict=True):
            stem, is_stop = forms.look_up(doc.vocab, orth)
            if is_stop:
                n_stops += 1
                n_stops_with += voken is not None
            if stem is None or images_of[stem] < min_images:
                continue
            if voken is not None and voken == own:
                voken = next((image_id for image_id, _ in ranking or () if image_id != own), None)
                if voken is None:
                    continue
            tally = tallies[stem]
            tally.words += 1
            tally.hits += stem in stems.get(voken, ())
            tally.without += voken is None
    if not tallies:
        return None
    n_words = sum(tally.words for tally in tallies.values())
    shares = {stem: images_of[stem] / n_images for stem in tallies}
    return WordHit(
        word_hit=sum(tally.hits for tally in tallies.values()) / n_words,
        word_hit_macro=sum(t.hits / t.words for t in tallies.values()) / len(tallies),
        word_hit_chance=sum(t.words * shares[stem] for stem, t in tallies.items()) / n_words,
        word_hit_macro_chance=sum(shares.values()) / len(tallies),
        content_words=n_words,
        content_stems=len(tallies),
        content_without=sum(tally.without for tally in tallies.values()) / n_words,
        stop_coverage=n_stops_with / n_stops if n_stops else None,
    )
