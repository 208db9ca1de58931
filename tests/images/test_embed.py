from __future__ import annotations

import dataclasses
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import srsly
import torch
from PIL import Image

from spacy_vokens.files import sha256_file
from spacy_vokens.identity import EncoderId
from spacy_vokens.images.decode import open_image
from spacy_vokens.images.embed import EmbedOptions, embed_images
from spacy_vokens.images.encoders import ImageEncoder
from spacy_vokens.images.pool import ImagePool
from tests.images.conftest import N_IMAGES, Interrupting
from tests.images.metadata_files import iptc, with_iptc


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_embed(images: Path, tmp_path: Path, encoder: ImageEncoder) -> None:
    report = embed_images(
        images,
        tmp_path / "pool",
        encoder,
        EmbedOptions(batch_size=4, source="a source", license="CC0"),
    )
    pool = ImagePool.open(tmp_path / "pool")
    assert pool.ids == sorted(f"sub/{i:02d}" if i % 3 == 0 else f"{i:02d}" for i in range(11))
    assert (report.n_rejected, report.n_other) == (0, 0)
    assert report.images_per_second > 0
    for record, features in zip(pool.records, pool.features, strict=True):
        file = images / record.path
        image = open_image(file)
        assert record.sha256 == sha256_file(file)
        assert (record.width, record.height) == image.size
        assert (record.source, record.license) == ("a source", "CC0")
        alone = encoder.module(encoder.transform(image)[None])[0]
        np.testing.assert_allclose(features, alone, rtol=2e-3, atol=1e-3)
        with Image.open(BytesIO(pool.thumbnail(record.id))) as thumbnail:
            assert thumbnail.size == image.size
    assert np.ptp(np.asarray(pool.features, np.float32), axis=0).max() > 0.01
    assert pool.encoder == encoder.id
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["images", "pool"]


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 64}, {"workers": 1}])
def test_batches_and_workers_do_not_change_the_features(
    images: Path, tmp_path: Path, encoder: ImageEncoder, options: dict[str, int]
) -> None:
    one = embed_images(
        images, tmp_path / "one", encoder, EmbedOptions(batch_size=4, workers=3)
    ).pool
    two = embed_images(images, tmp_path / "two", encoder, EmbedOptions(**options)).pool
    assert one.records == two.records
    np.testing.assert_allclose(one.features, two.features, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("n", [0, 4, 10])
def test_an_interrupted_job_goes_on(
    images: Path, tmp_path: Path, encoder: ImageEncoder, n: int
) -> None:
    (images / "03b.png").write_bytes(b"not an image")
    options: dict = {"batch_size": 2, "workers": 1, "max_rejects": 0.2}
    embed_images(images, tmp_path / "undisturbed", encoder, EmbedOptions(**options))
    stopping = dataclasses.replace(encoder, transform=Interrupting(encoder, n))
    with pytest.raises(KeyboardInterrupt):
        embed_images(images, tmp_path / "pool", stopping, EmbedOptions(**options))
    assert not (tmp_path / "pool").exists()

    work = tmp_path / "pool.partial"
    done = {file: len(srsly.read_json(file)["records"]) for file in work.glob("batch-*.json")}
    assert sum(done.values()) == {0: 0, 4: 3, 10: 9}[n]
    if done:
        # What a process leaves that dies while it writes.
        file, _ = done.popitem()
        file.unlink()
        file.with_suffix(".npy").write_bytes(b"half a file")
    counting = Interrupting(encoder, 1000)
    resumed_encoder = dataclasses.replace(encoder, transform=counting)
    embed_images(images, tmp_path / "pool", resumed_encoder, EmbedOptions(**options))
    assert 1000 - counting.left == N_IMAGES - sum(done.values())
    undisturbed, resumed = files_of(tmp_path / "undisturbed"), files_of(tmp_path / "pool")
    assert undisturbed == resumed
    assert not work.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 3}, "batch_size"),
        ({"source": "another"}, "source"),
        ({"thumbnails": False}, "thumbnails"),
        ({"encoder": EncoderId("tiny", "1" * 64)}, "encoder"),
    ],
)
def test_an_unfinished_job_of_another_kind_is_not_mixed_in(
    images: Path, tmp_path: Path, encoder: ImageEncoder, change: dict, message: str
) -> None:
    stopping = dataclasses.replace(encoder, transform=Interrupting(encoder, 9))
    with pytest.raises(KeyboardInterrupt):
        embed_images(images, tmp_path / "pool", stopping, EmbedOptions(batch_size=2))
    if "encoder" in change:
        encoder = dataclasses.replace(encoder, id=change["encoder"])
        change = {}
    with pytest.raises(ValueError, match=rf"pool\.partial holds .* differs in {message}:"):
        embed_images(
            images, tmp_path / "pool", encoder, EmbedOptions(**({"batch_size": 2} | change))
        )


@pytest.mark.parametrize("change", ["another", "removed", "added"])
def test_batches_of_the_same_images_outlive_a_change(
    images: Path, tmp_path: Path, encoder: ImageEncoder, change: str
) -> None:
    stopping = dataclasses.replace(encoder, transform=Interrupting(encoder, 9))
    with pytest.raises(KeyboardInterrupt):
        embed_images(images, tmp_path / "pool", stopping, EmbedOptions(batch_size=2, workers=1))
    if change == "removed":
        (images / "05.png").unlink()
    else:
        copy = images / ("05.png" if change == "another" else "05b.png")
        copy.write_bytes((images / "01.png").read_bytes())
    counting = Interrupting(encoder, 1000)
    going_on = dataclasses.replace(encoder, transform=counting)
    pool = embed_images(images, tmp_path / "pool", going_on, EmbedOptions(batch_size=2)).pool
    assert 1000 - counting.left < len(pool)
    embed_images(images, tmp_path / "anew", encoder, EmbedOptions(batch_size=2))
    assert files_of(tmp_path / "pool") == files_of(tmp_path / "anew")


def interrupt(*arguments: object, **options: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("n", [4, N_IMAGES])
def test_an_interrupted_job_goes_on_with_other_texts(
    images: Path, tmp_path: Path, encoder: ImageEncoder, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = EmbedOptions(batch_size=2, workers=1)
    old = dataclasses.replace(options, captions={"01": ["a dog"], "02": ["a cat"]})
    new = dataclasses.replace(options, captions={"02": ["a fish"]}, texts=("names", "iptc"))
    photo = (images / "sub/00.jpg").read_bytes()
    (images / "sub/00.jpg").write_bytes(with_iptc(iptc(((2, 120), b"a bird")), photo))
    stopping = dataclasses.replace(encoder, transform=Interrupting(encoder, n))
    with monkeypatch.context() as patch:
        # At the latest after the last batch.
        patch.setattr(ImagePool, "write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            embed_images(images, tmp_path / "pool", stopping, old)
    n_done = sum(
        len(srsly.read_json(file)["records"])
        for file in (tmp_path / "pool.partial").glob("batch-*.json")
    )
    assert n_done == n
    counting = Interrupting(encoder, 1000)
    going_on = dataclasses.replace(encoder, transform=counting)
    report = embed_images(images, tmp_path / "pool", going_on, new)
    assert 1000 - counting.left == N_IMAGES - n
    texts = dict(zip(report.pool.ids, report.pool.texts, strict=True))
    assert {id: of for id, of in texts.items() if of} == {"02": ("a fish",), "sub/00": ("a bird",)}
    assert report.texts.described == ("02", "sub/00")
    embed_images(images, tmp_path / "undisturbed", encoder, new)
    assert files_of(tmp_path / "undisturbed") == files_of(tmp_path / "pool")


def test_texts_that_cannot_be_had_end_the_job_before_it_begins(
    images: Path, tmp_path: Path, encoder: ImageEncoder
) -> None:
    for options, message in (
        (EmbedOptions(texts=("exif",)), "choose from names, iptc, xmp"),
        (EmbedOptions(captions={"00": ["a dog"]}), r"None of the 1 images with captions is in"),
    ):
        with pytest.raises(ValueError, match=message):
            embed_images(images, tmp_path / "pool", encoder, options)
        assert not (tmp_path / "pool.partial").exists()


def test_no_thumbnails(images: Path, tmp_path: Path, encoder: ImageEncoder) -> None:
    report = embed_images(images, tmp_path / "pool", encoder, EmbedOptions(thumbnails=False))
    assert not report.pool.meta.thumbnails


def test_no_images(tmp_path: Path, encoder: ImageEncoder) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(ValueError, match=r"has no images \(\.jpg"):
        embed_images(tmp_path / "images", tmp_path / "pool", encoder)
    with pytest.raises(ValueError, match="absent cannot be read"):
        embed_images(tmp_path / "absent", tmp_path / "pool", encoder)


def test_an_existing_pool(images: Path, tmp_path: Path, encoder: ImageEncoder) -> None:
    embed_images(images / "sub", tmp_path / "pool", encoder)
    stopping = dataclasses.replace(encoder, transform=Interrupting(encoder, 0))
    with pytest.raises(FileExistsError, match="already exists"):
        embed_images(images, tmp_path / "pool", stopping)
    report = embed_images(images, tmp_path / "pool", encoder, EmbedOptions(overwrite=True))
    assert len(report.pool) == N_IMAGES
    with pytest.raises(ValueError, match="is inside its own images"):
        embed_images(images, images / "pool", encoder)


def test_every_kind_of_image_that_is_good(
    tmp_path: Path, encoder: ImageEncoder, save_image: Callable[..., Path]
) -> None:
    folder = tmp_path / "images"
    plain = Image.open(save_image(folder / "plain.png", size=(30, 20)))
    rotated = Image.Exif()
    rotated[0x0112] = 6
    kinds: dict[str, tuple[Image.Image, str, dict]] = {
        "a-png.jpg": (plain, "PNG", {}),
        "palette.png": (plain.convert("P"), "PNG", {"transparency": 0}),
        "alpha.webp": (plain.convert("RGBA"), "WEBP", {}),
        "cmyk.jpg": (plain.convert("CMYK"), "JPEG", {}),
        "16-bit.png": (Image.fromarray(np.full((20, 30), 40_000, np.uint16)), "PNG", {}),
        "1-bit.png": (plain.convert("1"), "PNG", {}),
        "rotated.jpg": (plain, "JPEG", {"exif": rotated}),
        "animated.webp": (plain, "WEBP", {"save_all": True, "append_images": [plain] * 20}),
        "profile.jpg": (plain, "JPEG", {"icc_profile": bytes(9000)}),
        "one-pixel.png": (plain.resize((1, 1)), "PNG", {}),
        "line.png": (plain.resize((1, 100)), "PNG", {}),
    }
    for name, (image, file_format, options) in kinds.items():
        image.save(folder / name, file_format, **options)
    report = embed_images(folder, tmp_path / "pool", encoder)
    assert report.n_rejected == 0
    sizes = {record.id: (record.width, record.height) for record in report.pool.records}
    odd = {"rotated": (20, 30), "one-pixel": (1, 1), "line": (1, 100)}
    assert sizes == {name.partition(".")[0]: (30, 20) for name in kinds} | {"plain": (30, 20)} | odd


def test_the_same_content_under_two_ids(
    images: Path, tmp_path: Path, encoder: ImageEncoder
) -> None:
    (images / "twin.png").write_bytes((images / "01.png").read_bytes())
    pool = embed_images(images, tmp_path / "pool", encoder, EmbedOptions(batch_size=4)).pool
    one, twin = pool.rows(["01", "twin"])
    assert pool.records[one].sha256 == pool.records[twin].sha256
    np.testing.assert_allclose(pool.features[one], pool.features[twin], rtol=2e-3, atol=1e-3)
    assert pool.thumbnail("01") == pool.thumbnail("twin") != pool.thumbnail("02")


def test_an_encoder_that_fails_ends_the_job_which_can_go_on(
    images: Path, tmp_path: Path, encoder: ImageEncoder
) -> None:
    class Failing(torch.nn.Module):
        n_batches = 0

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.n_batches += 1
            if self.n_batches == 3:
                raise RuntimeError("out of memory")
            return encoder.module(images)

    failing = dataclasses.replace(encoder, module=Failing())
    with pytest.raises(RuntimeError, match="out of memory"):
        embed_images(images, tmp_path / "pool", failing, EmbedOptions(batch_size=2))
    assert not (tmp_path / "pool").exists()
    counting = Interrupting(encoder, 1000)
    going_on = dataclasses.replace(encoder, transform=counting)
    embed_images(images, tmp_path / "pool", going_on, EmbedOptions(batch_size=2))
    assert 1000 - counting.left == N_IMAGES - 4
    embed_images(images, tmp_path / "undisturbed", encoder, EmbedOptions(batch_size=2))
    assert files_of(tmp_path / "pool") == files_of(tmp_path / "undisturbed")


def test_a_folder_of_the_users_own_in_the_place_for_unfinished_work(
    images: Path, tmp_path: Path, encoder: ImageEncoder
) -> None:
    # The second would be its own work folder, to be removed at the end.
    for folder, name in ((images, "one"), (images.rename(tmp_path / "two.partial"), "two")):
        mine = tmp_path / f"{name}.partial"
        mine.mkdir(exist_ok=True)
        (mine / "diary.txt").write_text("mine")
        before = files_of(mine)
        with pytest.raises(FileExistsError, match=rf"{name}\.partial, .* holds something else"):
            embed_images(tmp_path / "two.partial", tmp_path / name, encoder)
        assert files_of(mine) == before
        assert not folder.with_name(name).exists()
