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
from spacy_vokens.corpus.docbin import load_docs, save_docs

from ..conftest import PICTURES, captions
from .conftest import said


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


@pytest.fixture
def pairs(tmp_path, vokenizer):
    path = tmp_path / "pairs.spacy"
    save_docs([example.reference for example in captions(vokenizer)], path)
    return path


@pytest.mark.parametrize("from_pool", [False, True])
def test_retrieval_is_scored_against_chance(run, vokenizer_path, pairs, pool, tmp_path, from_pool):
    output = tmp_path / "retrieval.json"
    options = ("--pool", pool.path) if from_pool else ()
    result = run(vokenizer_path, pairs, "--output", output, *options)
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.output.splitlines()]
    n = len(PICTURES)
    assert ["voken_sent_r1", "1.000", f"{1 / n:.3f}"] in rows
    retrieval = json.loads(output.read_text(encoding="utf-8"))["retrieval"]
    assert retrieval["candidates"] == n
    assert retrieval["scores"]["voken_sent_r1"] == 1.0
    assert retrieval["chance"]["voken_sent_r1"] == pytest.approx(1 / n)


def test_a_pool_asks_for_retrieval_where_there_are_entities_too(
    run, vokenizer_path, corpus, make_pool, tmp_path
):
    docs = load_docs(corpus, Vocab())
    for doc, image_id in zip(docs, ("cow", "hen"), strict=True):
        doc._.image_id = image_id
    save_docs(docs, corpus)
    report = tmp_path / "report.json"
    pool = make_pool(("cow", "hen"), seed=3)
    result = run(vokenizer_path, corpus, "--pool", pool.path, "--output", report)
    assert result.exit_code == 0, result.output
    assert json.loads(report.read_text(encoding="utf-8"))["retrieval"]["candidates"] == 2


def test_nothing_to_score_is_said(run, model, vokenizer_path, pairs, make_pool):
    result = run(model, pairs)
    assert result.exit_code == 1
    assert said(result, "no entities and no indexed pictures")
    result = run(vokenizer_path, pairs, "--pool", make_pool(("cow",), seed=3).path)
    assert result.exit_code == 1
    assert said(result, "no pictures of that pool")
    result = run(model, pairs, "--pool", make_pool(("cow",), seed=3).path)
    assert result.exit_code == 1
    assert said(result, "no voken_retriever")
