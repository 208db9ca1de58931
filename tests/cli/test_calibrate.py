from __future__ import annotations

import json
import sys

import pytest
import spacy

from spacy_vokens.corpus.docbin import save_docs

from .conftest import said


@pytest.fixture
def corpus(tagged_examples, tmp_path):
    nlp = spacy.blank("en")
    docs = [example.reference for example in tagged_examples(nlp)]
    # Of the five names that it knows, two are none here.
    for doc in docs[:2]:
        doc._.raw_tags = ["O"] * len(doc)
    path = tmp_path / "dev.spacy"
    save_docs(docs, path)
    return path


def test_stores_the_temperature_and_nothing_else(vokens, pipeline_path, corpus, tmp_path):
    out, metrics, plot = tmp_path / "out", tmp_path / "m" / "c.json", tmp_path / "m" / "r.svg"
    result = vokens("calibrate", pipeline_path, corpus, out, "--test", corpus, "--metrics", metrics,
                    "--plot", plot)  # fmt: skip
    assert result.exit_code == 0, result.output
    report = json.loads(metrics.read_text())
    before, after = spacy.load(pipeline_path), spacy.load(out)
    temperature = after.get_pipe("visual_ner").temperature
    assert report["temperature"] == temperature > report["was"] == 1.0
    assert report["dev"]["after"]["log_loss"] < report["dev"]["before"]["log_loss"]
    assert report["dev"] == report["test"]
    assert report["dev"]["entities"] == 5
    assert report["dev"]["precision"] == pytest.approx(0.4)
    assert said(result, f"Temperature {temperature:.2f}")
    assert said(result, "dev, before")
    texts = ["anna in paris !", "we see anna ."]
    for old, new in zip(before.pipe(texts), after.pipe(texts), strict=True):
        assert [(e.start, e.end, e.label_) for e in old.ents] == [
            (e.start, e.end, e.label_) for e in new.ents
        ]
        assert old.ents
        for one, other in zip(old.ents, new.ents, strict=True):
            assert other._.confidence < one._.confidence
    svg = plot.read_text()
    assert svg.count("ECE") == 2
    assert "test, temperature 1.00" in svg


def test_a_corpus_without_entities_leaves_the_temperature(vokens, pipeline_path, tmp_path):
    nlp = spacy.blank("en")
    save_docs([nlp("the red dog")], tmp_path / "dev.spacy")
    result = vokens("calibrate", pipeline_path, tmp_path / "dev.spacy", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert said(result, "finds no entity")
    assert spacy.load(tmp_path / "out").get_pipe("visual_ner").temperature == 1.0


def test_entities_that_are_all_right_leave_the_temperature(
    vokens, pipeline_path, tagged_examples, tmp_path
):
    examples = tagged_examples(spacy.blank("en"))
    save_docs([example.reference for example in examples], tmp_path / "dev.spacy")
    result = vokens("calibrate", pipeline_path, tmp_path / "dev.spacy", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert said(result, "The temperature stays 1.00: of 5 entities")
    assert said(result, "all are right")
    assert spacy.load(tmp_path / "out").get_pipe("visual_ner").temperature == 1.0


def test_a_temperature_that_is_the_last_one_tried_is_told(
    vokens, pipeline_path, corpus, tmp_path, monkeypatch
):
    monkeypatch.setattr("spacy_vokens.corpus.calibrate.TEMPERATURES", [0.5, 1.0, 1.1])
    result = vokens("calibrate", pipeline_path, corpus, tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert said(result, "1.10, is the last one tried")


def test_what_cannot_be_calibrated_is_named(vokens, vokenizer_path, corpus, tmp_path):
    for model, reason in (
        (vokenizer_path, "has no visual_ner"),
        (tmp_path / "none", "Can't find"),
    ):
        result = vokens("calibrate", model, corpus, tmp_path / "out")
        assert result.exit_code == 1
        assert said(result, f"Could not calibrate {model}")
        assert said(result, reason)
        assert not (tmp_path / "out").exists()


def test_matplotlib_is_asked_for_before_the_work(
    vokens, pipeline_path, corpus, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = vokens(
        "calibrate", pipeline_path, corpus, tmp_path / "out", "--plot", tmp_path / "r.svg"
    )
    assert result.exit_code == 1
    assert said(result, "spacy-vokens[experiments]")
    assert not (tmp_path / "out").exists()


def test_a_corpus_without_documents(vokens, pipeline_path, tmp_path):
    save_docs([], tmp_path / "dev.spacy")
    result = vokens(
        "calibrate", pipeline_path, tmp_path / "dev.spacy", tmp_path / "out",
        "--plot", tmp_path / "r.svg",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert said(result, "finds no entity")
    assert "ECE 0.000" in (tmp_path / "r.svg").read_text()
