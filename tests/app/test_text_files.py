from __future__ import annotations

import json

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc, Span

from spacy_vokens.app import text_files
from spacy_vokens.app.text_files import read_texts, to_record
from spacy_vokens.attributes import set_token_values
from tests.conftest import LANG


def test_texts_and_records() -> None:
    assert read_texts("a.txt", "\ufeffOne.\r\n\n Two \u2028".encode()) == ["One.", "Two"]
    lines = b'{"text": "One", "id": 1}\n\n{"text": "Two\\nlines"}\n'
    assert read_texts("a.JSONL", lines) == ["One", "Two\nlines"]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.pdf", b"x", "neither a .txt file nor a .jsonl file"),
        ("txt", b"\n", "has no texts"),
        ("a.txt", b"caf\xe9", "not UTF-8"),
        ("a.jsonl", b'{"text": "a"}\n["b"]', "line 2: expected"),
        ("a.jsonl", b'{"text": 1}', "line 1: expected"),
        ("a.jsonl", b"[" * 100_000, "line 1: expected"),
    ],
)
def test_what_is_no_list_of_texts_is_named(name, data, reason) -> None:
    with pytest.raises(ValueError, match=reason) as error:
        read_texts(name, data)
    assert name in str(error.value)
    assert len(str(error.value)) < 200


def test_too_many_texts(monkeypatch) -> None:
    monkeypatch.setattr(text_files, "MAX_TEXTS", 2)
    assert len(read_texts("a.txt", b"a\nb")) == 2
    with pytest.raises(ValueError, match="reads at most 2"):
        read_texts("a.txt", b"a\nb\nc")


@given(st.binary(max_size=60), st.sampled_from(["a.txt", "a.jsonl"]))
def test_any_bytes_are_read_or_refused(data, name) -> None:
    try:
        texts = read_texts(name, data)
    except ValueError:
        return
    assert texts
    assert all(isinstance(text, str) for text in texts)


def test_a_document_as_json() -> None:
    doc = Doc(spacy.blank(LANG).vocab, words=["see", "Ann"])
    doc.ents = [Span(doc, 1, 2, "PER")]
    doc.ents[0]._.visual_confidence = 0.5
    set_token_values(doc, "voken", [None, "cat"])
    set_token_values(doc, "voken_score", [None, 0.25])
    record = json.loads(json.dumps(to_record(doc)))
    assert record["ents"] == [
        {"start": 4, "end": 7, "label": "PER", "text": "Ann", "confidence": 0.5, "voken": "cat"}
    ]
    assert record["tokens"] == [
        {"text": "see", "voken": None, "score": None, "gate": None},
        {"text": "Ann", "voken": "cat", "score": 0.25, "gate": None},
    ]
