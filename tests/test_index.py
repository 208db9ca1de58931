from __future__ import annotations

import builtins
import io
import json
import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import srsly
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from spacy_vokens.files import array_to_bytes, sha256_file
from spacy_vokens.identity import EncoderId, PoolId
from spacy_vokens.images.decode import ImageError
from spacy_vokens.images.pool import ImagePool, ImageRecord
from spacy_vokens.index import VokenImage, VokenIndex

META = {
    "pool": PoolId("ab" * 32),
    "encoder": EncoderId("tiny", "1" * 64),
    "image_root": ".",
}


def unit_vectors(n: int, width: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def make_index(n: int = 5, width: int = 4, seed: int = 0) -> VokenIndex:
    records = [ImageRecord(f"i{row}", f"i{row}.png", "0" * 64, 1, 1) for row in range(n)]
    return VokenIndex(unit_vectors(n, width, seed), records, {"i0": b"thumb"}, **META)


@given(n=st.integers(1, 30), k=st.integers(1, 40), seed=st.integers(0, 99))
@settings(max_examples=30)
def test_search_is_exact(n: int, k: int, seed: int) -> None:
    index = make_index(n, 4, seed)
    queries = unit_vectors(3, 4, seed + 1)
    ids, scores = index.search(queries, k)
    expected = -np.sort(-(queries @ index.keys.T), axis=1)[:, :k]
    assert ids.shape == scores.shape == (3, k)
    np.testing.assert_allclose(scores[:, :n], expected, atol=1e-5)
    for query, row in zip(queries, ids, strict=True):
        found = [query @ index.keys[index.rows[i]] for i in row[:n]]
        np.testing.assert_allclose(found, -np.sort(-np.array(found)), atol=1e-5)


@given(
    rows=st.lists(st.integers(0, 5), min_size=1, max_size=40),
    k=st.integers(1, 45),
    n_queries=st.sampled_from([1, 2, 25]),
)
@settings(max_examples=150)
def test_the_first_of_equal_keys_is_best(rows: list[int], k: int, n_queries: int) -> None:
    """Whatever is asked for, and however many queries are searched at once."""
    records = [ImageRecord(f"i{n:02d}", "i.png", "0" * 64, 1, 1) for n in range(len(rows))]
    keys = unit_vectors(6, 64)
    index = VokenIndex(keys[rows], records, {}, **META)
    queries = np.concatenate([unit_vectors(n_queries, 64, seed=1), keys])
    relevance = queries @ keys.T
    ids, scores = index.search(queries, k)
    for place, query in enumerate(queries):
        best = sorted(range(len(rows)), key=lambda row: (-relevance[place, rows[row]], row))
        expected = [f"i{row:02d}" for row in best[:k]]
        assert ids[place, : len(expected)].tolist() == expected
        alone, alone_scores = index.search(query[None], 1)
        assert (alone[0, 0], alone_scores[0, 0]) == (ids[place, 0], scores[place, 0])


def test_k_beyond_the_index_leaves_places_empty() -> None:
    ids, scores = make_index(2).search(unit_vectors(1, 4), 4)
    assert None not in ids[0, :2]
    assert ids[0, 2:].tolist() == [None, None]
    assert np.isneginf(scores[0, 2:]).all()


def test_nan_query_finds_nothing_and_harms_no_other() -> None:
    queries = unit_vectors(2, 4)
    alone = make_index().search(queries[1:], 1)[0]
    queries[0, 2] = np.nan
    ids, scores = make_index().search(queries, 1)
    assert ids[0, 0] is None
    assert np.isneginf(scores[0, 0])
    assert ids[1, 0] == alone[0, 0]


def test_empty_batch() -> None:
    ids, scores = make_index().search(np.zeros((0, 4), np.float32), 2)
    assert ids.shape == scores.shape == (0, 2)


@pytest.mark.parametrize(
    ("queries", "k", "message"),
    [
        (np.zeros((1, 3)), 1, r"\(n, 4\)"),
        (np.zeros(4), 1, "shape"),
        (np.zeros((1, 4)), 0, "k must"),
    ],
)
def test_wrong_arguments(queries: np.ndarray, k: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_index().search(queries, k)


def test_keys_must_be_unit_vectors_and_fit_the_records() -> None:
    records = make_index().records
    with pytest.raises(ValueError, match="unit vector"):
        VokenIndex(np.zeros((5, 4)), records, {}, **META)
    with pytest.raises(ValueError, match="as many keys"):
        VokenIndex(unit_vectors(4, 4), records, {}, **META)


def test_files_round_trip() -> None:
    index = make_index()
    loaded = VokenIndex.from_files(index.to_files())
    assert loaded.mark == index.mark
    assert loaded.ids == index.ids
    assert loaded.thumbnails == index.thumbnails
    np.testing.assert_array_equal(loaded.keys, index.keys)


def test_any_source_and_license_is_kept() -> None:
    index = make_index(1)
    index.records = [replace(index.records[0], source="a\u2028b\x85c", license="d\ne")]
    assert VokenIndex.from_files(index.to_files()).records == index.records


def test_an_image_comes_with_its_texts() -> None:
    index = make_index(2)
    index.records[1] = replace(index.records[1], texts=("a dog", "ein Hund"))
    loaded = VokenIndex.from_files(index.to_files())
    assert loaded.records == index.records
    assert loaded.image("i1").texts == ("a dog", "ein Hund")
    assert loaded.image("i0").texts == ()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("keys.npy", b""),
        ("keys.npy", array_to_bytes(unit_vectors(5, 4))[:-1]),
        ("keys.npy", array_to_bytes(unit_vectors(5, 4).astype(np.float64))),
        ("images.jsonl", b""),
        ("images.jsonl", b"{}\n"),
        ("images.jsonl", b"{}"),
        ("images.jsonl", b"[" * 100_000 + b"\n"),
        ("images.jsonl", b"\xff\n"),
        ("thumbnails.msgpack", srsly.msgpack_dumps({"i0": 1})),
        ("meta.json", b"[]"),
        ("meta.json", b'{"pool": 1}'),
        (
            "meta.json",
            json.dumps({"pool": "ab" * 32, "encoder": "tiny", "image_root": "."}).encode(),
        ),
    ],
)
def test_files_of_something_else_are_refused(name: str, data: bytes) -> None:
    with pytest.raises(ValueError, match=rf"{re.escape(name)} cannot be used.*spacy vokens index"):
        VokenIndex.from_files(make_index().to_files() | {name: data})


def test_paths_stay_in_the_images_folder() -> None:
    index = make_index(1)
    index.records = [replace(index.records[0], path="../../etc/passwd")]
    with pytest.raises(ValueError, match=r"images\.jsonl.*leads out"):
        VokenIndex.from_files(index.to_files())


def test_mark_depends_on_keys_and_pool() -> None:
    index = make_index()
    assert make_index(seed=1).mark != index.mark
    other = VokenIndex(index.keys, index.records, {}, **META | {"pool": PoolId("cd" * 32)})
    assert other.mark != make_index().mark


def test_pickle_leaves_faiss_behind() -> None:
    index = make_index(n=2000, width=32)
    before = index.search(unit_vectors(3, 32), 2)[0]
    assert index.mark == make_index(n=2000, width=32).mark
    data = pickle.dumps(index)
    assert len(data) < 2000 * 32 * 4 * 1.6
    np.testing.assert_array_equal(pickle.loads(data).search(unit_vectors(3, 32), 2)[0], before)


def test_from_pool(pool: ImagePool) -> None:
    index = VokenIndex.from_pool(pool, unit_vectors(len(pool), 4))
    image = index.image("cat")
    assert (image.source, image.license) == ("the tests", "CC0")
    assert image.open().size == (8, 8)
    assert image.thumbnail == pool.thumbnail("cat")
    with pytest.raises(KeyError):
        index.image("cow")


def test_missing_faiss_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without_faiss(name: str, *args: object, **kwargs: object) -> object:
        if name == "faiss":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_faiss)
    with pytest.raises(ImportError, match=r"spacy-vokens\[cpu\].*spacy-vokens\[gpu\]"):
        make_index().search(unit_vectors(1, 4), 1)


def encoded(size: tuple[int, int], kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size).save(file, kind)
    return file.getvalue()


def test_file_is_preferred_to_the_thumbnail(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded((30, 20), "PNG"))
    image = VokenImage("a", path, sha256_file(path), "here", "CC0-1.0", encoded((3, 2), "WEBP"))
    assert image.open().size == (30, 20)
    path.unlink()
    assert image.open().size == (3, 2)
    assert image.open().mode == "RGB"


def test_thumbnail_is_shown_if_no_file_is_known() -> None:
    assert VokenImage("a", None, "", "", "", encoded((3, 2), "WEBP")).open().size == (3, 2)


def test_missing_image_is_named(tmp_path: Path) -> None:
    path = tmp_path / "gone.png"
    with pytest.raises(FileNotFoundError, match=r"'a'.*gone\.png"):
        VokenImage("a", path, "", "", "", None).open()
    with pytest.raises(FileNotFoundError, match="its file is not known"):
        VokenImage("a", None, "", "", "", None).open()


def test_unreadable_file_is_an_image_error(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"not an image")
    with pytest.raises(ImageError):
        VokenImage("a", path, sha256_file(path), "", "", None).open()


def test_another_file_in_its_place_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded((30, 20), "PNG"))
    sha256 = sha256_file(path)
    path.write_bytes(encoded((31, 20), "PNG"))
    assert VokenImage("a", path, sha256, "", "", encoded((3, 2), "WEBP")).open().size == (3, 2)
    with pytest.raises(FileNotFoundError, match=r"it is not in .*a\.png"):
        VokenImage("a", path, sha256, "", "", None).open()
