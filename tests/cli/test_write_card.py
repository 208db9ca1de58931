from __future__ import annotations

import json
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.cli.package import package

from spacy_vokens.corpus.docbin import save_docs
from tests.cli.conftest import said
from tests.conftest import LANG
from tests.fixtures import captions

COMMANDS = {
    "--scores": "evaluate",
    "--calibration": "calibrate",
    "--retrieval": "evaluate-retrieval",
}
META = {
    "description": "A test.",
    "license": "MIT",
    "notes": "### Use and limits\n\nOnly here.",
    "sources": [{"name": "a | b", "url": "", "license": "CC0", "author": "we"}],
}


@pytest.fixture
def meta(tmp_path: Path) -> Path:
    path = tmp_path / "given.json"
    path.write_text(json.dumps(META), encoding="utf-8")
    return path


@pytest.fixture
def corpus(tagged_examples, tmp_path: Path) -> Path:
    path = tmp_path / "test.spacy"
    examples = tagged_examples(spacy.blank(LANG))
    save_docs([example.reference for example in examples], path)
    return path


def test_the_readme_of_the_package_is_a_card(vokens, pipeline_path, meta, corpus, tmp_path):
    scores, calibration = tmp_path / "scores.json", tmp_path / "calibration.json"
    model, out = tmp_path / "calibrated", tmp_path / "meta.json"
    for arguments in (
        ("calibrate", pipeline_path, corpus, model, "--test", corpus, "--metrics", calibration),
        ("evaluate", model, corpus, "--output", scores),
        ("write-card", model, meta, out, "--scores", scores, "--calibration", calibration),
    ):
        result = vokens(*arguments)
        assert result.exit_code == 0, result.output
    package(
        model,
        tmp_path,
        meta_path=out,
        name="vokener",
        version="0.1.0",
        create_sdist=False,
        create_wheel=False,
        silent=True,
    )
    readme = (tmp_path / f"{LANG}_vokener-0.1.0" / "README.md").read_text(encoding="utf-8")
    report = srsly.read_json(scores)
    temperature = srsly.read_json(calibration)["temperature"]
    figures = " | ".join(f"{100 * report[key]:.2f}" for key in ("ents_p", "ents_r", "ents_f"))
    for fact in (
        "A test.",
        "Only here.",
        "| a \\| b | CC0 |",
        "grounded in 6 images",
        "6 thumbnails",
        "| the tests | CC0 | 6 |",
        f"| all | {figures} |",
        f"| PER | {100 * report['ents_per_type']['PER']['p']:.2f} |",
        "`test.spacy`, 4 texts",
        f"the temperature {temperature:.2f}",
    ):
        assert fact in readme, fact
    assert "_LOSS" not in readme


def test_without_figures_it_says_so_or_nothing(
    vokens, pipeline_path, vokenizer_path, meta, tmp_path
):
    out = tmp_path / "meta.json"
    assert vokens("write-card", pipeline_path, meta, out).exit_code == 0
    notes = srsly.read_json(out)["notes"]
    assert "1.00 (not calibrated)" in notes
    assert "Scores by type" not in notes
    # From a corpus in which no entity was found.
    unfitted = tmp_path / "calibration.json"
    unfitted.write_text('{"temperature": 1.0000000001}', encoding="utf-8")
    assert vokens("write-card", pipeline_path, meta, out, "--calibration", unfitted).exit_code == 0
    assert srsly.read_json(out)["notes"] == notes
    assert vokens("write-card", vokenizer_path, meta, out).exit_code == 0
    notes = srsly.read_json(out)["notes"]
    assert "Images" in notes
    assert "Confidence" not in notes


def test_scores_of_retrieval_are_listed_with_chance(vokens, vokenizer_path, meta, tmp_path):
    pairs, scores, out = (tmp_path / name for name in ("pairs.spacy", "scores.json", "meta.json"))
    save_docs([example.reference for example in captions(spacy.blank(LANG))], pairs)
    for arguments in (
        ("evaluate-retrieval", vokenizer_path, pairs, "--output", scores),
        ("write-card", vokenizer_path, meta, out, "--retrieval", scores),
    ):
        result = vokens(*arguments)
        assert result.exit_code == 0, result.output
    notes = srsly.read_json(out)["notes"]
    for fact in (
        "`pairs.spacy`, 6 texts (SHA-256",
        "ranked among 6 images",
        "whose image, of 6, has a text with that word: 6 words with 1 stem",
        "| voken_sent_r1 | 1.000 | 0.167 |",
        "| voken_word_hit | 1.000 | 1.000 |",
    ):
        assert fact in notes, fact
    # Scores of an older version, or word-hit that could not be measured.
    report = srsly.read_json(scores)
    for word_hit in ({}, {"word_hit": None, "no_word_hit": "no texts"}):
        report = {key: value for key, value in report.items() if key != "word_hit"} | word_hit
        srsly.write_json(scores, report)
        assert vokens("write-card", vokenizer_path, meta, out, "--retrieval", scores).exit_code == 0
        notes = srsly.read_json(out)["notes"]
        assert "| voken_sent_r1 | 1.000 | 0.167 |" in notes
        assert "word_hit" not in notes


@pytest.mark.parametrize("option", list(COMMANDS))
def test_other_reports_are_refused(vokens, pipeline_path, meta, tmp_path, option):
    other = tmp_path / "other.json"
    other.write_text('{"dev": {}, "ents_f": 1.0}', encoding="utf-8")
    result = vokens("write-card", pipeline_path, meta, tmp_path / "meta.json", option, other)
    assert result.exit_code == 1
    assert said(result, f"take a JSON file of 'spacy vokens {COMMANDS[option]}'")
    if option == "--calibration":
        other.write_text('{"temperature": 2.5}', encoding="utf-8")
        result = vokens("write-card", pipeline_path, meta, tmp_path / "meta.json", option, other)
        assert result.exit_code == 1
        assert said(result, "fitted a temperature of 2.5, but the pipeline has 1.0")
    other.write_text("[]", encoding="utf-8")
    result = vokens("write-card", pipeline_path, meta, tmp_path / "meta.json", option, other)
    assert result.exit_code == 1
    assert said(result, "other.json must hold a JSON object")
    assert not (tmp_path / "meta.json").exists()


def test_a_meta_needs_a_description(vokens, pipeline_path, tmp_path):
    scores = tmp_path / "scores.json"
    scores.write_text('{"ents_f": 1.0}', encoding="utf-8")
    result = vokens("write-card", pipeline_path, scores, tmp_path / "meta.json")
    assert result.exit_code == 1
    assert said(result, "scores.json has no description")
    assert not (tmp_path / "meta.json").exists()
