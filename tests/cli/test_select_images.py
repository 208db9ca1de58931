from __future__ import annotations

from pathlib import Path

import spacy
from typer.testing import CliRunner

from spacy_vokens.cli import app
from spacy_vokens.corpus.docbin import save_docs
from spacy_vokens.images.pool import ImagePool
from tests.conftest import LANG


def test_training_images_only(pool: ImagePool, tmp_path: Path) -> None:
    nlp = spacy.blank(LANG)
    docs = [nlp("a cat"), nlp("a cow"), nlp("nothing")]
    docs[0]._.visual_image_id, docs[1]._.visual_image_id = "cat", "cow"
    save_docs(docs, tmp_path / "train.spacy")
    arguments = ["select-images", str(pool.path), str(tmp_path / "train.spacy")]
    result = CliRunner().invoke(app, [*arguments, str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "1 images that" in result.output
    assert ImagePool.open(tmp_path / "out").ids == ["cat"]

    save_docs(docs[2:], tmp_path / "none.spacy")
    arguments[-1] = str(tmp_path / "none.spacy")
    result = CliRunner().invoke(app, [*arguments, str(tmp_path / "other")])
    assert result.exit_code == 1
    assert "None of the 0 image ids" in result.output
