"""Two processes at once on one output: one writes it, the other says so."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import spacy
import torch
from PIL import Image
from typer.testing import Result

from spacy_vokens.files import sole_writer
from spacy_vokens.images.embed import EmbedOptions, embed_images
from spacy_vokens.images.encoders import ImageEncoder
from spacy_vokens.images.pool import ImagePool
from tests.cli.conftest import said
from tests.faults.conftest import WRITING, run, start, wait

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.mark.parametrize("command", WRITING)
def test_a_command_leaves_the_output_to_its_writer(
    write_with: Callable[[str, Path], Result], command: str, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    ready, held = os.pipe(), os.pipe()

    def hold() -> None:
        with sole_writer(output):
            os.write(ready[1], b".")
            os.read(held[0], 1)

    holder = start(hold)
    try:
        os.read(ready[0], 1)
        result = write_with(command, output)
    finally:
        os.write(held[1], b".")
        assert wait(holder) == 0
    assert result.exit_code == 1
    assert said(result, f"{output} is being written by another process")
    assert not output.exists()


def test_two_jobs_of_one_pool(
    encoder: ImageEncoder, save_image: Callable[..., Path], tmp_path: Path
) -> None:
    for number in range(8):
        save_image(tmp_path / "images" / f"{number}.png", seed=number)
    pool = tmp_path / "pools" / "pool"

    def transform_when_told(image: Image.Image) -> torch.Tensor:
        (tmp_path / "began").touch()
        while not (tmp_path / "go").exists():
            time.sleep(0.01)
        return encoder.transform(image)

    slow = replace(encoder, transform=transform_when_told)
    first = start(lambda: embed_images(tmp_path / "images", pool, slow))
    while not (tmp_path / "began").exists():
        time.sleep(0.01)
    with pytest.raises(BlockingIOError, match="pool is being written by another process"):
        embed_images(tmp_path / "images", pool, encoder)
    (tmp_path / "go").touch()
    assert wait(first) == 0
    assert len(ImagePool.open(pool)) == 8
    assert [path.name for path in pool.parent.iterdir()] == ["pool"]


def test_an_open_pool_outlives_its_replacement(
    encoder: ImageEncoder, save_image: Callable[..., Path], tmp_path: Path
) -> None:
    """Its features are mapped; the new ones are other files, which take their place."""
    image = save_image(tmp_path / "images" / "a.png", seed=1)
    embed_images(tmp_path / "images", tmp_path / "pool", encoder)
    opened = ImagePool.open(tmp_path / "pool")
    before = opened.features.copy()
    save_image(image, seed=2)
    overwrite = start(
        lambda: embed_images(
            tmp_path / "images", tmp_path / "pool", encoder, EmbedOptions(overwrite=True)
        )
    )
    assert wait(overwrite) == 0
    assert (opened.features == before).all()
    assert (ImagePool.open(tmp_path / "pool").features != before).any()


def test_a_pipeline_saved_while_another_process_uses_it(
    vokenizer_path: Path, pool: ImagePool, tmp_path: Path
) -> None:
    """Nothing of a loaded pipeline is mapped, so whoever has it goes on with it."""
    run("index", vokenizer_path, pool.path, tmp_path / "pipeline")
    nlp = spacy.load(tmp_path / "pipeline")
    assert (
        wait(start(lambda: spacy.load(tmp_path / "pipeline").to_disk(tmp_path / "pipeline"))) == 0
    )
    assert nlp("a cat")[1]._.voken == "cat"
    nlp.to_disk(tmp_path / "pipeline")
    assert spacy.load(tmp_path / "pipeline")("a cat")[1]._.voken == "cat"
