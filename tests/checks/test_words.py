from __future__ import annotations

import pytest
import spacy
from spacy.tokens import Doc

from spacy_vokens.attributes import set_token_values
from spacy_vokens.checks.corpus import check_splits
from spacy_vokens.checks.splits import Split
from spacy_vokens.checks.words import check_word_hit
from tests.checks.made import find, texts


@pytest.fixture(scope="module")
def nlp():
    return spacy.blank("en")


@pytest.fixture
def captioned(make_pool):
    """A pool of six images. All but the last have a text with "dogs"."""
    pool = make_pool()
    for record in pool.records[:-1]:
        vars(record)["texts"] = ("two dogs", "a cat") if record.id == "cat" else ("two dogs",)
    return pool


def make_split(nlp, name, words, vokens):
    doc = Doc(nlp.vocab, words.split())
    set_token_values(doc, "voken", vokens)
    return Split(name, [doc])


def test_words_are_compared_with_the_texts_of_their_images(nlp, captioned):
    splits = [
        make_split(
            nlp, "train", "the dog dogs dog Dog !", ["egg", "cat", "fish", None, "egg", None]
        ),
        make_split(nlp, "dev", "dog", ["egg"]),
        make_split(nlp, "test", "a cat", [None, "cat"]),
    ]
    section = check_word_hit(splits, captioned, nlp)
    assert texts(section.tables[0]) == [
        ["train", "4", "1", "50.0%", "83.3%", "50.0%", "25.0%", "100.0%"],
        ["dev", "1", "1", "100.0%", "83.3%", "100.0%", "0.0%", "-"],
    ]
    (info,) = find(section, "info")
    assert info.startswith("test: no word is in the texts of at least 5 images")
    assert len(section.tables[0].header) == len(texts(section.tables[0])[0])
    assert section in check_splits(splits, pool=captioned, nlp=nlp)
    assert check_word_hit(splits[2:], captioned, nlp).tables == ()


def test_without_a_language_one_line_says_how_to_measure(nlp, captioned):
    splits = [make_split(nlp, "train", "dog", ["egg"])]
    section = check_word_hit(splits, captioned)
    assert section.tables == ()
    (info,) = find(section, "info")
    assert "--lang" in info


def test_without_texts_or_vokens_there_is_nothing_to_say(nlp, captioned, pool):
    splits = [make_split(nlp, "train", "dog", ["egg"])]
    assert check_word_hit(splits, pool, nlp) is None
    assert check_word_hit([make_split(nlp, "train", "dog", [None])], captioned, nlp) is None
    assert "Word-hit" not in [section.title for section in check_splits(splits, pool=pool, nlp=nlp)]
