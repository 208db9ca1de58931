from __future__ import annotations

import json

import pytest
import spacy

from spacy_vokens.corpus.docbin import save_docs
from tests.cli.conftest import said
from tests.conftest import IMAGES, LANG
from tests.fixtures import captions


@pytest.fixture
def pairs(tmp_path, vokenizer):
    path = tmp_path / "pairs.spacy"
    save_docs([example.reference for example in captions(vokenizer)], path)
    return path


@pytest.mark.parametrize("from_pool", [False, True])
def test_retrieval_is_scored_against_chance(
    vokens, vokenizer_path, pairs, pool, tmp_path, from_pool
):
    output = tmp_path / "retrieval.json"
    options = ("--pool", pool.path) if from_pool else ()
    result = vokens("evaluate-retrieval", vokenizer_path, pairs, "--output", output, *options)
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.output.splitlines()]
    n = len(IMAGES)
    assert ["voken_sent_r1", "1.000", f"{1 / n:.3f}"] in rows
    retrieval = json.loads(output.read_text(encoding="utf-8"))["retrieval"]
    assert retrieval["candidates"] == n
    assert retrieval["scores"]["voken_sent_r1"] == 1.0
    assert retrieval["chance"]["voken_sent_r1"] == pytest.approx(1 / n)


def test_word_hit_is_printed_or_what_it_needs(vokens, vokenizer_path, pairs, tmp_path):
    output = tmp_path / "retrieval.json"
    arguments = ("evaluate-retrieval", vokenizer_path, pairs, "--output", output)
    result = vokens(*arguments)
    assert result.exit_code == 0, result.output
    assert said(result, f"Word-hit among {len(IMAGES)} images")
    assert ["voken_word_hit", "1.000", "1.000"] in [x.split() for x in result.output.splitlines()]
    assert said(result, "6 content words with 1 stem")
    assert not said(result, "without a text")
    assert json.loads(output.read_text(encoding="utf-8"))["word_hit"]["voken_word_hit"] == 1.0
    docs = [example.reference for example in captions(spacy.blank(LANG))]
    some = tmp_path / "some" / "captions.spacy"
    save_docs(docs[1:], some)
    result = vokens(*arguments, "--captions", some.parent)
    assert said(result, "1 image without a text")
    docs[0]._.visual_image_id = "cow"
    save_docs(docs[:1], some)
    result = vokens(*arguments, "--captions", some)
    assert result.exit_code == 0, result.output
    assert said(result, "Word-hit is left out")
    assert said(result, "name captions with --captions here")
    assert "voken_word_hit" not in output.read_text(encoding="utf-8")


def test_nothing_to_score_is_said(vokens, vokenizer_path, blank_path, pairs, tmp_path):
    plain = tmp_path / "plain.spacy"
    save_docs([spacy.blank(LANG)("the red dog")], plain)
    for model, corpus, options, reason in (
        (vokenizer_path, plain, (), "names no image"),
        (blank_path, pairs, (), "has no voken_retriever"),
    ):
        output = tmp_path / "scores.json"
        result = vokens("evaluate-retrieval", model, corpus, *options, "--output", output)
        assert result.exit_code == 1
        assert said(result, f"Could not evaluate {model} on {corpus}")
        assert said(result, reason)
        assert not output.exists()
