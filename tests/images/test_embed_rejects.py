from __future__ import annotations

import dataclasses
import json
import os
import socket
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from spacy_vokens.files import sha256_file
from spacy_vokens.identity import EncoderId
from spacy_vokens.images.embed import EmbedOptions, embed_images
from spacy_vokens.images.encoders import ImageEncoder
from spacy_vokens.images.pool import ImagePool
from tests.images.conftest import N_IMAGES, Interrupting


@pytest.fixture(scope="module")
def gray_encoder() -> ImageEncoder:
    """The feature is the gray value of the first pixel. If that is dark, the transform fails."""

    def transform(image: Image.Image) -> torch.Tensor:
        gray = image.getpixel((0, 0))[0]
        if gray < 2:
            raise ValueError("too dark")
        return torch.full((1, 1, 1), float(gray))

    return ImageEncoder(EncoderId("gray", "0" * 64), torch.nn.Flatten(), transform, 1)


def rejects_of(pool: ImagePool) -> dict[str, str]:
    lines = (pool.path / "rejects.jsonl").read_text(encoding="utf-8").splitlines()
    return {reject["path"]: reject["reason"] for reject in map(json.loads, lines)}


def test_rejects(
    images: Path,
    tmp_path: Path,
    encoder: ImageEncoder,
    save_image: Callable[..., Path],
) -> None:
    outside = save_image(tmp_path / "outside/secret.png")
    (images / "notes.txt").write_text("not an image")
    (images / ".hidden.png").write_bytes(b"")
    (images / "empty.png").write_bytes(b"")
    (images / "gif.png").write_bytes(b"GIF89a")
    (images / "cut.png").write_bytes((images / "01.png").read_bytes()[:200])
    save_image(images / "01.jpg")
    save_image(images / "new\nline.png")
    (images / "link.png").symlink_to(outside)
    (images / "linked").symlink_to(outside.parent)
    (images / "nowhere.png").symlink_to(images / "absent.png")
    (images / "inside.png").symlink_to(images / "01.png")
    (images / "folder.png").mkdir()

    report = embed_images(images, tmp_path / "pool", encoder, EmbedOptions(max_rejects=0.6))
    reasons = rejects_of(report.pool)
    assert reasons == {
        "01.png": "its id is that of 01.jpg, as the extension does not count: rename one of them",
        "cut.png": reasons["cut.png"],
        "empty.png": "empty file",
        "gif.png": "not a JPEG, PNG or WebP image, but GIF: convert it",
        "link.png": "a link that leads out of the folder",
        "linked": "a linked folder",
        "new\nline.png": r"'new\nline' holds control characters, or is not valid Unicode",
        "nowhere.png": "cannot be read: No such file or directory",
    }
    assert reasons["cut.png"].startswith("damaged")
    assert report.n_rejected == 8
    assert report.n_other == 1
    assert "inside" in report.pool.ids
    assert not any("secret" in id for id in report.pool.ids)


def test_features_that_are_not_finite(images: Path, tmp_path: Path, encoder: ImageEncoder) -> None:
    def blinding(image: Image.Image) -> torch.Tensor:
        tensor = encoder.transform(image)
        return tensor * float("nan") if image.height == 14 else tensor

    broken = dataclasses.replace(encoder, transform=blinding)
    report = embed_images(images, tmp_path / "pool", broken, EmbedOptions(max_rejects=0.2))
    assert rejects_of(report.pool) == {"04.jpg": "its features are not finite in float16"}
    whole = embed_images(images, tmp_path / "whole", encoder).pool
    shared = report.pool.features[report.pool.rows(["05", "sub/09"])]
    np.testing.assert_array_equal(shared, whole.features[whole.rows(["05", "sub/09"])])


def test_too_many_rejects(images: Path, tmp_path: Path, encoder: ImageEncoder) -> None:
    (images / "bad.png").write_bytes(b"not an image")
    with pytest.raises(ValueError, match=r"1 of 12 images were rejected, but only 5\.0% may be"):
        embed_images(images, tmp_path / "pool", encoder)
    assert not (tmp_path / "pool").exists()
    listed = (tmp_path / "pool.partial/rejects.jsonl").read_text()
    assert json.loads(listed)["path"] == "bad.png"
    # Nothing is done twice once more are allowed.
    stopping = dataclasses.replace(encoder, transform=Interrupting(encoder, 0))
    report = embed_images(images, tmp_path / "pool", stopping, EmbedOptions(max_rejects=0.1))
    assert len(report.pool) == N_IMAGES
    assert report.images_per_second == 0


def test_rejects_removed(images: Path, tmp_path: Path, encoder: ImageEncoder) -> None:
    """What the error advises."""
    (images / "bad.png").write_bytes(b"not an image")
    with pytest.raises(ValueError, match="remove them"):
        embed_images(images, tmp_path / "pool", encoder)
    (images / "bad.png").unlink()
    report = embed_images(images, tmp_path / "pool", encoder)
    assert (len(report.pool), report.n_rejected) == (N_IMAGES, 0)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX's kinds of files")
def test_files_of_other_kinds(
    images: Path, tmp_path: Path, encoder: ImageEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(images / "pipe.png")
    (images / "device.png").symlink_to("/dev/zero")
    # A socket's path may not be long.
    monkeypatch.chdir(images)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
    report = embed_images(images, tmp_path / "pool", encoder, EmbedOptions(max_rejects=0.3))
    reasons = rejects_of(report.pool)
    assert reasons.pop("socket.png").startswith("cannot be read: ")
    assert reasons == {
        "pipe.png": "not a regular file",
        "device.png": "a link that leads out of the folder",
    }


def test_a_file_without_permissions(encoder: ImageEncoder, unprivileged: None) -> None:
    with TemporaryDirectory() as folder:
        images = Path(folder, "images")
        images.mkdir()
        for name in ("open.png", "closed.png"):
            Image.new("RGB", (8, 8)).save(images / name)
        (images / "closed.png").chmod(0)
        report = embed_images(images, Path(folder, "pool"), encoder, EmbedOptions(max_rejects=0.5))
        assert rejects_of(report.pool) == {"closed.png": "cannot be read: Permission denied"}


def test_files_that_change_between_the_scan_and_the_reading(
    images: Path, tmp_path: Path, encoder: ImageEncoder, save_image: Callable[..., Path]
) -> None:
    outside = save_image(tmp_path / "outside/secret.png", seed=9)

    def changing(image: Image.Image) -> torch.Tensor:
        if (images / "08.jpg").exists():
            (images / "08.jpg").unlink()
            (images / "07.JPEG").unlink()
            (images / "07.JPEG").symlink_to(outside)
            os.truncate(images / "05.png", 2**40)
            (images / "sub").rename(tmp_path / "moved")
            (images / "sub").symlink_to(tmp_path / "moved")
        return encoder.transform(image)

    report = embed_images(
        images,
        tmp_path / "pool",
        dataclasses.replace(encoder, transform=changing),
        EmbedOptions(workers=1, max_rejects=0.7),
    )
    assert rejects_of(report.pool) == {
        "05.png": "more than 33,554,432 bytes",
        "07.JPEG": "a link that leads out of the folder",
        "08.jpg": "cannot be read: No such file or directory",
        **{
            f"sub/{name}": "a link that leads out of the folder"
            for name in ("00.jpg", "03.JPEG", "06.webp", "09.png")
        },
    }
    assert report.pool.ids == ["01", "02", "04", "10"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("no such color"), "cannot be transformed: no such color"),
        (MemoryError(), "cannot be transformed: MemoryError"),
    ],
)
def test_a_transform_that_fails_rejects_the_image(
    images: Path, tmp_path: Path, encoder: ImageEncoder, error: Exception, reason: str
) -> None:
    def failing(image: Image.Image) -> torch.Tensor:
        if image.height == 14:
            raise error
        return encoder.transform(image)

    picky = dataclasses.replace(encoder, transform=failing)
    report = embed_images(images, tmp_path / "pool", picky, EmbedOptions(max_rejects=0.1))
    assert rejects_of(report.pool) == {"04.jpg": reason}
    assert len(report.pool) == N_IMAGES - 1


KINDS_OF_FILES = ("good", "twin", "empty", "text", "cut", "line", "dark")


@settings(max_examples=40)
@given(
    kinds=st.lists(st.sampled_from(KINDS_OF_FILES), min_size=1, max_size=12),
    batch_size=st.integers(1, 5),
    workers=st.integers(1, 3),
)
def test_ids_records_and_features_stay_aligned_whatever_is_rejected(
    gray_encoder: ImageEncoder, kinds: list[str], batch_size: int, workers: int
) -> None:
    with TemporaryDirectory() as folder:
        root, path = Path(folder, "images"), Path(folder, "pool")
        root.mkdir()
        grays: dict[str, int] = {}
        for number, kind in enumerate(kinds):
            gray = {"twin": 77, "dark": 1}.get(kind, 100 + 10 * number)
            buffer = BytesIO()
            size = (1, 200) if kind == "line" else (8, 6)
            Image.new("RGB", size, (gray, gray, gray)).save(buffer, "PNG")
            content = {"empty": b"", "text": b"<html>", "cut": buffer.getvalue()[:50]}
            (root / f"{number:02d}.png").write_bytes(content.get(kind, buffer.getvalue()))
            if kind in ("good", "twin"):
                grays[f"{number:02d}"] = gray

        options = EmbedOptions(batch_size=batch_size, workers=workers, max_rejects=1)
        if not grays:
            with pytest.raises(ValueError, match=f"{len(kinds)} of {len(kinds)} images"):
                embed_images(root, path, gray_encoder, options)
            return
        report = embed_images(root, path, gray_encoder, options)
        pool = report.pool
        assert pool.ids == [record.id for record in pool.records] == list(grays)
        np.testing.assert_array_equal(pool.features[:, 0], list(grays.values()))
        for record in pool.records:
            assert record.sha256 == sha256_file(root / record.path)
            with Image.open(BytesIO(pool.thumbnail(record.id))) as small:
                assert small.convert("L").getpixel((0, 0)) == pytest.approx(grays[record.id], abs=3)
        reasons = rejects_of(pool)
        assert report.n_rejected == len(reasons) == len(kinds) - len(grays)
        assert reasons.keys() == {f"{n:02d}.png" for n in range(len(kinds))} - {
            f"{id}.png" for id in grays
        }
        assert all(reasons.values())
