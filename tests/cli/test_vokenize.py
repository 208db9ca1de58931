from __future__ import annotations

from spacy.vocab import Vocab

from spacy_vokens.attributes import get_token_values
from spacy_vokens.corpus.docbin import load_docs
from tests.cli.conftest import said


def test_reports_what_it_did(vokens, vokenizer_path, tagged_corpus, tmp_path):
    output = tmp_path / "out.spacy"
    result = vokens("vokenize", vokenizer_path, tagged_corpus, output)
    docs = load_docs(output, Vocab())
    distinct = {voken for doc in docs for voken in get_token_values(doc, "voken")} - {None}
    path, *counts, speed = result.output.strip().splitlines()[-1].split()
    assert path == str(output)
    # All tokens but the exclamation mark have a voken.
    assert counts == ["3", "8", "87.5%", str(len(distinct)), "-"], "no picture is in the index"
    assert int(speed.replace(",", "")) > 0


def test_damaged_and_missing_corpora_are_named(vokens, vokenizer_path, tagged_corpus, tmp_path):
    tagged_corpus.write_bytes(tagged_corpus.read_bytes()[:-20])
    result = vokens("vokenize", vokenizer_path, tagged_corpus, tmp_path / "out.spacy")
    assert result.exit_code == 1
    assert said(result, f"Could not vokenize {tagged_corpus}")
    assert said(result, "is not a .spacy corpus, or is damaged")
    result = vokens("vokenize", vokenizer_path, tmp_path / "none", tagged_corpus)
    assert result.exit_code == 2
    assert said(result, "does not exist")
    assert not (tmp_path / "out.spacy").exists()
