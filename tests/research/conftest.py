from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from spacy_vokens.corpus.docbin import save_docs
from spacy_vokens.images.pool import ImagePool
from spacy_vokens.pipeline.util import load_with_pipe
from spacy_vokens.pipeline.voken_retriever import VokenRetriever
from tests.conftest import CONFIGS, IMAGES, LANG, LEARN_RATE

FUSION = "components.visual_ner.model.fusion.@voken_fusions"
# An override that no config can take: a section below a value.
IMPOSSIBLE = {"training.dropout.rate": 0.5}


def ground(docs: list[Doc], vokenizer: Path) -> list[Doc]:
    """Give documents the vokens of a vokenizer, as `spacy vokens vokenize` does."""
    _, retriever = load_with_pipe(vokenizer, VokenRetriever)
    return list(retriever.pipe(docs))


@pytest.fixture(scope="session")
def corpora(
    tagged_examples: Callable[[Language], list[Example]],
    vokenizer_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Folder of `train.spacy`, `dev.spacy` and `test.spacy`: tagged sentences with vokens.

    Each came with a picture. The test part has an ill-formed tag and an empty document besides.
    """
    folder = tmp_path_factory.mktemp("corpora")
    nlp = spacy.blank(LANG)
    docs = [example.reference for example in tagged_examples(nlp)]
    odd = Doc(nlp.vocab, words=["we", "see", "anna", "!"], ents=["O", "O", "B-PER", "O"])
    odd._.visual_raw_tags = ["O", "O", "I-PER", "O"]
    for number, doc in enumerate([*docs, odd]):
        doc._.visual_image_id = IMAGES[number]
    ground([*docs, odd], vokenizer_path)
    for split, of_split in {
        "train": docs,
        "dev": docs,
        "test": [odd, Doc(nlp.vocab), *docs],
    }.items():
        save_docs(of_split, folder / f"{split}.spacy")
    return folder


@pytest.fixture(scope="session")
def tiny_grid(
    corpora: Path, pool: ImagePool, vokenizer_path: Path, text_encoder: str
) -> dict[str, Any]:
    """What a grid of few steps holds."""
    return {
        "title": "A tiny grid",
        "config": str(CONFIGS / "visual_ner.cfg"),
        "overrides": {
            "components.voken_retriever": {"factory": "given_image"},
            "nlp.pipeline": ["transformer", "visual_ner"],
            "training.frozen_components": [],
            "training.annotating_components": [],
            "training.max_steps": 40,
            "training.eval_frequency": 20,
            LEARN_RATE: 0.005,
            # Else the gates are soon 0 or 1.
            "training.optimizer.lr_scales": {},
            "paths.text_encoder": text_encoder,
        },
        "datasets": {
            "tiny": {
                **{split: str(corpora / f"{split}.spacy") for split in ("train", "dev", "test")},
                "pool": str(pool.path),
                "vokenizer": str(vokenizer_path),
            }
        },
        "taggers": {
            "text-only": {FUSION: "spacy-vokens.NoFusion.v1"},
            "gated": {FUSION: "spacy-vokens.GatedFusion.v1"},
            "attention": {FUSION: "spacy-vokens.VisualAttention.v1"},
        },
        "cells": [{"dataset": "tiny", "tagger": "text-only", "images": "none"}],
    }


@pytest.fixture
def grid_values(tiny_grid: dict[str, Any]) -> dict[str, Any]:
    """The grid's values, for a test to change and write."""
    return deepcopy(tiny_grid)


@pytest.fixture
def write_grid(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """Write a grid file."""

    def write(values: dict[str, Any]) -> Path:
        srsly.write_yaml(tmp_path / "grid.yml", values)
        return tmp_path / "grid.yml"

    return write
