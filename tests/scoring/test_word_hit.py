from __future__ import annotations

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_vokens.attributes import set_token_values
from spacy_vokens.scoring.word_hit import image_stems, word_hit
from spacy_vokens.stems import stemmer_of

ENGLISH = spacy.blank("en").vocab
# A language without stop words.
ANY = spacy.blank("xx").vocab
STEM = stemmer_of("en")


def make_doc(words, vokens=None, *, own=None, rankings=None, vocab=ENGLISH):
    doc = Doc(vocab, words.split())
    doc._.visual_image_id = own
    if vokens is not None:
        set_token_values(doc, "voken", vokens)
    if rankings is not None:
        set_token_values(doc, "vokens", rankings)
    return doc


def make_stems(vocab=ENGLISH, **texts):
    return image_stems(((name, make_doc(text, vocab=vocab)) for name, text in texts.items()), STEM)


def test_the_figures_of_a_small_corpus():
    stems = make_stems(a="dogs run", b="the dog sits", c="cat", d="a cat and a dog")
    docs = [
        # Hit, stop word without a voken, miss, in no text.
        make_doc("Dogs the cat cow", ["a", None, "a", "a"]),
        # Hit, stop word with a voken, miss without a voken, not a word.
        make_doc("dog of cats 2nd", ["d", "c", None, "a"]),
        # Hit; stop words of both kinds.
        make_doc("dogs with the", ["b", "a", None]),
    ]
    found = word_hit(docs, stems, n_images=8, stem_of=STEM, min_images=2)
    assert found.to_dict() == {
        "voken_word_hit": 3 / 5,
        # All of "dog", none of "cat".
        "voken_word_hit_macro": 1 / 2,
        # Three of eight images show "dog", two show "cat".
        "voken_word_hit_chance": pytest.approx((3 * 3 / 8 + 2 * 2 / 8) / 5),
        "voken_word_hit_macro_chance": (3 / 8 + 2 / 8) / 2,
        "voken_content_words": 5,
        "voken_content_stems": 2,
        "voken_content_without": 1 / 5,
        "voken_stop_coverage": 1 / 2,
    }


def test_a_rare_word_is_no_content_word():
    stems = make_stems(a="dog", b="dogs", c="dog cat")
    doc = make_doc("dog cat", ["a", "a"])
    for min_images, n_words in ((1, 2), (2, 1), (3, 1)):
        found = word_hit([doc], stems, n_images=3, stem_of=STEM, min_images=min_images)
        assert found.content_words == n_words
    assert word_hit([doc], stems, n_images=3, stem_of=STEM, min_images=4) is None
    assert word_hit([doc], stems, n_images=3, stem_of=STEM) is None
    assert word_hit([], stems, n_images=3, stem_of=STEM, min_images=1) is None


def test_several_texts_of_an_image_are_one_image():
    texts = [("a", make_doc("a dog")), ("a", make_doc("dogs run")), ("b", make_doc("dog !"))]
    stems = image_stems(texts, STEM)
    assert stems == {"a": {"dog", "run"}, "b": {"dog"}}
    assert word_hit([make_doc("dog", ["a"])], stems, n_images=2, stem_of=STEM, min_images=3) is None


def test_an_image_without_texts_is_a_miss():
    found = word_hit(
        [make_doc("dog dog", ["a", "unknown"])],
        make_stems(a="dog"),
        n_images=2,
        stem_of=STEM,
        min_images=1,
    )
    assert (found.word_hit, found.word_hit_chance, found.content_without) == (0.5, 0.5, 0.0)


@pytest.mark.parametrize(
    ("rankings", "hits"),
    [
        # The next best image is a hit, or a miss.
        ([["own", 0.9], ["a", 0.8]], [1]),
        ([["own", 0.9], ["b", 0.8], ["a", 0.7]], [0]),
        # It is not known.
        ([["own", 0.9]], []),
        (None, []),
    ],
)
def test_the_documents_own_image_does_not_count(rankings, hits):
    stems = make_stems(own="dog", a="dog", b="cat")
    doc = make_doc("dog", ["own"], own="own", rankings=[rankings])
    found = word_hit([doc], stems, n_images=3, stem_of=STEM, min_images=1)
    assert ([] if found is None else [found.word_hit]) == hits


def test_a_language_without_stop_words_has_no_coverage_of_them():
    stems = make_stems(vocab=ANY, a="the dog")
    doc = make_doc("The dog", ["a", "a"], vocab=ANY)
    found = word_hit([doc], stems, n_images=1, stem_of=STEM, min_images=1)
    assert found.stop_coverage is None
    assert found.content_words == 2


def test_words_of_any_script():
    german = spacy.blank("de").vocab
    stem = stemmer_of("de")
    stems = image_stems([("a", make_doc("Zwei Hunde", vocab=german))], stem)
    doc = make_doc("Der Hund", [None, "a"], vocab=german)
    found = word_hit([doc], stems, n_images=1, stem_of=stem, min_images=1)
    assert (found.word_hit, found.content_words, found.stop_coverage) == (1.0, 1, 0.0)
    stems = make_stems(vocab=ANY, a="犬 が")
    doc = make_doc("犬", ["a"], vocab=ANY)
    assert word_hit([doc], stems, n_images=1, stem_of=STEM, min_images=1).word_hit == 1.0


def test_a_vocabulary_of_no_language_has_no_words():
    doc = make_doc("dog", ["a"], vocab=Vocab())
    assert word_hit([doc], make_stems(a="dog"), n_images=1, stem_of=STEM, min_images=1) is None


WORDS = st.lists(st.sampled_from(("dog", "Dogs", "cat", "running", "the", "of", "!", "7")))
TEXTS = st.dictionaries(st.sampled_from("abcdef"), WORDS.map(" ".join), min_size=1)


@given(TEXTS)
def test_the_words_of_an_images_own_texts_are_hits(texts):
    docs = [make_doc(text, [name] * len(text.split())) for name, text in texts.items()]
    found = word_hit(docs, make_stems(**texts), n_images=len(texts), stem_of=STEM, min_images=1)
    if found is not None:
        assert (found.word_hit, found.word_hit_macro, found.content_without) == (1.0, 1.0, 0.0)


@given(st.sets(st.sampled_from("abcdef"), min_size=1), WORDS)
def test_chance_is_one_if_all_images_have_the_words(names, words):
    text = " ".join(words)
    stems = make_stems(**dict.fromkeys(names, text))
    docs = [make_doc(text, [None] * len(words))]
    found = word_hit(docs, stems, n_images=len(names), stem_of=STEM, min_images=1)
    if found is not None:
        assert (found.word_hit_chance, found.word_hit_macro_chance) == pytest.approx((1.0, 1.0))
        assert (found.word_hit, found.content_without) == (0.0, 1.0)


@given(TEXTS, st.data())
def test_all_figures_are_shares(texts, data):
    vokens = st.sampled_from([*texts, "other", None])
    docs = []
    for text in texts.values():
        n_words = len(text.split())
        of_words = data.draw(st.lists(vokens, min_size=n_words, max_size=n_words))
        docs.append(make_doc(text, of_words, own=data.draw(vokens)))
    found = word_hit(docs, make_stems(**texts), n_images=9, stem_of=STEM, min_images=1)
    if found is not None:
        figures = found.to_dict()
        n_words, n_stems = figures.pop("voken_content_words"), figures.pop("voken_content_stems")
        assert 1 <= n_stems <= n_words
        assert all(x is None or 0 <= x <= 1 + 1e-9 for x in figures.values())
        assert found.word_hit + found.content_without <= 1 + 1e-9
