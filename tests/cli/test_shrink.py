from __future__ import annotations

import pytest
import spacy
import torch
from spacy_transformers.layers.hf_shim import HFShim

from spacy_vokens.attributes import get_token_values
from spacy_vokens.scoring.ner import bio_tags
from tests.cli.conftest import said

TEXTS = ["anna in paris !", "we see anna .", "the red dog", "big paris see anna", "a cat", ""]


def transformer_of(nlp, name):
    """The PyTorch transformer inside a component."""
    nodes = nlp.get_pipe(name).model.walk()
    (shim,) = (shim for node in nodes for shim in node.shims if isinstance(shim, HFShim))
    return shim._model


def test_both_transformers_take_less_room_and_the_results_stay(vokens, pipeline_path, tmp_path):
    path = tmp_path / "new" / "small"
    result = vokens("shrink", pipeline_path, path)
    assert result.exit_code == 0, result.output
    assert said(result, "Halved 2 transformers")

    before, after = spacy.load(pipeline_path), spacy.load(path)
    for name in ("voken_retriever", "transformer"):
        n_values = sum(
            weights.numel()
            for node in before.get_pipe(name).model.walk()
            for shim in node.shims
            for weights in shim._model.state_dict().values()
        )
        n_rows, width = transformer_of(before, name).get_input_embeddings().weight.shape
        saved = (folder / name / "model" for folder in (pipeline_path, path))
        large, small = (file.stat().st_size for file in saved)
        # Two bytes less per value, of the word embeddings three, with a scale per row.
        less = 2 * n_values + n_rows * (width - 4)
        assert large - small == pytest.approx(less, rel=0.05)
        assert {w.dtype for w in transformer_of(after, name).parameters()} == {torch.float32}

    assert any(before(text).ents for text in TEXTS)
    for text in TEXTS:
        old, new = before(text), after(text)
        assert bio_tags(new) == bio_tags(old)
        scores = get_token_values(old, "voken_score")
        assert get_token_values(new, "voken_score") == pytest.approx(scores, abs=0.02)
    vokens_of = [
        (token._.voken, other._.voken)
        for text in TEXTS
        for token, other in zip(before(text), after(text), strict=True)
    ]
    assert sum(one == other for one, other in vokens_of) >= 0.9 * len(vokens_of)


def test_a_pipeline_can_be_shrunk_in_its_place_and_again(vokens, vokenizer_path, tmp_path):
    path = tmp_path / "vokenizer"
    spacy.load(vokenizer_path).to_disk(path)
    sizes = []
    for _ in range(2):
        assert vokens("shrink", path, path).exit_code == 0
        sizes.append((path / "voken_retriever" / "model").stat().st_size)
    assert sizes[0] == sizes[1]
    assert spacy.load(path)("a cat !")[1]._.voken == "cat"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_read_or_replaced_is_named(vokens, vokenizer_path, tmp_path):
    result = vokens("shrink", tmp_path / "missing", tmp_path / "out")
    assert result.exit_code == 1
    assert said(result, "Could not shrink")
    assert said(result, "Can't find model")
    (tmp_path / "thesis.txt").write_text("mine")
    result = vokens("shrink", vokenizer_path, tmp_path)
    assert result.exit_code == 1
    assert said(result, "holds something else")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
