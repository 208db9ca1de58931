from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import spacy
from typer.testing import Result

from spacy_vokens.images.pool import ImagePool
from spacy_vokens.pipeline.voken_retriever import VokenRetriever
from tests.cli.conftest import said

Run = Callable[..., Result]


def retriever_of(path: Path) -> VokenRetriever:
    return spacy.load(path).get_pipe("voken_retriever")


@pytest.fixture
def align(vokens: Run, kind_corpus: Path, kind_pool: ImagePool) -> Run:
    return lambda model, output, *options: vokens(
        "align", model, kind_corpus, kind_pool.path, output, *options
    )


def test_it_says_what_it_read_and_writes_the_pipeline(
    align: Run, word_tagger_path: Path, tmp_path: Path
) -> None:
    path = tmp_path / "new" / "aligned"
    result = align(word_tagger_path, path, "--steps", 3)
    assert result.exit_code == 0, result.output
    assert said(result, "Read 45 texts; loss ")
    assert said(result, str(path))
    before, after = retriever_of(word_tagger_path), retriever_of(path)
    width = before.index.keys.shape[1]
    assert after.index.keys.shape[1] > width
    np.testing.assert_array_equal(after.index.keys[:, :width], before.index.keys)
    assert spacy.load(path)("a cat")[1]._.voken is not None


def test_options(align: Run, word_tagger_path: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        options = ("--steps", 2, "--limit", 1, "--seed", seed)
        result = align(word_tagger_path, tmp_path / name, *options)
        assert said(result, "Read 1 text; loss 0.00"), "one image has no negatives"
    a, b, c = (retriever_of(tmp_path / name).index.keys for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_in_its_place_and_again(align: Run, word_tagger_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "pipeline"
    spacy.load(word_tagger_path).to_disk(path)
    shapes, keys = [], []
    for seed in (1, 2):
        result = align(path, path, "--steps", 2, "--seed", seed)
        assert result.exit_code == 0, result.output
        keys.append(retriever_of(path).index.keys)
        shapes.append(keys[-1].shape)
    assert shapes[0] == shapes[1], "the new scene part takes the old one's place"
    assert not np.array_equal(*keys)
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_used_is_named(
    vokens: Run,
    align: Run,
    blank_path: Path,
    word_vokenizer_path: Path,
    word_tagger_path: Path,
    kind_corpus: Path,
    tmp_path: Path,
) -> None:
    for model, message in (
        (tmp_path / "missing", "Can't find model"),
        (blank_path, "has no voken_retriever"),
        (word_vokenizer_path, "that a transformer has read"),
    ):
        result = align(model, tmp_path / "out", "--steps", 1)
        assert result.exit_code == 1
        assert said(result, f"Could not align {model}")
        assert said(result, message)
    result = vokens("align", word_tagger_path, kind_corpus, tmp_path, tmp_path / "out")
    assert result.exit_code == 1
    assert said(result, "Could not align")
    assert align(word_tagger_path, tmp_path / "out", "--steps", 0).exit_code == 2
    assert not (tmp_path / "out").exists()
