from __future__ import annotations

import dataclasses
import json
import os
import socket
from collections.abc import Callable
from functools import partial
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
from spacy_vokens.images.embed import embed_pictures
from spacy_vokens.images.encoders import ImageEncoder
from spacy_vokens.images.pool import ImagePool

from .conftest import N_PICTURES, Interrupting


@pytest.fixture(scope="module")
def grey_encoder() -> ImageEncoder:
    """The feature is the grey of the first pixel; where that is dark, the transform fails."""

    def transform(image: Image.Image) -> torch.Tensor:
        grey = image.getpixel((0, 0))[0]
        if grey < 2:
            raise ValueError("too dark")
        return torch.full((1, 1, 1), float(grey))

    return ImageEncoder("grey", torch.nn.Flatten(), transform, 1, "0" * 64)


def rejects_of(pool: ImagePool) -> dict[str, str]:
    lines = (pool.path / "rejects.jsonl").read_text(encoding="utf-8").splitlines()
    return {reject["path"]: reject["reason"] for reject in map(json.loads, lines)}


def test_rejects(
    pictures: Path,
    tmp_path: Path,
    encoder: ImageEncoder,
    save_picture: Callable[..., Path],
) -> None:
    outside = save_picture(tmp_path / "outside/secret.png")
    (pictures / "notes.txt").write_text("no picture")
    (pictures / ".hidden.png").write_bytes(b"")
    (pictures / "empty.png").write_bytes(b"")
    (pictures / "gif.png").write_bytes(b"GIF89a")
    (pictures / "cut.png").write_bytes((pictures / "01.png").read_bytes()[:200])
    save_picture(pictures / "01.jpg")
    save_picture(pictures / "new\nline.png")
    (pictures / "link.png").symlink_to(outside)
    (pictures / "linked").symlink_to(outside.parent)
    (pictures / "nowhere.png").symlink_to(pictures / "absent.png")
    (pictures / "inside.png").symlink_to(pictures / "01.png")
    (pictures / "folder.png").mkdir()

    report = embed_pictures(pictures, tmp_path / "pool", encoder, max_rejects=0.6)
    reasons = rejects_of(report.pool)
    assert reasons == {
        "01.png": "its id '01' is that of 01.jpg: case and Unicode form do not count",
        "cut.png": reasons["cut.png"],
        "empty.png": "empty file",
        "gif.png": "not a JPEG, PNG, WEBP picture",
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


def test_features_that_are_not_finite(
    pictures: Path, tmp_path: Path, encoder: ImageEncoder
) -> None:
    def blinding(image: Image.Image) -> torch.Tensor:
        tensor = encoder.transform(image)
        return tensor * float("nan") if image.height == 14 else tensor

    broken = dataclasses.replace(encoder, transform=blinding)
    report = embed_pictures(pictures, tmp_path / "pool", broken, max_rejects=0.2)
    assert rejects_of(report.pool) == {"04.jpg": "its features are not finite in float16"}
    whole = embed_pictures(pictures, tmp_path / "whole", encoder).pool
    shared = report.pool.features[report.pool.rows(["05", "sub/09"])]
    np.testing.assert_array_equal(shared, whole.features[whole.rows(["05", "sub/09"])])


def test_too_many_rejects(pictures: Path, tmp_path: Path, encoder: ImageEncoder) -> None:
    (pictures / "bad.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"1 of 12 pictures were rejected, allowed are 5\.0%"):
        embed_pictures(pictures, tmp_path / "pool", encoder)
    assert not (tmp_path / "pool").exists()
    listed = (tmp_path / "pool.partial/rejects.jsonl").read_text()
    assert json.loads(listed)["path"] == "bad.png"
    # Nothing is done twice once more are allowed.
    stopping = dataclasses.replace(encoder, transform=Interrupting(encoder, 0))
    report = embed_pictures(pictures, tmp_path / "pool", stopping, max_rejects=0.1)
    assert len(report.pool) == N_PICTURES
    assert report.images_per_second == 0


def test_rejects_removed(pictures: Path, tmp_path: Path, encoder: ImageEncoder) -> None:
    """What the error advises."""
    (pictures / "bad.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="remove them"):
        embed_pictures(pictures, tmp_path / "pool", encoder)
    (pictures / "bad.png").unlink()
    report = embed_pictures(pictures, tmp_path / "pool", encoder)
    assert (len(report.pool), report.n_rejected) == (N_PICTURES, 0)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX's kinds of files")
def test_files_of_other_kinds(
    pictures: Path, tmp_path: Path, encoder: ImageEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(pictures / "pipe.png")
    (pictures / "device.png").symlink_to("/dev/zero")
    # A socket's path may not be long.
    monkeypatch.chdir(pictures)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
    report = embed_pictures(pictures, tmp_path / "pool", encoder, max_rejects=0.3)
    reasons = rejects_of(report.pool)
    assert reasons.pop("socket.png").startswith("cannot be read: ")
    assert reasons == {
        "pipe.png": "not a regular file",
        "device.png": "a link that leads out of the folder",
    }


def test_a_file_without_permissions(encoder: ImageEncoder, unprivileged: None) -> None:
    with TemporaryDirectory() as folder:
        pictures = Path(folder, "pictures")
        pictures.mkdir()
        for name in ("open.png", "closed.png"):
            Image.new("RGB", (8, 8)).save(pictures / name)
        (pictures / "closed.png").chmod(0)
        report = embed_pictures(pictures, Path(folder, "pool"), encoder, max_rejects=0.5)
        assert rejects_of(report.pool) == {"closed.png": "cannot be read: Permission denied"}


def test_files_that_change_between_the_scan_and_the_reading(
    pictures: Path, tmp_path: Path, encoder: ImageEncoder, save_picture: Callable[..., Path]
) -> None:
    outside = save_picture(tmp_path / "outside/secret.png", seed=9)

    def changing(image: Image.Image) -> torch.Tensor:
        if (pictures / "08.jpg").exists():
            (pictures / "08.jpg").unlink()
            (pictures / "07.JPEG").unlink()
            (pictures / "07.JPEG").symlink_to(outside)
            os.truncate(pictures / "05.png", 2**40)
            (pictures / "sub").rename(tmp_path / "moved")
            (pictures / "sub").symlink_to(tmp_path / "moved")
        return encoder.transform(image)

    report = embed_pictures(
        pictures,
        tmp_path / "pool",
        dataclasses.replace(encoder, transform=changing),
        workers=1,
        max_rejects=0.7,
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
        (ValueError("no such colour"), "cannot be transformed: no such colour"),
        (MemoryError(), "cannot be transformed: MemoryError"),
    ],
)
def test_a_transform_that_fails_rejects_the_picture(
    pictures: Path, tmp_path: Path, encoder: ImageEncoder, error: Exception, reason: str
) -> None:
    def failing(image: Image.Image) -> torch.Tensor:
        if image.height == 14:
            raise error
        return encoder.transform(image)

    picky = dataclasses.replace(encoder, transform=failing)
    report = embed_pictures(pictures, tmp_path / "pool", picky, max_rejects=0.1)
    assert rejects_of(report.pool) == {"04.jpg": reason}
    assert len(report.pool) == N_PICTURES - 1


KINDS_OF_FILES = ("good", "twin", "empty", "text", "cut", "line", "dark")


@settings(max_examples=40, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(KINDS_OF_FILES), min_size=1, max_size=12),
    batch_size=st.integers(1, 5),
    workers=st.integers(1, 3),
)
def test_ids_records_and_features_stay_aligned_whatever_is_rejected(
    grey_encoder: ImageEncoder, kinds: list[str], batch_size: int, workers: int
) -> None:
    with TemporaryDirectory() as folder:
        root, path = Path(folder, "pictures"), Path(folder, "pool")
        root.mkdir()
        greys: dict[str, int] = {}
        for number, kind in enumerate(kinds):
            grey = {"twin": 77, "dark": 1}.get(kind, 100 + 10 * number)
            buffer = BytesIO()
            size = (1, 200) if kind == "line" else (8, 6)
            Image.new("RGB", size, (grey, grey, grey)).save(buffer, "PNG")
            content = {"empty": b"", "text": b"<html>", "cut": buffer.getvalue()[:50]}
            (root / f"{number:02d}.png").write_bytes(content.get(kind, buffer.getvalue()))
            if kind in ("good", "twin"):
                greys[f"{number:02d}"] = grey

        embed = partial(
            embed_pictures, root, path, grey_encoder, batch_size=batch_size, workers=workers
        )
        if not greys:
            with pytest.raises(ValueError, match=f"{len(kinds)} of {len(kinds)} pictures"):
                embed(max_rejects=1)
            return
        report = embed(max_rejects=1)
        pool = report.pool
        assert pool.ids == [record.id for record in pool.records] == list(greys)
        np.testing.assert_array_equal(pool.features[:, 0], list(greys.values()))
        for record in pool.records:
            assert record.sha256 == sha256_file(root / record.path)
            with Image.open(BytesIO(pool.thumbnail(record.id))) as small:
                assert small.convert("L").getpixel((0, 0)) == pytest.approx(greys[record.id], abs=3)
        reasons = rejects_of(pool)
        assert report.n_rejected == len(reasons) == len(kinds) - len(greys)
        assert reasons.keys() == {f"{n:02d}.png" for n in range(len(kinds))} - {
            f"{id}.png" for id in greys
        }
        assert all(reasons.values())
