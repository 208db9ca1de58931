from __future__ import annotations

import json
import sys

import pytest
import spacy

from spacy_vokens.corpus.docbin import save_docs
from tests.cli.conftest import said
from tests.conftest import LANG


@pytest.fixture
def corpus(tagged_examples, tmp_path):
    nlp = spacy.blank(LANG)
    docs = [example.reference for example in tagged_examples(nlp)]
    # The tagger knows five names; here, two of them are not entities.
    for doc in docs[:2]:
        doc._.visual_raw_tags = ["O"] * len(doc)
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
    assert report["temperature"] == temperature > report["temperature_before"] == 1.0
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
            assert other._.visual_confidence < one._.visual_confidence
    svg = plot.read_text()
    assert svg.count("ECE") == 2
    assert "test, temperature 1.00" in svg


def test_pipelines_that_cannot_be_calibrated_are_named(vokens, vokenizer_path, corpus, tmp_path):
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
    assert said(result, "spacy-vokens[visualize]")
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
