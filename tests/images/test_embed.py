from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import srsly
import torch
from PIL import Image

from spacy_vokens.files import sha256_file
from spacy_vokens.images.decode import open_picture
from spacy_vokens.images.embed import embed_pictures
from spacy_vokens.images.encoders import ImageEncoder
from spacy_vokens.images.pool import ImagePool

N_PICTURES = 11


@pytest.fixture
def pictures(tmp_path: Path, save_picture: Callable[..., Path]) -> Path:
    extensions = ["jpg", "png", "webp", "JPEG"]
    for i in range(N_PICTURES):
        folder = "sub/" if i % 3 == 0 else ""
        save_picture(
            tmp_path / f"pictures/{folder}{i:02d}.{extensions[i % 4]}", seed=i, size=(30, 10 + i)
        )
    return tmp_path / "pictures"


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def rejects_of(pool: ImagePool) -> dict[str, str]:
    lines = (pool.path / "rejects.jsonl").read_text(encoding="utf-8").splitlines()
    return {reject["path"]: reject["reason"] for reject in map(json.loads, lines)}


class Interrupting:
    """A transform that stops the job at its n-th picture."""

    def __init__(self, encoder: ImageEncoder, n: int) -> None:
        self.transform, self.left = encoder.transform, n

    def __call__(self, image: Image.Image) -> torch.Tensor:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.transform(image)


def test_embed(pictures: Path, tmp_path: Path, encoder: ImageEncoder) -> None:
    report = embed_pictures(
        pictures, tmp_path / "pool", encoder, batch_size=4, source="a source", licence="CC0"
    )
    pool = ImagePool.open(tmp_path / "pool")
    assert pool.ids == sorted(f"sub/{i:02d}" if i % 3 == 0 else f"{i:02d}" for i in range(11))
    assert (report.n_rejected, report.n_other) == (0, 0)
    assert report.images_per_second > 0
    for record, features in zip(pool.records, pool.features, strict=True):
        file = pictures / record.path
        image = open_picture(file)
        assert record.sha256 == sha256_file(file)
        assert (record.width, record.height) == image.size
        assert (record.source, record.licence) == ("a source", "CC0")
        alone = encoder.module(encoder.transform(image)[None])[0]
        np.testing.assert_allclose(features, alone, rtol=2e-3, atol=1e-3)
        with Image.open(BytesIO(pool.thumbnail(record.id))) as thumbnail:
            assert thumbnail.size == image.size
    assert np.ptp(np.asarray(pool.features, np.float32), axis=0).max() > 0.01
    assert pool.meta["encoder"] == "tiny"
    assert pool.meta["weights_sha256"] == encoder.weights_sha256
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["pictures", "pool"]


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 64}, {"workers": 1}])
def test_batches_and_workers_do_not_change_the_features(
    pictures: Path, tmp_path: Path, encoder: ImageEncoder, options: dict[str, int]
) -> None:
    one = embed_pictures(pictures, tmp_path / "one", encoder, batch_size=4, workers=3).pool
    two = embed_pictures(pictures, tmp_path / "two", encoder, **options).pool
    assert one.records == two.records
    np.testing.assert_allclose(one.features, two.features, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("n", [0, 4, 10])
def test_an_interrupted_job_goes_on(
    pictures: Path, tmp_path: Path, encoder: ImageEncoder, n: int
) -> None:
    (pictures / "03b.png").write_bytes(b"no picture")
    options: dict = {"batch_size": 2, "workers": 1, "max_rejects": 0.2}
    embed_pictures(pictures, tmp_path / "undisturbed", encoder, **options)
    stopping = dataclasses.replace(encoder, transform=Interrupting(encoder, n))
    with pytest.raises(KeyboardInterrupt):
        embed_pictures(pictures, tmp_path / "pool", stopping, **options)
    assert not (tmp_path / "pool").exists()

    work = tmp_path / "pool.partial"
    batches = [srsly.read_jsonl(file) for file in work.glob("0*.jsonl")]
    n_done = sum("sha256" in line for batch in batches for line in batch)
    assert n_done == {0: 0, 4: 3, 10: 9}[n]
    # What a process leaves that dies while it writes.
    (work / "000005.npy").write_bytes(b"half a file")
    counting = Interrupting(encoder, 1000)
    resumed_encoder = dataclasses.replace(encoder, transform=counting)
    embed_pictures(pictures, tmp_path / "pool", resumed_encoder, **options)
    assert 1000 - counting.left == N_PICTURES - n_done
    undisturbed, resumed = files_of(tmp_path / "undisturbed"), files_of(tmp_path / "pool")
    assert undisturbed == resumed
    assert not work.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 3}, "batch_size"),
        ({"source": "another"}, "source"),
        ({"thumbnails": False}, "thumbnails"),
        ({"weights_sha256": "1" * 64}, "weights_sha256"),
        ({"touch": "01.png"}, "pictures"),
    ],
)
def test_an_unfinished_job_of_another_kind_is_not_mixed_in(
    pictures: Path, tmp_path: Path, encoder: ImageEncoder, change: dict, message: str
) -> None:
    stopping = dataclasses.replace(encoder, transform=Interrupting(encoder, 9))
    with pytest.raises(KeyboardInterrupt):
        embed_pictures(pictures, tmp_path / "pool", stopping, batch_size=2)
    if "touch" in change:
        os.utime(pictures / change.pop("touch"), ns=(1, 1))
    if "weights_sha256" in change:
        encoder = dataclasses.replace(encoder, weights_sha256=change.pop("weights_sha256"))
    with pytest.raises(ValueError, match=rf"pool\.partial holds .* differs in {message}:"):
        embed_pictures(pictures, tmp_path / "pool", encoder, **({"batch_size": 2} | change))


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
        "01.png": "its id '01' is that of 01.jpg",
        "cut.png": reasons["cut.png"],
        "empty.png": "empty file",
        "gif.png": "not a JPEG, PNG, WEBP picture",
        "link.png": "a link that leads out of the folder",
        "linked": "a linked folder",
        "new\nline.png": r"'new\nline' holds control characters, or is not valid Unicode",
        "nowhere.png": "a link that leads nowhere",
    }
    assert reasons["cut.png"].startswith("damaged")
    assert report.n_rejected == 8
    assert report.n_other == 1
    assert "inside" in report.pool.ids
    assert not any("secret" in id for id in report.pool.ids)


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


def test_no_thumbnails(pictures: Path, tmp_path: Path, encoder: ImageEncoder) -> None:
    report = embed_pictures(pictures, tmp_path / "pool", encoder, thumbnails=False)
    assert not report.pool.has_thumbnails


def test_no_pictures(tmp_path: Path, encoder: ImageEncoder) -> None:
    (tmp_path / "pictures").mkdir()
    with pytest.raises(ValueError, match=r"holds no picture \(\.jpg"):
        embed_pictures(tmp_path / "pictures", tmp_path / "pool", encoder)
    with pytest.raises(ValueError, match="absent cannot be read"):
        embed_pictures(tmp_path / "absent", tmp_path / "pool", encoder)


def test_an_existing_pool(pictures: Path, tmp_path: Path, encoder: ImageEncoder) -> None:
    embed_pictures(pictures / "sub", tmp_path / "pool", encoder)
    stopping = dataclasses.replace(encoder, transform=Interrupting(encoder, 0))
    with pytest.raises(FileExistsError, match="there already"):
        embed_pictures(pictures, tmp_path / "pool", stopping)
    report = embed_pictures(pictures, tmp_path / "pool", encoder, overwrite=True)
    assert len(report.pool) == N_PICTURES
    with pytest.raises(ValueError, match="lies among its own pictures"):
        embed_pictures(pictures, pictures / "pool", encoder)
