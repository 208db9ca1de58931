from __future__ import annotations

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span

from spacy_vokens.extensions import get_token_values, set_token_values
from spacy_vokens.visualize.documents import choose_documents, read_documents


@pytest.fixture
def nlp():
    return spacy.blank("en")


def test_text_file_has_one_text_a_line(tmp_path, nlp):
    path = tmp_path / "texts.txt"
    path.write_text("\ufeffOne cat.\r\n\n  \nTwo\u2028dogs", encoding="utf-8", newline="")
    assert [doc.text for doc in read_documents(path, nlp)] == ["One cat.", "Two\u2028dogs"]


def test_corpus_keeps_tokens_and_attributes_but_not_entities(tmp_path, nlp):
    doc = Doc(nlp.vocab, ["Don't", "see", "N.Y.", "!"], spaces=[True, True, False, False])
    doc.ents = [Span(doc, 2, 3, "LOC")]
    doc._.image_id, doc._.raw_tags = "7.jpg", ["O", "O", "B-LOC", "O"]
    set_token_values(doc, "voken", ["a", None, "b", "c"])
    path = tmp_path / "corpus.spacy"
    DocBin(store_user_data=True, docs=[doc]).to_disk(path)

    (read,) = read_documents(path, nlp)

    assert [token.text_with_ws for token in read] == ["Don't ", "see ", "N.Y.", "!"]
    assert read.ents == ()
    assert read._.image_id == "7.jpg"
    assert list(read._.raw_tags) == ["O", "O", "B-LOC", "O"]
    assert get_token_values(read, "voken") == ["a", None, "b", "c"]


@pytest.mark.parametrize(
    ("name", "content", "message"), [("a.csv", "x", "neither"), ("a.txt", "\n \n", "no document")]
)
def test_unusable_files_are_refused_by_name(tmp_path, nlp, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match=f"{name}.*{message}"):
        read_documents(path, nlp)


@pytest.mark.parametrize("content", [b"a\ncaf\xe9", b"a\nb\0", b"a\n" + b"x" * 1_000_001])
def test_files_that_are_no_text_are_refused_by_line(tmp_path, nlp, content):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.txt, line 2: "):
        read_documents(path, nlp)


def test_choice_is_the_first_or_a_draw_by_seed(nlp):
    docs = [nlp(str(number)) for number in range(50)]
    assert choose_documents(docs, 3, None) == docs[:3]
    assert choose_documents(docs, 99, 0) == docs
    drawn = choose_documents(docs, 5, 0)
    assert drawn == choose_documents(docs, 5, 0)
    assert drawn != choose_documents(docs, 5, 1)
    rows = [docs.index(doc) for doc in drawn]
    assert rows == sorted(set(rows)) != list(range(5))
