from __future__ import annotations

from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc

from spacy_vokens.attributes import set_token_values
from spacy_vokens.corpus.docbin import save_docs
from spacy_vokens.visualize.voken_usage import VokenUsage, read_usage
from tests.conftest import LANG

VOCAB = spacy.blank(LANG).vocab


def make_doc(text: str, vokens: list[str | None], index: str | None = None) -> Doc:
    doc = Doc(VOCAB, text.split())
    set_token_values(doc, "voken", vokens)
    doc._.voken_index = index
    return doc


def write(path: Path, *docs: Doc) -> Path:
    save_docs(docs, path)
    return path


DOCS = (
    make_doc("A dog saw a Dog", ["cat", "dog", "cat", "cat", "dog"]),
    make_doc("dogs , dogs", ["dog", None, "dog"]),
    make_doc("Egg", ["egg"]),
)


def test_tokens_are_counted_by_voken_and_by_word(tmp_path, pool):
    corpora = [write(tmp_path / "a.spacy", *DOCS[:2]), write(tmp_path / "b.spacy", DOCS[2])]
    for usage in (VokenUsage.of_docs(DOCS), read_usage(corpora, pool)):
        assert (usage.n_tokens, usage.n_vokens) == (9, 8)
        assert usage.counts == {"dog": 4, "cat": 3, "egg": 1}
        assert usage.most_frequent(2) == ["dog", "cat"]
        assert usage.top_words("dog", 5) == [("dog", 2), ("dogs", 2)]
        assert usage.top_words("cat", 1) == [("a", 2)]


def test_ties_do_not_depend_on_the_order_of_the_corpus():
    for docs in (DOCS, DOCS[::-1]):
        tied = VokenUsage.of_docs([*docs, make_doc("y", ["apple"])])
        assert tied.most_frequent(9) == ["dog", "cat", "apple", "egg"]
        assert tied.top_words("dog", 2) == [("dog", 2), ("dogs", 2)]


def test_a_folder_is_a_corpus(tmp_path, pool):
    write(tmp_path / "folder" / "a.spacy", DOCS[0])
    write(tmp_path / "folder" / "b" / "c.spacy", DOCS[2])
    assert read_usage([tmp_path / "folder"], pool).counts == {"cat": 3, "dog": 2, "egg": 1}


def test_vokens_that_the_pool_has_not_are_named(tmp_path, pool):
    good = write(tmp_path / "good.spacy", *DOCS)
    bad = write(tmp_path / "bad.spacy", make_doc("a cow", ["cat", "cow"]))
    with pytest.raises(ValueError, match=r"bad\.spacy does not fit the pool: 1 image ids") as error:
        read_usage([good, bad], pool)
    message = str(error.value)
    assert str(pool.path) in message
    assert "'cow'" in message
    assert "spacy vokens vokenize" in message


def test_another_pool_with_the_same_ids_is_named(tmp_path, pool, make_pool):
    own = write(tmp_path / "own.spacy", make_doc("a", ["cat"], f"{pool.id.short}-{'0' * 16}"))
    assert read_usage([own], pool).counts == {"cat": 1}
    other = make_pool(seed=1)
    with pytest.raises(ValueError, match=r"own\.spacy has vokens of pool") as error:
        read_usage([own], other)
    assert pool.id.short in str(error.value)
    assert other.id.short in str(error.value)
    assert "spacy vokens index" in str(error.value)


def test_images_that_came_with_the_text_are_vokens_of_any_pool(tmp_path, pool):
    path = write(tmp_path / "given.spacy", make_doc("a", ["cat"], "given"))
    assert read_usage([path], pool).counts == {"cat": 1}


@pytest.mark.parametrize("docs", [(), (make_doc("a b", [None, None]),)])
def test_a_corpus_without_vokens_is_named(tmp_path, pool, docs):
    with pytest.raises(ValueError, match=r"empty\.spacy has no vokens: run 'spacy vokens vok"):
        read_usage([write(tmp_path / "empty.spacy", *docs)], pool)
