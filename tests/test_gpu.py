"""Training, indexing and tagging on a GPU; deselected unless asked for with `-m gpu`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import spacy
from spacy.cli.train import train
from spacy.language import Language
from spacy.training import Example

from spacy_vokens.corpus.docbin import save_docs
from spacy_vokens.extensions import get_token_values
from spacy_vokens.images.pool import ImagePool
from spacy_vokens.metrics.ner import bio_tags

from .conftest import captions

pytestmark = pytest.mark.gpu
GPU_ID = 0
CONFIGS = Path(__file__).parents[1] / "configs"
TEXTS = ["anna in paris !", "we see anna .", "", "the red dog"]


@pytest.fixture(autouse=True)
def leave_the_gpu() -> object:
    yield
    spacy.require_cpu()


@pytest.mark.parametrize("mixed_precision", [False, True])
def test_trained_on_the_gpu_used_on_both(
    pool: ImagePool,
    text_encoder: str,
    tagged_examples: Callable[[Language], list[Example]],
    tmp_path: Path,
    mixed_precision: bool,
) -> None:
    nlp = spacy.blank("en")
    save_docs([example.reference for example in captions(nlp)], tmp_path / "pairs.spacy")
    save_docs([example.reference for example in tagged_examples(nlp)], tmp_path / "ner.spacy")
    shared = {"paths.pool": str(pool.path), "paths.text_encoder": text_encoder}
    encoder = "components.voken_retriever.model.tok2vec.tok2vec"
    train(
        CONFIGS / "vokenizer.cfg",
        tmp_path / "vokenizer",
        use_gpu=GPU_ID,
        overrides=shared
        | {
            "paths.train": str(tmp_path / "pairs.spacy"),
            "paths.dev": str(tmp_path / "pairs.spacy"),
            "training.max_steps": 60,
            "training.eval_frequency": 20,
            "training.optimizer.learn_rate": 0.01,
            f"{encoder}.mixed_precision": mixed_precision,
        },
    )
    vokenizer = spacy.load(tmp_path / "vokenizer" / "model-best")
    assert vokenizer.meta["performance"]["voken_sent_r1"] == 1.0
    vokenizer.get_pipe("voken_retriever").set_pool(pool)
    vokenizer.to_disk(tmp_path / "indexed")
    train(
        CONFIGS / "visual_ner.cfg",
        tmp_path / "tagger",
        use_gpu=GPU_ID,
        overrides=shared
        | {
            "paths.vokenizer": str(tmp_path / "indexed"),
            "paths.train": str(tmp_path / "ner.spacy"),
            "paths.dev": str(tmp_path / "ner.spacy"),
            "training.max_steps": 60,
            "training.eval_frequency": 20,
            "training.optimizer.learn_rate": 0.005,
            "components.transformer.model.mixed_precision": mixed_precision,
            "components.visual_ner.model.mixed_precision": mixed_precision,
        },
    )
    on_gpu = list(spacy.load(tmp_path / "tagger" / "model-best").pipe(TEXTS))
    assert bio_tags(on_gpu[0]) == ["B-PER", "O", "B-LOC", "O"]
    spacy.require_cpu()
    on_cpu = list(spacy.load(tmp_path / "tagger" / "model-best").pipe(TEXTS))
    assert [bio_tags(doc) for doc in on_cpu] == [bio_tags(doc) for doc in on_gpu]
    for theirs, ours in zip(on_gpu, on_cpu, strict=True):
        assert get_token_values(ours, "voken") == get_token_values(theirs, "voken")
        assert get_token_values(ours, "voken_score") == pytest.approx(
            get_token_values(theirs, "voken_score"), abs=1e-2
        )
