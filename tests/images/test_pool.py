from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_vokens.files import sha256_file
from spacy_vokens.identity import EncoderId
from spacy_vokens.images.pool import (
    ImagePool,
    ImageRecord,
    PoolContent,
    Reject,
    records_from_bytes,
    records_to_bytes,
)
from spacy_vokens.images.texts import join_texts

IDS = ["a", "b/c", "flags/türkiye"]
TEXTS = [("a dog", "dogs"), (), ("die türkische Flagge",)]


def record(id: str) -> ImageRecord:
    return ImageRecord(id, f"{id}.jpg", "0" * 64, 24, 20, "a source", "CC0")


def write(path: Path, ids: list[str] = IDS, **options: object) -> ImagePool:
    features = np.arange(len(ids) * 4, dtype=np.float32).reshape(len(ids), 4) / 3
    arguments: dict = {
        "encoder": EncoderId("tiny", "1" * 64),
        "image_root": Path("/images"),
    }
    records = options.pop("records", [record(id) for id in ids])
    features = options.pop("features", features)
    overwrite = options.pop("overwrite", False)
    content = PoolContent(records, features, **(arguments | options))
    return ImagePool.write(path, content, overwrite=overwrite)


def described(texts: list[tuple[str, ...]] = TEXTS) -> list[ImageRecord]:
    """The records of `IDS` with texts."""
    return [replace(record(id), texts=of_image) for id, of_image in zip(IDS, texts, strict=True)]


def edit_json(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_write_and_open(tmp_path: Path) -> None:
    thumbnails = [b"one", b"two", b"three"]
    written = write(tmp_path / "pool", thumbnails=thumbnails, rejects=[Reject("x.jpg", "damaged")])
    pool = ImagePool.open(tmp_path / "pool")
    assert pool.ids == IDS
    assert pool.records == [record(id) for id in IDS]
    assert len(pool) == 3
    assert pool.features.dtype == np.float16
    assert isinstance(pool.features, np.memmap)
    assert not pool.features.flags.writeable
    np.testing.assert_array_equal(
        pool.features, (np.arange(12).reshape(3, 4) / 3).astype(np.float16)
    )
    assert [pool.thumbnail(id) for id in IDS] == thumbnails
    assert pool.meta.thumbnails
    assert pool.meta.count == 3
    assert pool.dimension == 4
    assert pool.encoder == EncoderId("tiny", "1" * 64)
    assert pool.id == written.id
    rejects = (tmp_path / "pool/rejects.jsonl").read_text()
    assert json.loads(rejects) == {"path": "x.jpg", "reason": "damaged"}
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["pool"]


def test_parts_of_the_features_give_the_same_pool_as_the_whole(tmp_path: Path) -> None:
    features = (np.arange(12).reshape(3, 4) / 3).astype(np.float16)
    whole = write(tmp_path / "whole", features=features)
    parts = write(tmp_path / "parts", features=iter([features[:2], features[:0], features[2:]]))
    for name in ("features.npy", "meta.json"):
        assert (whole.path / name).read_bytes() == (parts.path / name).read_bytes()
    np.save(tmp_path / "by_numpy.npy", features)
    assert (tmp_path / "by_numpy.npy").read_bytes() == (whole.path / "features.npy").read_bytes()


def test_what_is_written_passes_the_checks_of_opening(tmp_path: Path) -> None:
    written = write(tmp_path / "pool")
    opened = ImagePool.open(tmp_path / "pool")
    assert written.meta == opened.meta
    assert written.records == opened.records
    assert isinstance(written.features, np.memmap)
    np.testing.assert_array_equal(written.features, opened.features)


def test_rows(tmp_path: Path) -> None:
    pool = write(tmp_path / "pool")
    np.testing.assert_array_equal(pool.rows(["b/c", "a", "b/c"]), [1, 0, 1])
    assert pool.rows([]).shape == (0,)
    with pytest.raises(ValueError, match=r"2 image ids are not in the pool .*'x', 'y'"):
        pool.rows(["a", "x", "y"])


def test_no_thumbnails(tmp_path: Path) -> None:
    pool = write(tmp_path / "pool")
    assert not pool.meta.thumbnails
    assert pool.thumbnail("a") is None
    with pytest.raises(KeyError):
        pool.thumbnail("x")


def test_hash_is_of_the_content(tmp_path: Path) -> None:
    one = write(tmp_path / "one")
    two = write(tmp_path / "elsewhere/two", image_root=Path("images"), thumbnails=[b""] * 3)
    assert one.id == two.id
    other_ids = write(tmp_path / "ids", ["a", "b/c", "d"])
    other_features = write(tmp_path / "features", features=np.ones((3, 4)))
    assert len({one.id, other_ids.id, other_features.id}) == 3


def test_texts_are_kept_with_their_images(tmp_path: Path) -> None:
    written = write(tmp_path / "pool", records=described())
    opened = ImagePool.open(tmp_path / "pool")
    assert opened.texts == written.texts == TEXTS
    assert opened.records == written.records == described()
    assert (opened.id, opened.meta) == (written.id, written.meta)
    lines = (tmp_path / "pool/images.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line).get("texts") for line in lines] == [[*TEXTS[0]], None, [*TEXTS[2]]]


def test_the_hash_is_of_the_texts_too(tmp_path: Path) -> None:
    other = [("a dog", "dogs"), ("a cat",), ()]
    pools = [
        write(tmp_path / "none"),
        write(tmp_path / "some", records=described()),
        write(tmp_path / "other", records=described(other)),
    ]
    assert len({pool.id for pool in pools}) == 3
    # Indexes of pools without texts stay valid.
    meta = pools[0].meta
    hashes = (meta.ids_sha256 + meta.features_sha256).encode()
    assert pools[0].id.sha256 == hashlib.sha256(hashes).hexdigest()
    assert "texts_sha256" not in json.loads((tmp_path / "none/meta.json").read_text())
    assert "texts" not in (tmp_path / "none/images.jsonl").read_text(encoding="utf-8")
    assert pools[0].texts == [()] * 3


@given(st.lists(st.lists(st.text(max_size=9), max_size=3), min_size=3, max_size=3))
def test_any_texts_come_back(texts: list[list[str]]) -> None:
    records = described([join_texts(of_image)[0] for of_image in texts])
    assert records_from_bytes(records_to_bytes(records)) == records
    with TemporaryDirectory() as folder:
        written = write(Path(folder, "pool"), records=records)
        opened = ImagePool.open(Path(folder, "pool"))
        assert opened.records == records
        assert opened.id == written.id
        selected = opened.select(IDS[1:], Path(folder, "some"))
        assert selected.texts == opened.texts[1:]


def test_relative_image_root_moves_with_the_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    pool = write(Path("pools/pool"), image_root=Path("images"))
    assert pool.image_root == project / "images"
    monkeypatch.chdir(tmp_path)
    shutil.move(project, tmp_path / "moved")
    moved = ImagePool.open(tmp_path / "moved/pools/pool")
    assert moved.image_root == tmp_path / "moved/images"
    absolute = write(tmp_path / "pool", image_root=tmp_path / "images")
    assert absolute.meta.image_root == (tmp_path / "images").as_posix()


def test_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "pool"
    write(path, thumbnails=[b""] * 3)
    with pytest.raises(FileExistsError, match="already exists"):
        write(path, ["z"])
    assert ImagePool.open(path).ids == IDS
    assert write(path, ["z"], overwrite=True).ids == ["z"]
    assert not (path / "thumbnails").exists()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["pool"]


def test_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("three years of work")
    with pytest.raises(FileExistsError, match="something else"):
        write(tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").exists()


def test_failed_write_leaves_the_old_pool(tmp_path: Path) -> None:
    path = tmp_path / "pool"
    write(path)
    with pytest.raises(ValueError, match="shorter"):
        write(path, overwrite=True, thumbnails=[b"only one"])
    assert ImagePool.open(path).ids == IDS
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["pool"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"records": []}, "there are no images"),
        ({"records": [record("b"), record("a"), record("c")]}, "'a' comes after 'b'"),
        ({"records": [record("a"), record("a"), record("c")]}, "'a' appears twice"),
        ({"ids": ["../a", "b", "c"]}, "leads out"),
        ({"records": [ImageRecord("a", "/etc/passwd", "", 1, 1)]}, "leads out"),
        (
            {"records": [replace(record("a"), texts=("x" * 1001,))]},
            "Image 'a': the text 'x{20}'… has 1,001 characters",
        ),
        ({"features": np.ones((2, 4))}, "need features of shape"),
        ({"features": np.ones(3)}, "need features of shape"),
        ({"features": np.full((3, 4), np.nan)}, "not finite"),
        ({"features": np.full((3, 4), 1e6)}, "not finite"),
        ({"features": iter([np.ones((2, 4), np.float16)])}, "as many rows of features, found 2"),
        ({"features": iter([])}, "as many rows of features, found 0"),
        ({"features": iter([np.ones((3, 4))])}, "A chunk of the features is float64"),
        (
            {"features": iter([np.ones((2, 4), np.float16), np.ones((1, 3), np.float16)])},
            r"is float16 of shape \(1, 3\), not float16 of 4 columns",
        ),
    ],
)
def test_write_refuses(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "pool", **options)
    assert not (tmp_path / "pool").exists()


def test_open_needs_a_pool(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not an image pool"):
        ImagePool.open(tmp_path)


def test_flipped_bit_in_the_features(tmp_path: Path) -> None:
    write(tmp_path / "pool")
    file = tmp_path / "pool/features.npy"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match=r"features\.npy cannot be used: its hash.*embed-images"):
        ImagePool.open(tmp_path / "pool")


def test_features_of_another_pool(tmp_path: Path) -> None:
    write(tmp_path / "one")
    write(tmp_path / "two", features=np.ones((3, 5)))
    shutil.copy(tmp_path / "two/features.npy", tmp_path / "one/features.npy")
    with pytest.raises(ValueError, match=r"features\.npy.*not float16 of shape \(3, 4\)"):
        ImagePool.open(tmp_path / "one")


def test_pickled_features_are_not_loaded(tmp_path: Path) -> None:
    write(tmp_path / "pool")
    np.save(tmp_path / "pool/features.npy", np.array([{}] * 3), allow_pickle=True)
    with pytest.raises(ValueError, match=r"features\.npy cannot be used"):
        ImagePool.open(tmp_path / "pool")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"id":"a"', '"id":"aa"', r"its ids are not those of meta\.json"),
        ('"id":"a"', '"id":"z"', "'b/c' comes after 'z'"),
        ('"path":"a.jpg"', '"path":"../../a.jpg"', "leads out"),
        ('"path":"a.jpg"', '"path":"C:/a.jpg"', "leads out"),
        ('"width":24', '"width":"24"', "line 1: 'width' must be int"),
        ('"width":24,', "", "line 1: it must hold id, path"),
        ('{"id":"a"', '"id":"a"', r"images\.jsonl cannot be used"),
    ],
)
def test_changed_records(tmp_path: Path, old: str, new: str, message: str) -> None:
    write(tmp_path / "pool")
    file = tmp_path / "pool/images.jsonl"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        ImagePool.open(tmp_path / "pool")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('["a dog","dogs"]', '["a dog"]', r"its texts are not those of meta\.json"),
        ('"texts":["a dog","dogs"]', '"texts":[]', r"its texts are not those of meta\.json"),
        ('["a dog","dogs"]', '"a dog"', "line 1: 'texts' must be a list of strings"),
        ('["a dog","dogs"]', '["a dog",null]', "line 1: 'texts' must be a list of strings"),
        ('"dogs"', '" "', "line 1: a text is empty"),
        ('"dogs"', '"\\ud800"', "line 1: the text .* holds control characters"),
        ('"dogs"', f'"{"x" * 1001}"', "line 1: the text .* has 1,001 characters"),
        ('"dogs"', '"dogs"' + ',"x"' * 63, "line 1: an image has 65 texts, more than 64"),
    ],
)
def test_changed_texts(tmp_path: Path, old: str, new: str, message: str) -> None:
    write(tmp_path / "pool", records=described())
    file = tmp_path / "pool/images.jsonl"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"images\.jsonl cannot be used: {message}"):
        ImagePool.open(tmp_path / "pool")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"version": 2}, "reads pools of format 1, found 2"),
        ({"count": 4}, "3 records, but meta.json counts 4"),
        ({"dimension": 5}, "not float16 of shape"),
        ({"dimension": None}, "'dimension' must be int, found None"),
        ({"encoder": "tiny"}, "expected an encoder as NAME@SHA256, found 'tiny'"),
        ({"weights": ""}, "it must hold version, encoder, dimension"),
        ({"ids_sha256": "0" * 64}, "its ids are not those"),
        ({"features_sha256": "0" * 64}, "its hash is not the one"),
        ({"texts_sha256": "0" * 64}, "its texts are not those"),
        ({"texts_sha256": None}, "'texts_sha256' must be str, found None"),
        ({"thumbnails": True}, "thumbnails cannot be used"),
    ],
)
def test_changed_meta(tmp_path: Path, values: dict, message: str) -> None:
    write(tmp_path / "pool")
    edit_json(tmp_path / "pool/meta.json", **values)
    with pytest.raises(ValueError, match=message):
        ImagePool.open(tmp_path / "pool")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite(tmp_path: Path, value: float) -> None:
    write(tmp_path / "pool")
    file = tmp_path / "pool/features.npy"
    features = np.load(file)
    features[1, 2] = value
    np.save(file, features)
    edit_json(tmp_path / "pool/meta.json", features_sha256=sha256_file(file))
    with pytest.raises(ValueError, match=r"features\.npy cannot be used: it holds values that"):
        ImagePool.open(tmp_path / "pool")


def test_size_that_is_only_claimed(tmp_path: Path) -> None:
    write(tmp_path / "pool")
    file = tmp_path / "pool/features.npy"
    with file.open("wb") as features:
        header = {"descr": "<f2", "fortran_order": False, "shape": (3, 10**14)}
        np.lib.format.write_array_header_1_0(features, header)
    edit_json(tmp_path / "pool/meta.json", dimension=10**14)
    with pytest.raises(ValueError, match=r"features\.npy cannot be used"):
        ImagePool.open(tmp_path / "pool")


@pytest.mark.parametrize("header", [b"{'descr': '<f2', (2, 3), ", b"{1: 2, 'a': 3}", b"(" * 60])
def test_headers_that_are_no_header(tmp_path: Path, header: bytes) -> None:
    write(tmp_path / "pool")
    file = tmp_path / "pool/features.npy"
    data = file.read_bytes()
    file.write_bytes(data[:10] + header.ljust(117) + b"\n" + data[128:])
    with pytest.raises(ValueError, match=r"features\.npy cannot be used"):
        ImagePool.open(tmp_path / "pool")


def test_a_pool_without_images(tmp_path: Path) -> None:
    write(tmp_path / "pool")
    (tmp_path / "pool/images.jsonl").write_text("")
    with pytest.raises(ValueError, match=r"images\.jsonl cannot be used: there are no images"):
        ImagePool.open(tmp_path / "pool")


@pytest.mark.parametrize(
    "line", ["[" * 100_000, "{", "null", '"id"', "7" * 5000, "\x00"], ids=lambda line: line[:3]
)
def test_a_line_of_something_else(tmp_path: Path, line: str) -> None:
    write(tmp_path / "pool")
    with (tmp_path / "pool/images.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(ValueError, match=r"images\.jsonl cannot be used: line 4"):
        ImagePool.open(tmp_path / "pool")


def test_encoder_and_dimension_must_be_those_asked_for(tmp_path: Path) -> None:
    pool = write(tmp_path / "pool")
    encoder, dimension = pool.encoder, pool.dimension
    pool.require_encoder(encoder, dimension)
    for asked, message in (
        ((EncoderId("other", encoder.sha256), dimension), "Features of other"),
        ((EncoderId("tiny", "f" * 64), dimension), "weights ffff"),
        ((encoder, dimension + 1), f"Features of {dimension + 1} dimensions are needed"),
    ):
        with pytest.raises(ValueError, match=message):
            pool.require_encoder(*asked)


@pytest.mark.parametrize("name", ["meta.json", "images.jsonl", "features.npy"])
def test_missing_file(tmp_path: Path, name: str) -> None:
    write(tmp_path / "pool")
    (tmp_path / "pool" / name).unlink()
    with pytest.raises(ValueError, match=name):
        ImagePool.open(tmp_path / "pool")


def test_select(pool: ImagePool, tmp_path: Path) -> None:
    selected = pool.select({"fish", "cat", "absent"}, tmp_path / "some")
    assert selected.ids == ["cat", "fish"]
    for image_id in selected.ids:
        (row,), (old,) = selected.rows([image_id]), pool.rows([image_id])
        np.testing.assert_array_equal(selected.features[row], pool.features[old])
        assert selected.records[row] == pool.records[old]
        assert selected.thumbnail(image_id) == pool.thumbnail(image_id)
    assert selected.image_root == pool.image_root
    stored = [Path(p.meta.image_root).is_absolute() for p in (pool, selected)]
    assert stored[0] == stored[1]
    assert selected.id != pool.id
    with pytest.raises(ValueError, match="None of the 1 image ids"):
        pool.select({"absent"}, tmp_path / "none")
    with pytest.raises(FileExistsError):
        pool.select({"cat"}, tmp_path / "some")
