from __future__ import annotations

from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_vokens.corpus.conll import TaggedSentence
from spacy_vokens.corpus.convert import tagged_doc
from spacy_vokens.corpus.docbin import load_docs, save_docs
from spacy_vokens.extensions import get_token_values
from spacy_vokens.metrics.ner import bio_tags
from spacy_vokens.pipeline.voken_retriever import VokenRetriever

from .conftest import said

SENTENCES = [
    TaggedSentence(("anna", "see", "a", "cat", "!"), ("I-PER", "O", "O", "O", "O"), "17_06_1.jpg"),
    TaggedSentence(("the dog", "in", "paris"), ("O", "O", "B-LOC")),
]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "in.spacy"
    save_docs([tagged_doc(sentence, Vocab()) for sentence in SENTENCES] + [Doc(Vocab())], path)
    return path


def test_adds_vokens_and_keeps_the_rest(vokens, vokenizer, vokenizer_path, corpus, tmp_path):
    output = tmp_path / "new" / "out.spacy"
    result = vokens("vokenize", vokenizer_path, corpus, output)
    assert result.exit_code == 0, result.output
    before, after = load_docs(corpus, Vocab()), load_docs(output, Vocab())
    for old, new in zip(before, after, strict=True):
        assert [token.text_with_ws for token in new] == [token.text_with_ws for token in old]
        assert bio_tags(new) == bio_tags(old)
        assert new._.raw_tags == old._.raw_tags
        assert new._.image_id == old._.image_id
        assert get_token_values(old, "voken") == [None] * len(old)
    assert after[0]._.raw_tags == ("I-PER", "O", "O", "O", "O")
    assert after[0]._.image_id == "17_06_1"
    retriever = vokenizer.get_pipe("voken_retriever")
    for new in after:
        expected = retriever(Doc(vokenizer.vocab, words=[token.text for token in new]))
        assert get_token_values(new, "voken") == get_token_values(expected, "voken")
        assert get_token_values(new, "voken_score") == pytest.approx(
            get_token_values(expected, "voken_score"), abs=1e-4
        )
        assert new._.voken_index == retriever.index.id
    assert after[0][3]._.voken == "cat"


def test_reports_what_it_did(vokens, vokenizer_path, corpus, tmp_path):
    output = tmp_path / "out.spacy"
    result = vokens("vokenize", vokenizer_path, corpus, output)
    docs = load_docs(output, Vocab())
    distinct = {voken for doc in docs for voken in get_token_values(doc, "voken")} - {None}
    path, *counts, speed = result.output.strip().splitlines()[-1].split()
    assert path == str(output)
    # All tokens but the exclamation mark have a voken.
    assert counts == ["3", "8", "87.5%", str(len(distinct)), "-"], "no picture is in the index"
    assert int(speed.replace(",", "")) > 0


def test_a_folder_becomes_a_folder(vokens, vokenizer_path, corpus, tmp_path):
    folder = tmp_path / "corpora"
    for name in ("train.spacy", "more/test.spacy"):
        save_docs(load_docs(corpus, Vocab()), folder / name)
    result = vokens("vokenize", vokenizer_path, folder, tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert vokens("vokenize", vokenizer_path, corpus, tmp_path / "alone.spacy").exit_code == 0
    for name in ("train.spacy", "more/test.spacy"):
        written, alone = tmp_path / "out" / name, tmp_path / "alone.spacy"
        for one, other in zip(load_docs(written, Vocab()), load_docs(alone, Vocab()), strict=True):
            assert get_token_values(one, "voken") == get_token_values(other, "voken")
    (tmp_path / "empty").mkdir()
    result = vokens("vokenize", vokenizer_path, tmp_path / "empty", tmp_path / "none")
    assert result.exit_code == 1
    assert said(result, "expected a .spacy file, or a folder that holds some")


def test_a_second_run_leaves_the_tower_alone(vokens, vokenizer_path, corpus, tmp_path, monkeypatch):
    first, second = tmp_path / "first.spacy", tmp_path / "second.spacy"
    assert vokens("vokenize", vokenizer_path, corpus, first).exit_code == 0

    def refuse(*_):
        raise AssertionError("the text encoder ran")

    monkeypatch.setattr(VokenRetriever, "queries", refuse)
    result = vokens("vokenize", vokenizer_path, first, second)
    assert result.exit_code == 0, result.output
    for one, other in zip(load_docs(first, Vocab()), load_docs(second, Vocab()), strict=True):
        assert get_token_values(one, "voken") == get_token_values(other, "voken")
    assert isinstance(vokens("vokenize", vokenizer_path, corpus, second).exception, AssertionError)


def test_vokens_of_another_index_are_replaced(vokens, vokenizer, vokenizer_path, corpus, tmp_path):
    (doc, *_) = load_docs(corpus, Vocab())
    doc[3]._.voken = "stale"
    doc._.voken_index = "another"
    save_docs([doc], corpus)
    assert vokens("vokenize", vokenizer_path, corpus, corpus).exit_code == 0
    (doc,) = load_docs(corpus, Vocab())
    assert doc[3]._.voken == "cat"
    assert doc._.voken_index == vokenizer.get_pipe("voken_retriever").index.id


def test_empty_corpus(vokens, vokenizer_path, unindexed_path, corpus, tmp_path):
    save_docs([], corpus)
    for model in (vokenizer_path, unindexed_path):
        result = vokens("vokenize", model, corpus, tmp_path / "out.spacy")
        assert result.exit_code == 0, result.output
        assert load_docs(tmp_path / "out.spacy", Vocab()) == []


def test_model_must_be_an_indexed_vokenizer(vokens, unindexed_path, blank_path, corpus, tmp_path):
    nlp = spacy.load(blank_path)
    nlp.add_pipe("sentencizer")
    nlp.to_disk(tmp_path / "plain")
    for model, reason in (
        (unindexed_path, "has no index of pictures"),
        (blank_path, "has no voken_retriever (its components: none)"),
        (tmp_path / "plain", "has no voken_retriever (its components: sentencizer)"),
        (tmp_path / "missing", "Can't find model"),
    ):
        result = vokens("vokenize", model, corpus, tmp_path / "out.spacy")
        assert result.exit_code == 1
        assert said(result, reason)
    assert not (tmp_path / "out.spacy").exists()


def test_a_corpus_becomes_a_corpus(vokens, vokenizer_path, corpus, tmp_path):
    result = vokens("vokenize", vokenizer_path, corpus, tmp_path / "out")
    assert result.exit_code == 2
    assert said(result, "name it *.spacy")
    assert not (tmp_path / "out").exists()


def test_damaged_and_missing_corpora_are_named(vokens, vokenizer_path, corpus, tmp_path):
    corpus.write_bytes(corpus.read_bytes()[:-20])
    result = vokens("vokenize", vokenizer_path, corpus, tmp_path / "out.spacy")
    assert result.exit_code == 1
    assert said(result, f"Could not vokenize {corpus}")
    assert said(result, "is no .spacy corpus, or is damaged")
    result = vokens("vokenize", vokenizer_path, tmp_path / "none", corpus)
    assert result.exit_code == 2
    assert said(result, "does not exist")
    assert not (tmp_path / "out.spacy").exists()


def test_reports_the_share_of_own_pictures(vokens, vokenizer, vokenizer_path, corpus, tmp_path):
    docs = [Doc(Vocab(), words=["a", "cat", "!"]) for _ in range(3)]
    for doc, image_id in zip(docs, ("cat", "dog", "elsewhere"), strict=True):
        doc._.image_id = image_id
    save_docs(docs, corpus)
    result = vokens("vokenize", vokenizer_path, corpus, tmp_path / "out.spacy")
    written = load_docs(tmp_path / "out.spacy", Vocab())
    own = [v == doc._.image_id for doc in written[:2] for v in get_token_values(doc, "voken")[:2]]
    share = result.output.strip().splitlines()[-1].split()[-2]
    assert share == f"{sum(own) / 4:.1%}"
    assert 0 < sum(own) < 4


def test_switching_exclude_own_replaces_the_vokens(vokens, vokenizer_path, corpus, tmp_path):
    """Both ways, on a corpus that carries the vokens of the other setting."""
    doc = Doc(Vocab(), words=["a", "cat", "!"])
    doc._.image_id = "cat"
    save_docs([doc], corpus)
    others = vokenizer_without_own(vokenizer_path, tmp_path)
    for model, has_own in ((vokenizer_path, True), (others, False), (vokenizer_path, True)):
        result = vokens("vokenize", model, corpus, corpus)
        assert result.exit_code == 0, result.output
        (doc,) = load_docs(corpus, Vocab())
        assert (doc[1]._.voken == "cat") is has_own
        assert None not in get_token_values(doc, "voken")[:2]
        share = result.output.strip().splitlines()[-1].split()[-2]
        assert (share == "0.0%") is not has_own


def vokenizer_without_own(path: Path, tmp_path: Path) -> Path:
    settings = {"components": {"voken_retriever": {"exclude_own": True}}}
    spacy.load(path, config=settings).to_disk(tmp_path / "others")
    return tmp_path / "others"
