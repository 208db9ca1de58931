from __future__ import annotations

import spacy

from tests.cli.conftest import said


def test_each_entity_and_what_other_images_make_of_it(vokens, pipeline_path, tmp_path):
    page = tmp_path / "new" / "why.html"
    result = vokens("explain", pipeline_path, "anna in paris !", "--draws", 4, "-k", 3, "-o", page)
    assert result.exit_code == 0, result.output
    doc = spacy.load(pipeline_path)("anna in paris !")
    assert len(doc.ents) == 2
    for ent in doc.ents:
        assert said(result, f"{ent.text} · {ent.label_}")
        assert said(result, f"{ent.text}: image {ent._.voken} · r {ent._.voken_score:.2f} · gate")
        assert f"{ent._.visual_confidence:.2f}" in result.output
    assert said(result, "random images for all words, 4 draws")
    assert result.output.count("Exactly these words: ") == 2
    # Of a word its own picture, and two others of three.
    assert result.output.count("anna: ") == result.output.count("paris: ") == 3
    assert result.output.count("no images") == 2
    assert page.read_text(encoding="utf-8").count("<section>") == 2


def test_a_text_without_entities(vokens, pipeline_path):
    for text in ("", "! ."):
        result = vokens("explain", pipeline_path, text)
        assert result.exit_code == 0, result.output
        assert said(result, "No entity was found, with images or without.")


def test_what_cannot_be_explained_is_named(vokens, vokenizer_path, tmp_path):
    for model, reason in (
        (vokenizer_path, "has no visual_ner"),
        (tmp_path / "none", "Can't find model"),
    ):
        result = vokens("explain", model, "a cat", "-o", tmp_path / "page.html")
        assert result.exit_code == 1
        assert said(result, f"Could not explain with {model}")
        assert said(result, reason)
        assert not (tmp_path / "page.html").exists()
