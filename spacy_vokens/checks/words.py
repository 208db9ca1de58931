"""Check whether the vokens of a corpus show their words."""

from __future__ import annotations

from collections.abc import Sequence

from spacy.language import Language

from ..attributes import get_token_values
from ..images.pool import ImagePool
from ..scoring.image_texts import recorded_texts
from ..scoring.word_hit import MIN_IMAGES, WordHit, image_stems, word_hit
from ..stems import stemmer_of
from .report import Message, Row, Section, table
from .splits import Split

TITLE = "Word-hit"


def check_word_hit(
    splits: Sequence[Split], pool: ImagePool, nlp: Language | None = None
) -> Section | None:
    """Count the words whose voken has a text with that word.

    Args:
        splits: The splits of a corpus.
        pool: Where the vokens come from. Other vokens count as misses.
        nlp: A pipeline of the corpus's language. The documents need its vocabulary.

    Returns:
        The section; None if the corpus has no vokens, or the pool no texts.
    """
    has_texts = any(pool.texts)
    docs = (doc for split in splits for doc in split.docs)
    if not has_texts or not any(any(get_token_values(doc, "voken")) for doc in docs):
        return None
    if nlp is None:
        text = "No language was named, so words are not compared with the texts of their images"
        return Section(TITLE, (), (Message("info", text, "Name it with --lang."),))
    stem_of = stemmer_of(nlp.lang)
    stems = image_stems(recorded_texts(pool.records, nlp), stem_of)
    rows: list[Row] = []
    messages = []
    for split in splits:
        found = word_hit(split.docs, stems, n_images=len(pool), stem_of=stem_of)
        if found is None:
            text = f"{split.name}: no word is in the texts of at least {MIN_IMAGES} images"
            messages.append(Message("info", text))
        else:
            rows.append((split.name, *_cells(found)))
    header = ("Split", "Content words", "Stems", "Hits", "Chance", "Macro", "Without", "Stop words")
    tables = (table(header, rows),) if rows else ()
    return Section(TITLE, tables, tuple(messages))


def _cells(found: WordHit) -> Row:
    stop_coverage = found.stop_coverage
    return (
        found.content_words,
        found.content_stems,
        f"{found.word_hit:.1%}",
        f"{found.word_hit_chance:.1%}",
        f"{found.word_hit_macro:.1%}",
        f"{found.content_without:.1%}",
        "-" if stop_coverage is None else f"{stop_coverage:.1%}",
    )
