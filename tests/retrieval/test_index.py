from __future__ import annotations

import builtins
import json
import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
import srsly
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_vokens.arrays import array_to_bytes
from spacy_vokens.images.pool import ImagePool, ImageRecord
from spacy_vokens.retrieval.index import VokenIndex

META = {"pool_hash": "ab" * 32, "encoder": "tiny", "weights_sha256": "1" * 64, "picture_root": "."}


def unit_vectors(n: int, width: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def make_index(n: int = 5, width: int = 4, seed: int = 0) -> VokenIndex:
    records = [ImageRecord(f"i{row}", f"i{row}.png", "0" * 64, 1, 1) for row in range(n)]
    return VokenIndex(unit_vectors(n, width, seed), records, {"i0": b"thumb"}, dict(META))


@given(n=st.integers(1, 30), k=st.integers(1, 40), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
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
        VokenIndex(np.zeros((5, 4)), records, {}, META)
    with pytest.raises(ValueError, match="as many keys"):
        VokenIndex(unit_vectors(4, 4), records, {}, META)


def test_files_round_trip() -> None:
    index = make_index()
    loaded = VokenIndex.from_files(index.to_files())
    assert loaded.id == index.id
    assert loaded.ids == index.ids
    assert loaded.thumbnails == index.thumbnails
    np.testing.assert_array_equal(loaded.keys, index.keys)


def test_any_source_and_licence_is_kept() -> None:
    index = make_index(1)
    index.records = [replace(index.records[0], source="a\u2028b\x85c", licence="d\ne")]
    assert VokenIndex.from_files(index.to_files()).records == index.records


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("keys.npy", b""),
        ("keys.npy", array_to_bytes(unit_vectors(5, 4))[:-1]),
        ("keys.npy", array_to_bytes(unit_vectors(5, 4).astype(np.float64))),
        ("images.jsonl", b""),
        ("images.jsonl", b"{}\n"),
        ("images.jsonl", b"[" * 100_000 + b"\n"),
        ("images.jsonl", b"\xff\n"),
        ("thumbnails.msgpack", srsly.msgpack_dumps({"i0": 1})),
        ("meta.json", b"[]"),
        ("meta.json", b'{"pool_hash": 1}'),
        ("meta.json", json.dumps(META | {"encoder": None}).encode()),
    ],
)
def test_files_of_something_else_are_refused(name: str, data: bytes) -> None:
    with pytest.raises(ValueError, match=rf"{re.escape(name)} cannot be used.*spacy vokens index"):
        VokenIndex.from_files(make_index().to_files() | {name: data})


def test_paths_stay_in_the_pictures_folder() -> None:
    index = make_index(1)
    index.records = [replace(index.records[0], path="../../etc/passwd")]
    with pytest.raises(ValueError, match=r"images\.jsonl.*leads out"):
        VokenIndex.from_files(index.to_files())


def test_id_depends_on_keys_and_pool() -> None:
    index = make_index()
    assert make_index(seed=1).id != index.id
    index.meta["pool_hash"] = "cd" * 32
    assert VokenIndex(index.keys, index.records, {}, index.meta).id != make_index().id


def test_pickle_leaves_faiss_behind() -> None:
    index = make_index(n=2000, width=32)
    before = index.search(unit_vectors(3, 32), 2)[0]
    data = pickle.dumps(index)
    assert len(data) < 2000 * 32 * 4 * 1.8
    np.testing.assert_array_equal(pickle.loads(data).search(unit_vectors(3, 32), 2)[0], before)


def test_from_pool(pool: ImagePool) -> None:
    index = VokenIndex.from_pool(pool, unit_vectors(len(pool), 4))
    picture = index.picture("cat")
    assert (picture.source, picture.licence) == ("the tests", "CC0")
    assert picture.open().size == (8, 8)
    assert picture.thumbnail == pool.thumbnail("cat")
    with pytest.raises(KeyError):
        index.picture("cow")


def test_missing_faiss_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without_faiss(name: str, *args: object, **kwargs: object) -> object:
        if name == "faiss":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_faiss)
    with pytest.raises(ImportError, match=r"spacy-vokens\[cpu\].*spacy-vokens\[gpu\]"):
        make_index().search(unit_vectors(1, 4), 1)
