from __future__ import annotations

import pytest
from spacy.vocab import Vocab

from spacy_vokens.corpus.docbin import load_docs, save_docs
from spacy_vokens.extensions import get_token_values
from spacy_vokens.metrics.ner import bio_tags


def test_documents_come_back_whole(make_docs, tmp_path):
    docs = make_docs()
    save_docs(docs, tmp_path / "made" / "a.spacy")
    loaded = load_docs(str(tmp_path / "made" / "a.spacy"), Vocab())
    assert [doc.text_with_ws for doc in loaded] == [doc.text_with_ws for doc in docs]
    assert [[t.idx for t in doc] for doc in loaded] == [[t.idx for t in doc] for doc in docs]
    assert [bio_tags(doc) for doc in loaded] == [bio_tags(doc) for doc in docs]
    first = loaded[0]
    assert first._.image_id == "17_06_1"
    assert first._.voken_index == "index"
    assert list(first._.raw_tags) == docs[0]._.raw_tags
    assert get_token_values(first, "voken") == ["a", "b", None, None, "c"]
    assert [list(entry) for entry in first[0]._.vokens] == [["a", 0.5]]


def test_a_folder_is_read_in_the_order_of_its_paths(make_docs, tmp_path):
    annotated, bare, _ = make_docs()
    save_docs([annotated], tmp_path / "b.spacy")
    save_docs([bare], tmp_path / "a" / "z.spacy")
    (tmp_path / "notes.txt").write_text("not a corpus")
    assert [doc.text for doc in load_docs(tmp_path, Vocab())] == [bare.text, annotated.text]


def test_a_failed_write_leaves_the_older_file_and_nothing_else(make_docs, tmp_path):
    path = tmp_path / "a.spacy"
    save_docs(make_docs(), path)
    before = path.read_bytes()

    def stop():
        yield from make_docs()
        raise RuntimeError("stopped half way")

    with pytest.raises(RuntimeError, match="half way"):
        save_docs(stop(), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_missing_and_damaged_files_are_named(make_docs, tmp_path):
    for missing in (tmp_path / "missing.spacy", tmp_path):
        with pytest.raises(FileNotFoundError, match="Can't find the corpus") as error:
            load_docs(missing, Vocab())
        assert str(missing) in str(error.value)
    path = tmp_path / "a.spacy"
    save_docs(make_docs(), path)
    for content in (b"a\tO\n", b"", path.read_bytes()[:-20]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"is no \.spacy corpus, or is damaged") as damage:
            load_docs(path, Vocab())
        assert str(path) in str(damage.value)
