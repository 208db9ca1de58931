from __future__ import annotations

import spacy
from spacy.tokens import Doc

from spacy_vokens.extensions import get_token_values


def test_every_token_gets_the_documents_picture() -> None:
    nlp = spacy.blank("en")
    give = nlp.add_pipe("given_image")
    doc = Doc(nlp.vocab, words=["a", "cat"])
    doc._.image_id = "cat"
    assert get_token_values(give(doc), "voken") == ["cat", "cat"]
    assert doc._.voken_index == "given"


def test_documents_without_a_picture_lose_their_vokens() -> None:
    nlp = spacy.blank("en")
    give = nlp.add_pipe("given_image")
    doc = Doc(nlp.vocab, words=["a", "cat"])
    doc[0]._.voken, doc[0]._.voken_score = "dog", 0.5
    give(doc)
    assert get_token_values(doc, "voken") == [None, None]
    assert get_token_values(doc, "voken_score") == [None, None]
    assert len(nlp("")) == 0


def test_round_trip() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("given_image")
    other = spacy.blank("en", config=nlp.config).from_bytes(nlp.to_bytes())
    assert other.pipe_names == ["given_image"]
