from __future__ import annotations

import hashlib
import json

import pytest
import spacy
import typer
from spacy.vocab import Vocab
from typer.testing import CliRunner

from spacy_vokens.cli.evaluate import evaluate
from spacy_vokens.corpus.conll import TaggedSentence
from spacy_vokens.corpus.convert import tagged_doc
from spacy_vokens.corpus.docbin import save_docs


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(evaluate)
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


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
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "PER", "pattern": "Ann Lee"}])
    nlp.to_disk(tmp_path / "model")
    return tmp_path / "model"


def test_both_readings_are_printed_and_saved(run, model, corpus, tmp_path):
    output = tmp_path / "metrics" / "test.json"
    result = run(model, corpus, "--output", output)
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
    report = json.loads(output.read_text(encoding="utf-8"))
    assert report["corpus_sha256"] == hashlib.sha256(corpus.read_bytes()).hexdigest()
    assert report["scorer"] == "spacy_vokens.metrics.ner.score_tags"
    assert (report["docs"], report["tokens"]) == (2, 8)
    assert report["strict"]["per_type"]["PER"] == {
        "p": 0.5,
        "r": 1.0,
        "f": pytest.approx(2 / 3),
        "mentions": 1,
        "tp": 1,
        "fp": 1,
        "fn": 0,
    }
    assert report["lenient"]["weighted_f"] == pytest.approx(2 / 3)
    assert list(output.parent.iterdir()) == [output]


def test_a_pipeline_or_corpus_that_cannot_be_read_is_named(run, model, corpus, tmp_path):
    for arguments in ((tmp_path / "missing", corpus), (model, model / "config.cfg")):
        result = run(*arguments)
        assert result.exit_code == 1
        assert "Could not evaluate" in result.output
        assert str(arguments[0]) in result.output
