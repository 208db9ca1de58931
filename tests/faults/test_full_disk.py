"""A disk that is full in mid-write: one error, nothing half written, and the job goes on later."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import Result

from spacy_vokens.images.embed import EmbedOptions, embed_images
from spacy_vokens.images.encoders import ImageEncoder
from spacy_vokens.images.pool import ImagePool
from tests.cli.conftest import said
from tests.faults.conftest import WRITING, start, tree, wait


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a file system, and not everywhere")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def grow(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)


@pytest.fixture
def images(save_image: Callable[..., Path], tmp_path: Path) -> Path:
    for number in range(60):
        save_image(tmp_path / "images" / f"{number:02d}.png", seed=number, size=(96, 96))
    return tmp_path / "images"


def test_embedding_goes_on_when_there_is_room(
    encoder: ImageEncoder, images: Path, small_disk: Path, tmp_path: Path
) -> None:
    with pytest.raises(OSError, match="No space left"):
        embed_images(images, small_disk / "pool", encoder, EmbedOptions(batch_size=4))
    assert not (small_disk / "pool").exists()
    assert any((small_disk / "pool.partial").glob("batch-*.json")), "what was done is kept"
    grow(small_disk)
    embed_images(images, small_disk / "pool", encoder, EmbedOptions(batch_size=4))
    expected = embed_images(images, tmp_path / "pool", encoder, EmbedOptions(batch_size=4)).pool
    assert tree(small_disk / "pool") == tree(expected.path)


@pytest.mark.parametrize("command", WRITING)
def test_a_command_writes_whole_or_nothing(
    write_with: Callable[[str, Path], Result], command: str, small_disk: Path
) -> None:
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "filling").write_bytes(bytes(257 * 1024))
    result = write_with(command, small_disk / "out")
    assert result.exit_code == 1
    assert said(result, "No space left on device")
    assert tree(small_disk).keys() == {"filling"}


def test_a_file_that_may_not_grow(encoder: ImageEncoder, images: Path, tmp_path: Path) -> None:
    """The same without a disk of its own: no file may have more than 400 bytes."""

    def embed() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400))
        with pytest.raises(OSError):  # noqa: PT011  # NumPy's own words, without a number
            embed_images(images, tmp_path / "pool", encoder, EmbedOptions(batch_size=4))
        os._exit(7)

    assert wait(start(embed)) == 7
    assert not (tmp_path / "pool").exists()
    embed_images(images, tmp_path / "pool", encoder, EmbedOptions(batch_size=4))
    assert len(ImagePool.open(tmp_path / "pool")) == 60
