from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import spacy

from spacy_vokens.attributes import get_token_values
from spacy_vokens.images.pool import ImagePool
from tests.cli.conftest import said


@pytest.fixture(scope="module")
def other_pool(make_pool: Callable[..., ImagePool]) -> ImagePool:
    return make_pool(("cow", "hen"), seed=5)


def test_a_matching_model_becomes_a_vokenizer(vokens, unindexed_path, pool, tmp_path):
    result = vokens("index", unindexed_path, pool.path, tmp_path / "new" / "vokenizer")
    assert result.exit_code == 0, result.output
    assert said(result, "Indexed 6 images for voken_retriever")
    nlp = spacy.load(tmp_path / "new" / "vokenizer")
    index = nlp.get_pipe("voken_retriever").index
    assert index.ids == pool.ids
    doc = nlp("a cat !")
    assert doc[1]._.voken in pool
    assert doc._.voken_index == str(index.mark)
    with pytest.raises(ValueError, match="has no index"):
        spacy.load(unindexed_path)("a cat !")


def test_retriever_and_tagger_both_take_the_new_pool(vokens, pipeline_path, other_pool, tmp_path):
    result = vokens("index", pipeline_path, other_pool.path, tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert said(result, "for voken_retriever, visual_ner")
    before, after = spacy.load(pipeline_path), spacy.load(tmp_path / "out")
    assert after.get_pipe("voken_retriever").index.ids == ["cow", "hen"]
    images = after.get_pipe("visual_ner").images
    assert images.ids == ["cow", "hen"]
    np.testing.assert_array_equal(images.features, other_pool.features)
    assert images.pool == other_pool.id
    doc = after("anna in paris")
    assert set(get_token_values(doc, "voken")) <= {"cow", "hen"}
    assert None not in get_token_values(doc, "visual_gate")
    assert doc._.voken_index != before("anna in paris")._.voken_index


def test_an_older_pipeline_is_replaced_even_by_itself(vokens, vokenizer_path, other_pool, tmp_path):
    path = tmp_path / "vokenizer"
    spacy.load(vokenizer_path).to_disk(path)
    for _ in range(2):
        result = vokens("index", path, other_pool.path, path)
        assert result.exit_code == 0, result.output
    assert spacy.load(path).get_pipe("voken_retriever").index.ids == ["cow", "hen"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_with_something_else_is_left_alone(vokens, vokenizer_path, pool, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    result = vokens("index", vokenizer_path, pool.path, tmp_path)
    assert result.exit_code == 1
    assert said(result, "holds something else")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_pool_must_be_there_and_whole(vokens, vokenizer_path, make_pool, tmp_path):
    result = vokens("index", vokenizer_path, tmp_path / "none", tmp_path / "out")
    assert result.exit_code == 2
    assert said(result, "does not exist")
    damaged = make_pool(seed=7).path
    features = damaged / "features.npy"
    features.write_bytes(features.read_bytes()[:-1] + b"\0")
    result = vokens("index", vokenizer_path, damaged, tmp_path / "out")
    assert result.exit_code == 1
    assert said(result, "features.npy")
    assert said(result, "embed-images")
    assert not (tmp_path / "out").exists()


def test_pool_of_another_encoder_is_refused(vokens, vokenizer_path, make_pool, tmp_path):
    result = vokens("index", vokenizer_path, make_pool(encoder="big").path, tmp_path / "out")
    assert result.exit_code == 1
    assert said(result, "same encoder")
    assert not (tmp_path / "out").exists()


def test_pipeline_must_take_images(vokens, blank_path, pool, tmp_path):
    result = vokens("index", blank_path, pool.path, tmp_path / "out")
    assert result.exit_code == 1
    assert said(result, "has no component that takes images")
    result = vokens("index", tmp_path / "missing", pool.path, tmp_path / "out")
    assert result.exit_code == 1
    assert said(result, "Can't find model")
