"""The configs as `spacy train` and `spacy package` take them, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from spacy.cli.package import package
from spacy.cli.train import train

from spacy_vokens.images.pool import ImagePool
from spacy_vokens.models.image_features import ImageFeatures
from spacy_vokens.scoring.ner import bio_tags
from tests.conftest import CONFIGS, IMAGES, LANG

ROOT = CONFIGS.parent


@pytest.fixture(scope="module")
def trained(train_configs: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained")
    train_configs(path)
    return path


def test_the_vokenizer_learns(trained: Path) -> None:
    nlp = spacy.load(trained / "vokenizer" / "model-best")
    assert nlp.meta["performance"]["voken_sent_r10"] == 1.0
    assert [doc[1]._.voken for doc in nlp.pipe(f"a {image} !" for image in IMAGES)] == [*IMAGES]
    assert nlp.get_pipe("voken_retriever").cfg["image_width"] > 0


def test_the_sourced_retriever_is_frozen_and_annotates(trained: Path) -> None:
    nlp, source = (spacy.load(trained / name / "model-best") for name in ("tagger", "vokenizer"))
    assert nlp.pipe_names == ["transformer", "voken_retriever", "visual_ner"]
    ours, theirs = (pipeline.get_pipe("voken_retriever") for pipeline in (nlp, source))
    assert ours.index.mark == theirs.index.mark
    for ref in ("text_tower", "image_tower", "visualness"):
        for our, their in zip(
            ours.model.get_ref(ref).walk(), theirs.model.get_ref(ref).walk(), strict=True
        ):
            for our_shim, their_shim in zip(our.shims, their.shims, strict=True):
                state = their_shim._model.state_dict()
                for name, value in our_shim._model.state_dict().items():
                    torch.testing.assert_close(value, state[name], rtol=0, atol=0)
    doc = nlp("anna in paris !")
    assert bio_tags(doc) == ["B-PER", "O", "B-LOC", "O"]
    assert doc[0]._.voken in IMAGES
    assert 0 < doc[0]._.visual_gate < 1


def test_the_tagger_sees_vokens_in_training(
    trained: Path, pool: ImagePool, text_encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The corpus has none, so they are the retriever's."""
    rows: list[list[np.ndarray]] = []
    lookup = ImageFeatures.lookup
    monkeypatch.setattr(
        ImageFeatures,
        "lookup",
        lambda self, docs: rows.append(lookup(self, docs)[1]) or lookup(self, docs),
    )
    train(
        CONFIGS / "visual_ner.cfg",
        overrides={
            "nlp.lang": LANG,
            "paths.pool": str(pool.path),
            "paths.text_encoder": text_encoder,
            "paths.vokenizer": str(trained / "vokenizer" / "model-best"),
            "paths.train": str(trained / "ner.spacy"),
            "paths.dev": str(trained / "ner.spacy"),
            "training.max_steps": 1,
            "training.eval_frequency": 100,
        },
    )
    # Two updates, and the evaluation before the second one; punctuation has no voken.
    assert len(rows) >= 3
    assert all(sum((doc >= 0).sum() for doc in batch) == 13 for batch in rows)


def test_the_package_says_what_it_is(trained: Path, tmp_path: Path) -> None:
    package(
        trained / "tagger" / "model-best",
        tmp_path,
        meta_path=ROOT / "assets" / "meta" / "quickstart.json",
        name="vokener",
        version="0.1.0",
        create_sdist=False,
        create_wheel=False,
        silent=True,
    )
    readme = (tmp_path / f"{LANG}_vokener-0.1.0" / "README.md").read_text(encoding="utf-8")
    assert "VOKEN_R" not in readme
    for fact in (
        "demonstration",
        "`LOC`, `PER`",
        "`ENTS_F`",
        "100.00",
        "OpenMoji",
        "CC BY-SA 4.0",
        "all-MiniLM-L6-v2",
    ):
        assert fact in readme
    nlp = spacy.load(
        tmp_path / f"{LANG}_vokener-0.1.0" / f"{LANG}_vokener" / f"{LANG}_vokener-0.1.0"
    )
    assert nlp("anna in paris !").ents[0].label_ == "PER"


def test_training_shows_the_images_and_spacys_loggers_go_on(
    trained: Path, pool: ImagePool, text_encoder: str, capsys: pytest.CaptureFixture
) -> None:
    """spacy-loggers' own chain, with a logger of its, beside the console's columns."""
    train(
        CONFIGS / "visual_ner.cfg",
        overrides={
            "nlp.lang": LANG,
            "paths.pool": str(pool.path),
            "paths.text_encoder": text_encoder,
            "paths.vokenizer": str(trained / "vokenizer" / "model-best"),
            "paths.train": str(trained / "ner.spacy"),
            "paths.dev": str(trained / "ner.spacy"),
            "training.max_steps": 2,
            "training.eval_frequency": 1,
            "training.logger": {
                "@loggers": "spacy.ChainLogger.v1",
                "logger1": {"@loggers": "spacy.ConsoleLogger.v1"},
                "logger2": {
                    "@loggers": "spacy.LookupLogger.v1",
                    "patterns": ["^other_scores_visual_gate"],
                },
            },
        },
    )
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    (header,) = (line for line in lines if line[:2] == ["E", "#"])
    # From the end, since the names of the losses are two words each. spaCy shortens long names.
    rows = [line for line in lines if len(line) == len(header) - 2 and line[0] == "0"]
    assert rows
    for name in ("VOKEN_COVE...", "VISUAL_GATE", "VISUAL_GAT..."):
        values = [float(row[header.index(name) - len(header)]) for row in rows]
        assert all(0 <= value < 100 for value in values), name
        assert any(values) or name == "VISUAL_GAT...", "in so few steps no entity may be found"
