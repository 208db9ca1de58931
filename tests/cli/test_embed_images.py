from __future__ import annotations

import platform
from pathlib import Path

import catalogue
import pytest
import srsly
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from spacy_vokens.cli import app
from spacy_vokens.cli._util import keep_freed_memory
from spacy_vokens.identity import EncoderId
from spacy_vokens.images.encoders import ImageEncoder, image_encoders
from spacy_vokens.images.pool import ImagePool
from tests.images.metadata_files import with_iptc, with_xmp, xmp


def mean_color(model: str, weights: Path | None) -> ImageEncoder:
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def transform(image: Image.Image) -> torch.Tensor:
        return torch.tensor(image.getpixel((0, 0))).reshape(3, 1, 1) / 255

    return ImageEncoder(EncoderId("mean_color", "0" * 64), module, transform, 3)


@pytest.fixture(autouse=True)
def registered() -> object:
    image_encoders.register("mean_color", func=mean_color)
    yield
    catalogue._remove(("spacy_vokens_image_encoders", "mean_color"))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("blue", "lime", "red"):
        Image.new("RGB", (8, 8), name).save(folder / f"{name}.png")
    return folder


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(
        app, ["embed-images", *map(str, arguments), "--encoder", "mean_color"]
    )
    # wasabi wraps long lines.
    return result.exit_code, " ".join(result.output.split())


def test_embed_images(images: Path, tmp_path: Path) -> None:
    code, output = run(
        images, tmp_path / "pool", "--source", "a painter", "--license", "CC0", "--batch-size", 2
    )
    assert code == 0, output
    for row in (
        "Images 3",
        "With texts 0",
        "Rejected 0",
        "Dimension 3",
        "Encoder mean_color",
        "Images/s",
        "Size",
    ):
        assert row in output
    pool = ImagePool.open(tmp_path / "pool")
    assert pool.ids == ["blue", "lime", "red"]
    assert pool.features.tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert {(record.source, record.license) for record in pool.records} == {("a painter", "CC0")}
    assert pool.meta.thumbnails

    code, output = run(images, tmp_path / "pool")
    assert code == 1
    assert "already exists" in output
    code, output = run(images, tmp_path / "pool", "--overwrite", "--no-thumbnails")
    assert code == 0, output
    assert not ImagePool.open(tmp_path / "pool").meta.thumbnails


def test_rejects(images: Path, tmp_path: Path) -> None:
    (images / "bad.png").write_bytes(b"not an image")
    code, output = run(images, tmp_path / "pool")
    assert code == 1
    assert "1 of 4 images were rejected" in output
    listed = tmp_path / "pool.partial/rejects.jsonl"
    assert str(listed) in output.replace(" ", "")
    reason = "not a JPEG, PNG or WebP image"
    assert list(srsly.read_jsonl(listed)) == [{"path": "bad.png", "reason": reason}]
    code, output = run(images, tmp_path / "pool", "--max-rejects", 0.25)
    assert code == 0, output
    assert "1 images were rejected" in output


def test_texts(images: Path, tmp_path: Path) -> None:
    table = tmp_path / "captions.tsv"
    table.write_text("image\tcaption\nred.png\ta tomato\nred.png\ta rose\nBlue.png\tthe sea\n")
    photo = with_xmp(xmp("<dc:subject><rdf:Bag><rdf:li>grass</rdf:li></rdf:Bag></dc:subject>"))
    (images / "meadow.jpg").write_bytes(with_iptc(b"damaged", photo))
    (images / "lime.png").unlink()
    code, output = run(images, tmp_path / "pool", "--captions", table, "--texts", "names, xmp,iptc")
    assert code == 0, output
    pool = ImagePool.open(tmp_path / "pool")
    assert pool.ids == ["blue", "meadow", "red"]
    assert pool.texts == [("blue",), ("meadow", "grass"), ("a tomato", "a rose", "red")]
    for line in (
        "With texts 3",
        "Images without a caption: 2 (blue, meadow)",
        "Images with captions that are not in the pool: 1 (Blue)",
        "'Blue' and 'blue' differ only in case: write both the same way.",
        "Images whose metadata cannot be read: 1 (meadow)",
    ):
        assert line in output
    assert "were cut" not in output

    table.write_text(f"image\tcaption\nred.png\t{'x' * 1001}\n")
    code, output = run(images, tmp_path / "pool", "--captions", table, "--overwrite")
    assert code == 0, output
    assert "With texts 1" in output
    assert "Images whose texts were cut: 1 (red)" in output
    assert "A pool keeps up to 64 texts of 1,000 characters per image." in output
    assert "metadata" not in output


def test_texts_that_cannot_be_had(images: Path, tmp_path: Path) -> None:
    table = tmp_path / "captions.tsv"
    for content, options, message in (
        ("image\tcaption\nred\n", ("--captions", table), "line 2: expected 'image<TAB>caption'"),
        ("image\tcaption\nrose\tred\n", ("--captions", table), "None of the 1 images with"),
        ("", ("--texts", "exif"), "of the kind 'exif': choose from names, iptc, xmp"),
    ):
        table.write_text(content)
        code, output = run(images, tmp_path / "pool", *options)
        assert code == 1
        assert "Could not embed" in output
        assert message in output
    assert not (tmp_path / "pool").exists()


def test_unknown_encoder(images: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["embed-images", str(images), str(tmp_path / "pool"), "--encoder", "absent"]
    )
    assert result.exit_code == 1
    assert "no image encoder 'absent'" in " ".join(result.output.split())


def test_one_error_instead_of_a_pool(images: Path, tmp_path: Path) -> None:
    (tmp_path / "pool.partial").mkdir()
    (tmp_path / "pool.partial/mine.txt").touch()
    for folder, error in (
        (images, "the folder for unfinished work, holds something else (no job.json)"),
        (tmp_path / "pool.partial", "has no images"),
    ):
        code, output = run(folder, tmp_path / "pool")
        assert code == 1
        assert "Could not embed" in output
        assert error in output
    assert not (tmp_path / "pool").exists()


def test_the_c_library_keeps_freed_memory() -> None:
    """glibc's function says whether it takes the setting; other systems are left alone."""
    is_glibc = platform.libc_ver()[0] == "glibc"
    assert keep_freed_memory() is is_glibc


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert not keep_freed_memory()
