from __future__ import annotations

import json

import pytest
import spacy
from spacy.vocab import Vocab

from spacy_vokens.corpus.conll import TaggedSentence
from spacy_vokens.corpus.convert import tagged_doc
from spacy_vokens.corpus.docbin import save_docs
from spacy_vokens.scoring.evaluate import evaluate
from tests.cli.conftest import said
from tests.conftest import LANG


@pytest.fixture
def corpus(tmp_path):
    sentences = [
        TaggedSentence(("Ann", "Lee", "is", "in", "Bonn"), ("I-PER", "I-PER", "O", "O", "B-LOC")),
        TaggedSentence(("Ann", "Lee", "!"), ("B-PER", "I-PER", "O")),
    ]
    path = tmp_path / "test.spacy"
    save_docs([tagged_doc(sentence, Vocab()) for sentence in sentences], path)
    return path


@pytest.fixture
def model(tmp_path):
    nlp = spacy.blank(LANG)
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "PER", "pattern": "Ann Lee"}])
    nlp.to_disk(tmp_path / "model")
    return tmp_path / "model"


def test_both_readings_are_printed_and_saved(vokens, model, corpus, tmp_path):
    output = tmp_path / "metrics" / "test.json"
    result = vokens("evaluate", model, corpus, "--output", output)
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.output.splitlines()]
    assert [row for row in rows if row and row[0] in ("All", "LOC", "PER")] == [
        ["All", "50.00", "50.00", "50.00", "2"],
        ["LOC", "0.00", "0.00", "0.00", "1"],
        ["PER", "50.00", "100.00", "66.67", "1"],
        ["All", "100.00", "66.67", "80.00", "3"],
        ["LOC", "0.00", "0.00", "0.00", "1"],
        ["PER", "100.00", "100.00", "100.00", "2"],
    ]
    assert [row for row in rows if row and row[0] == "Weighted"] == [
        ["Weighted", "by", "mentions", "33.33"],
        ["Weighted", "by", "mentions", "66.67"],
    ]
    assert json.loads(output.read_text(encoding="utf-8")) == evaluate(model, corpus)
    assert list(output.parent.iterdir()) == [output]


def test_a_pipeline_or_corpus_that_cannot_be_read_is_named(vokens, model, corpus, tmp_path):
    for arguments in ((tmp_path / "missing", corpus), (model, model / "config.cfg")):
        result = vokens("evaluate", *arguments)
        assert result.exit_code == 1
        assert "Could not evaluate" in result.output
        assert said(result, str(arguments[0]))


def test_a_corpus_without_entities_is_refused(vokens, model, tmp_path):
    nlp = spacy.blank(LANG)
    save_docs([nlp("the red dog")], tmp_path / "plain.spacy")
    result = vokens("evaluate", model, tmp_path / "plain.spacy", "-o", tmp_path / "out.json")
    assert result.exit_code == 1
    assert said(result, "has no entities")
    assert not (tmp_path / "out.json").exists()


def test_the_users_code_is_imported(vokens, corpus, tmp_path):
    code = tmp_path / "code.py"
    code.write_text(
        "from spacy.language import Language\n\n"
        "@Language.component('users_own')\n"
        "def users_own(doc):\n"
        "    doc.ents = []\n"
        "    return doc\n",
        encoding="utf-8",
    )
    spacy.blank(LANG).to_disk(tmp_path / "own")
    config = tmp_path / "own" / "config.cfg"
    text = config.read_text(encoding="utf-8")
    text = text.replace("pipeline = []", 'pipeline = ["users_own"]')
    component = '[components]\n\n[components.users_own]\nfactory = "users_own"\n'
    config.write_text(text.replace("[components]\n", component), encoding="utf-8")
    result = vokens("evaluate", tmp_path / "own", corpus, "--code", code)
    assert result.exit_code == 0, result.output
    missing = vokens("evaluate", tmp_path / "own", corpus, "--code", tmp_path / "missing.py")
    assert missing.exit_code == 2
