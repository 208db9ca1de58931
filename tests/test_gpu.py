"""Training, indexing and tagging on a GPU; deselected unless asked for with `-m gpu`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import spacy

from spacy_vokens.extensions import get_token_values
from spacy_vokens.metrics.ner import bio_tags

pytestmark = pytest.mark.gpu
GPU_ID = 0
TEXTS = ["anna in paris !", "we see anna .", "", "the red dog"]


@pytest.fixture(autouse=True)
def leave_the_gpu() -> Iterator[None]:
    yield
    spacy.require_cpu()


@pytest.mark.parametrize("mixed_precision", [False, True])
def test_trained_on_the_gpu_used_on_both(
    train_configs: Callable[..., None], tmp_path: Path, mixed_precision: bool
) -> None:
    train_configs(
        tmp_path,
        use_gpu=GPU_ID,
        vokenizer={
            "components.voken_retriever.model.tok2vec.tok2vec.mixed_precision": mixed_precision
        },
        tagger={
            "components.transformer.model.mixed_precision": mixed_precision,
            "components.visual_ner.model.mixed_precision": mixed_precision,
        },
    )
    on_gpu = list(spacy.load(tmp_path / "tagger" / "model-best").pipe(TEXTS))
    assert bio_tags(on_gpu[0]) == ["B-PER", "O", "B-LOC", "O"]
    assert get_token_values(on_gpu[3], "voken")[2] == "dog"
    spacy.require_cpu()
    on_cpu = list(spacy.load(tmp_path / "tagger" / "model-best").pipe(TEXTS))
    assert [bio_tags(doc) for doc in on_cpu] == [bio_tags(doc) for doc in on_gpu]
    for theirs, ours in zip(on_gpu, on_cpu, strict=True):
        assert get_token_values(ours, "voken") == get_token_values(theirs, "voken")
        assert get_token_values(ours, "voken_score") == pytest.approx(
            get_token_values(theirs, "voken_score"), abs=1e-2
        )
