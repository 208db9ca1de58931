from __future__ import annotations

import pytest
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_vokens.attributes import get_token_values
from spacy_vokens.corpus.conll import TaggedSentence
from spacy_vokens.corpus.convert import tagged_doc
from spacy_vokens.corpus.docbin import load_docs, save_docs
from tests.cli.conftest import said

SENTENCES = [
    TaggedSentence(("anna", "see", "a", "cat", "!"), ("I-PER", "O", "O", "O", "O"), "17_06_1.jpg"),
    TaggedSentence(("the dog", "in", "paris"), ("O", "O", "B-LOC")),
]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "in.spacy"
    save_docs([tagged_doc(sentence, Vocab()) for sentence in SENTENCES] + [Doc(Vocab())], path)
    return path


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


def test_damaged_and_missing_corpora_are_named(vokens, vokenizer_path, corpus, tmp_path):
    corpus.write_bytes(corpus.read_bytes()[:-20])
    result = vokens("vokenize", vokenizer_path, corpus, tmp_path / "out.spacy")
    assert result.exit_code == 1
    assert said(result, f"Could not vokenize {corpus}")
    assert said(result, "is not a .spacy corpus, or is damaged")
    result = vokens("vokenize", vokenizer_path, tmp_path / "none", corpus)
    assert result.exit_code == 2
    assert said(result, "does not exist")
    assert not (tmp_path / "out.spacy").exists()
