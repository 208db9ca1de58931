from __future__ import annotations

from pathlib import Path

import catalogue
import pytest
import srsly
import torch
import typer
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from spacy_vokens.cli.embed_images import embed_images
from spacy_vokens.images.encoders import ImageEncoder, image_encoders
from spacy_vokens.images.pool import ImagePool

app = typer.Typer()
app.command("embed-images")(embed_images)


def mean_color(model: str, weights: Path | None) -> ImageEncoder:
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def transform(image: Image.Image) -> torch.Tensor:
        return torch.tensor(image.getpixel((0, 0))).reshape(3, 1, 1) / 255

    return ImageEncoder("mean_color", module, transform, 3, "0" * 64)


@pytest.fixture(autouse=True)
def registered() -> object:
    image_encoders.register("mean_color", func=mean_color)
    yield
    catalogue._remove(("spacy_vokens_image_encoders", "mean_color"))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("blue", "lime", "red"):
        Image.new("RGB", (8, 8), name).save(folder / f"{name}.png")
    return folder


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*map(str, arguments), "--encoder", "mean_color"])
    # wasabi wraps long lines.
    return result.exit_code, " ".join(result.output.split())


def test_embed_images(pictures: Path, tmp_path: Path) -> None:
    code, output = run(
        pictures, tmp_path / "pool", "--source", "a painter", "--licence", "CC0", "--batch-size", 2
    )
    assert code == 0, output
    for row in ("Images 3", "Rejected 0", "Dimension 3", "Encoder mean_color", "Images/s", "Size"):
        assert row in output
    pool = ImagePool.open(tmp_path / "pool")
    assert pool.ids == ["blue", "lime", "red"]
    assert pool.features.tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert {(record.source, record.licence) for record in pool.records} == {("a painter", "CC0")}
    assert pool.has_thumbnails

    code, output = run(pictures, tmp_path / "pool")
    assert code == 1
    assert "is there already" in output
    code, output = run(pictures, tmp_path / "pool", "--overwrite", "--no-thumbnails")
    assert code == 0, output
    assert not ImagePool.open(tmp_path / "pool").has_thumbnails


def test_rejects(pictures: Path, tmp_path: Path) -> None:
    (pictures / "bad.png").write_bytes(b"no picture")
    code, output = run(pictures, tmp_path / "pool")
    assert code == 1
    assert "1 of 4 pictures were rejected" in output
    listed = tmp_path / "pool.partial/rejects.jsonl"
    assert str(listed) in output.replace(" ", "")
    reason = "not a JPEG, PNG, WEBP picture"
    assert list(srsly.read_jsonl(listed)) == [{"path": "bad.png", "reason": reason}]
    code, output = run(pictures, tmp_path / "pool", "--max-rejects", 0.25)
    assert code == 0, output
    assert "1 pictures were rejected" in output


def test_unknown_encoder(pictures: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(pictures), str(tmp_path / "pool"), "--encoder", "absent"])
    assert result.exit_code == 1
    assert "no image encoder 'absent'" in " ".join(result.output.split())


def test_one_error_instead_of_a_pool(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "pool.partial").mkdir()
    (tmp_path / "pool.partial/mine.txt").touch()
    for folder, error in (
        (pictures, "where unfinished work goes, holds something else (no job.json)"),
        (tmp_path / "pool.partial", "holds no picture"),
    ):
        code, output = run(folder, tmp_path / "pool")
        assert code == 1
        assert "Could not embed" in output
        assert error in output
    assert not (tmp_path / "pool").exists()
