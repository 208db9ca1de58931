from __future__ import annotations

import pytest
import spacy

from spacy_vokens.corpus.docbin import save_docs
from spacy_vokens.files import VokensError
from spacy_vokens.images.pool import ImageRecord
from spacy_vokens.scoring.image_texts import find_texts
from tests.conftest import LANG

RECORDS = [
    ImageRecord("a", "a.png", "0" * 64, 8, 8, texts=("a cat !", "two cats")),
    ImageRecord("b", "b.png", "0" * 64, 8, 8),
]


@pytest.fixture
def nlp():
    return spacy.blank(LANG)


@pytest.fixture
def save(nlp, tmp_path):
    def save(name, **captions):
        docs = [nlp("no image"), *map(nlp, captions.values())]
        for doc, image_id in zip(docs[1:], captions, strict=True):
            doc._.visual_image_id = image_id
        save_docs(docs, tmp_path / name)
        return tmp_path / name

    return save


def words(texts):
    return [(image_id, [token.text for token in doc]) for image_id, doc in texts]


def test_captions_that_are_given_come_first_then_records_then_the_files_beside(nlp, save):
    corpus = save("dev.spacy", c="a cow")
    save("train.spacy", d="the dog")
    save("deeper/test.spacy", e="an egg")
    given = save("given/all.spacy", f="a fish")
    fish, cow, dog = ("f", ["a", "fish"]), ("c", ["a", "cow"]), ("d", ["the", "dog"])
    assert words(find_texts(nlp, RECORDS, corpus, [given])) == [fish]
    assert words(find_texts(nlp, RECORDS, corpus, [given.parent, corpus])) == [fish, cow]
    recorded = [("a", ["a", "cat", "!"]), ("a", ["two", "cats"])]
    assert words(find_texts(nlp, RECORDS, corpus)) == recorded
    assert words(find_texts(nlp, RECORDS[1:], corpus)) == [cow, dog]


def test_only_a_file_that_was_not_named_may_be_damaged(nlp, save, caplog):
    corpus = save("dev.spacy", c="a cow")
    damaged = corpus.with_name("damaged.spacy")
    damaged.write_bytes(b"x")
    assert words(find_texts(nlp, [], corpus)) == [("c", ["a", "cow"])]
    assert "damaged.spacy is not a .spacy corpus" in caplog.text
    with pytest.raises(VokensError, match=r"damaged\.spacy is not a \.spacy corpus"):
        find_texts(nlp, [], corpus, [damaged])
    with pytest.raises(FileNotFoundError, match="missing"):
        find_texts(nlp, [], corpus, [corpus.with_name("missing.spacy")])
