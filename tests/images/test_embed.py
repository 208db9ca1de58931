from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import srsly
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from spacy_vokens.files import sha256_file
from spacy_vokens.images import embed
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


class Acting:
    """A transform that does something else before its first picture."""

    def __init__(self, encoder: ImageEncoder, action: Callable[[], object]) -> None:
        self.transform, self.action = encoder.transform, action

    def __call__(self, image: Image.Image) -> torch.Tensor:
        self.action()
        self.action = lambda: None
        return self.transform(image)


BAD = {
    "empty": (b"", "empty file"),
    "text": (b"just words", "not a JPEG, PNG, WEBP picture"),
    "cut": (None, "damaged: "),
    "thin": (None, "1 x 200 pixels, one side more than 100 times the other"),
}


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kinds=st.lists(st.sampled_from(["good", *BAD]), min_size=1, max_size=12),
    batch_size=st.integers(1, 6),
    workers=st.integers(1, 3),
)
def test_ids_records_and_features_belong_together_whatever_is_rejected(
    kinds: list[str],
    batch_size: int,
    workers: int,
    encoder: ImageEncoder,
    save_picture: Callable[..., Path],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        mixed, alone = Path(name, "mixed"), Path(name, "alone")
        for i, kind in enumerate(["good", *kinds]):
            file = save_picture(
                mixed / f"{i:02d}.png", seed=i, size=(1, 200) if kind == "thin" else (12, 10)
            )
            if kind == "good":
                save_picture(alone / file.name, seed=i, size=(12, 10))
            elif kind != "thin":
                data = BAD[kind][0]
                file.write_bytes(file.read_bytes()[:150] if data is None else data)
        options: dict = {"batch_size": batch_size, "workers": workers, "max_rejects": 1}
        found = embed_pictures(mixed, Path(name, "pool"), encoder, **options)
        wanted = embed_pictures(alone, Path(name, "wanted"), encoder).pool
        assert found.pool.records == wanted.records
        np.testing.assert_allclose(found.pool.features, wanted.features, rtol=2e-3, atol=1e-3)
        for id in wanted.ids:
            assert found.pool.thumbnail(id) == wanted.thumbnail(id)
        reasons = rejects_of(found.pool)
        expected = {
            f"{i:02d}.png": BAD[kind][1] for i, kind in enumerate(kinds, 1) if kind != "good"
        }
        assert reasons.keys() == expected.keys()
        assert all(reasons[path].startswith(reason) for path, reason in expected.items())
        assert found.n_rejected == len(expected)


def test_the_content_says_what_format_it_is(
    pictures: Path, tmp_path: Path, encoder: ImageEncoder
) -> None:
    (pictures / "png.jpg").write_bytes((pictures / "01.png").read_bytes())
    pool = embed_pictures(pictures, tmp_path / "pool", encoder).pool
    one, other = pool.features[pool.rows(["01", "png"])]
    np.testing.assert_allclose(one, other, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("batch_size", [1, 20])
def test_one_content_under_two_ids_is_kept_twice(
    pictures: Path, tmp_path: Path, encoder: ImageEncoder, batch_size: int
) -> None:
    (pictures / "twin.png").write_bytes((pictures / "01.png").read_bytes())
    pool = embed_pictures(pictures, tmp_path / "pool", encoder, batch_size=batch_size).pool
    one, other = (pool.records[row] for row in pool.rows(["01", "twin"]))
    assert one.sha256 == other.sha256
    assert pool.thumbnail("01") == pool.thumbnail("twin")
    assert len(pool) == N_PICTURES + 1


def test_names_that_are_one_file_on_other_systems(
    tmp_path: Path, encoder: ImageEncoder, save_picture: Callable[..., Path]
) -> None:
    composed, decomposed = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
    names = ["A", "a", "Sub/b", "sub/B", composed, decomposed, "fi", "\ufb01x", "x", "\u0445"]
    for seed, name in enumerate(names):
        save_picture(tmp_path / f"pictures/{name}.png", seed=seed)
    if len(list((tmp_path / "pictures").rglob("*.png"))) < len(names):
        pytest.skip("the file system takes such names for one")
    pool = embed_pictures(tmp_path / "pictures", tmp_path / "pool", encoder, max_rejects=0.5).pool
    but = "but for case or Unicode form"
    assert rejects_of(pool) == {
        "a.png": f"its id 'a' is that of A.png {but}",
        "sub/B.png": f"its id 'sub/B' is that of Sub/b.png {but}",
        f"{composed}.png": f"its id {composed!r} is that of {decomposed}.png {but}",
    }
    # Letters that merely look alike are other names on every system.
    assert pool.ids == sorted(["A", "Sub/b", decomposed, "fi", "\ufb01x", "x", "\u0445"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_names_and_files_that_are_no_pictures(
    pictures: Path, tmp_path: Path, encoder: ImageEncoder, save_picture: Callable[..., Path]
) -> None:
    os.mkfifo(pictures / "pipe.png")
    (pictures / "circle.png").symlink_to("circle.png")
    (pictures / "device.png").symlink_to("/dev/zero")
    long = "/".join(["x" * 200] * 5)
    for name in ("con", "a b ", "ab:c", long):
        save_picture(pictures / f"{name}.png")
    report = embed_pictures(pictures, tmp_path / "pool", encoder, max_rejects=0.5)
    assert rejects_of(report.pool) == {
        "pipe.png": "not a regular file",
        "circle.png": "a link that leads nowhere",
        "device.png": "a link that leads out of the folder",
        "con.png": "'con' leads elsewhere on Windows: rename it",
        "a b .png": "'a b ' leads elsewhere on Windows: rename it",
        "ab:c.png": "'ab:c' leads elsewhere on Windows: rename it",
        f"{long}.png": f"the id {'x' * 20!r}… has 1004 characters, more than 255",
    }
    assert len(report.pool) == N_PICTURES


def test_a_picture_that_goes_or_becomes_a_link_meanwhile(
    pictures: Path, tmp_path: Path, encoder: ImageEncoder, save_picture: Callable[..., Path]
) -> None:
    outside = save_picture(tmp_path / "outside/secret.png")

    def swap() -> None:
        (pictures / "10.webp").unlink()
        (pictures / "08.jpg").unlink()
        (pictures / "08.jpg").symlink_to(outside)

    acting = dataclasses.replace(encoder, transform=Acting(encoder, swap))
    options: dict = {"batch_size": 1, "workers": 1, "max_rejects": 0.5}
    report = embed_pictures(pictures, tmp_path / "pool", acting, **options)
    assert rejects_of(report.pool) == {
        "10.webp": "cannot be read: No such file or directory",
        "08.jpg": "a link that leads out of the folder",
    }


def test_a_picture_that_goes_right_after_it_was_found(
    pictures: Path, tmp_path: Path, encoder: ImageEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = embed._scan

    def scan_and_delete(folder: Path) -> object:
        found = scan(folder)
        (folder / "01.png").unlink()
        return found

    monkeypatch.setattr(embed, "_scan", scan_and_delete)
    pool = embed_pictures(pictures, tmp_path / "pool", encoder, max_rejects=0.5).pool
    assert rejects_of(pool) == {"01.png": "cannot be read: No such file or directory"}


def test_a_failing_transform_rejects_one_picture(
    pictures: Path, tmp_path: Path, encoder: ImageEncoder
) -> None:
    def failing(image: Image.Image) -> torch.Tensor:
        if image.height == 14:
            raise RuntimeError("too odd")
        return encoder.transform(image)

    broken = dataclasses.replace(encoder, transform=failing)
    report = embed_pictures(pictures, tmp_path / "pool", broken, max_rejects=0.2)
    assert rejects_of(report.pool) == {"04.jpg": "the encoder's transform failed: too odd"}
    assert len(report.pool) == N_PICTURES - 1


def test_a_failing_encoder_ends_the_job(
    pictures: Path, tmp_path: Path, encoder: ImageEncoder
) -> None:
    broken = dataclasses.replace(encoder, module=torch.nn.Linear(3, 8))
    with pytest.raises(RuntimeError, match="shapes"):
        embed_pictures(pictures, tmp_path / "pool", broken, max_rejects=1)
    assert not (tmp_path / "pool").exists()


@pytest.fixture
def folder_of_a_user() -> Iterator[Path]:
    """A folder that is worked in without root's rights, which would make permissions void."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        is_root = hasattr(os, "geteuid") and os.geteuid() == 0
        if is_root:
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            if is_root:
                os.seteuid(0)


@pytest.mark.skipif(os.name == "nt", reason="permissions are others on Windows")
def test_permissions(
    folder_of_a_user: Path, encoder: ImageEncoder, save_picture: Callable[..., Path]
) -> None:
    pictures = folder_of_a_user / "pictures"
    for i in range(3):
        save_picture(pictures / f"{i}.png", seed=i)
    locked = save_picture(pictures / "locked/a.png").parent
    (pictures / "1.png").chmod(0)
    locked.chmod(0o400)
    report = embed_pictures(pictures, folder_of_a_user / "pool", encoder, max_rejects=0.5)
    assert report.pool.ids == ["0", "2"]
    reason = "cannot be read: Permission denied"
    assert rejects_of(report.pool) == {"1.png": reason, "locked/a.png": reason}
    # How many pictures such a folder holds cannot be counted.
    locked.chmod(0)
    with pytest.raises(ValueError, match=r"locked cannot be read: Permission denied\.$"):
        embed_pictures(pictures, folder_of_a_user / "other", encoder, max_rejects=1)
    locked.chmod(0o700)
