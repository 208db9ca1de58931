from __future__ import annotations

import io
import json
import pickle
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import srsly
import threadpoolctl
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from spacy_vokens import index as index_module
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


def index_of(keys: np.ndarray) -> VokenIndex:
    records = [ImageRecord(f"i{row:05}", "i.png", "0" * 64, 1, 1) for row in range(len(keys))]
    return VokenIndex(keys, records, {}, **META)


def near_ties(n: int, width: int, spread: float, seed: int) -> np.ndarray:
    """Unit vectors around one, so that the rounding of a matrix product could choose the order."""
    near = unit_vectors(1, width, seed) + spread * unit_vectors(n, width, seed + 1)
    return (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)


def by_definition(queries: np.ndarray, keys: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and scores: all exact scores, one query at a time, in a stable order."""
    rows, scores = [], []
    for query in queries.astype(np.float32):
        exact = np.einsum("pw,pbw->pb", query[None], keys[None])[0]
        rows.append(np.argsort(-exact, kind="stable")[:k])
        scores.append(exact[rows[-1]])
    return np.array(rows), np.array(scores)


def assert_found(index: VokenIndex, queries: np.ndarray, k: int) -> None:
    ids, scores = index.search(queries, k)
    expected_rows, expected_scores = by_definition(queries, index.keys, k)
    n = min(k, len(index.keys))
    assert ids[:, :n].tolist() == [[index.ids[row] for row in rows] for rows in expected_rows]
    np.testing.assert_array_equal(scores[:, :n], expected_scores)


@given(
    n=st.integers(1, 700),
    width=st.sampled_from([1, 2, 7, 64, 192]),
    k=st.sampled_from([1, 2, 10, 100, 1000]),
    n_queries=st.sampled_from([1, 3, 40]),
    spread=st.sampled_from([0.0, 1e-7, 1e-6, 1e-4, 0.9]),
    length=st.sampled_from([0.0, 1e-42, 1e-30, 1.0, 1e37]),
    seed=st.integers(0, 99),
)
@settings(max_examples=150, deadline=None)
def test_exact_scores_decide(
    n: int, width: int, k: int, n_queries: int, spread: float, length: float, seed: int
) -> None:
    """Also among keys whose scores differ by less than a matrix product's rounding, or not at all.

    The queries' lengths reach from numbers too small for float32 to the largest that are searched.
    """
    keys = near_ties(n, width, spread, seed)
    queries = near_ties(n_queries, width, 0.1, seed) * np.float32(length)
    assert_found(index_of(keys), queries, k)


@given(
    k=st.sampled_from([1, 5, 50]),
    spread=st.sampled_from([1e-7, 1e-5, 1.0]),
    order=st.permutations(range(20)),
    cut=st.integers(0, 20),
)
@settings(max_examples=50, deadline=None)
def test_a_query_is_answered_alike_in_any_batch(
    k: int, spread: float, order: list[int], cut: int
) -> None:
    index = index_of(near_ties(300, 64, spread, seed=0))
    queries = near_ties(20, 64, 0.5, seed=0)
    ids, scores = index.search(queries, k)
    for part in (order[:cut], order[cut:]):
        part_ids, part_scores = index.search(queries[np.array(part, dtype=int)], k)
        assert part_ids.tolist() == ids[part].tolist()
        np.testing.assert_array_equal(part_scores, scores[part])


@given(
    tile=st.integers(1, 3000),
    batch=st.integers(1, 30),
    numbers=st.integers(1, 5000),
    max_block=st.integers(1, 40),
    k=st.sampled_from([1, 3, 30]),
    spread=st.sampled_from([0.0, 1e-6, 1.0]),
)
@settings(max_examples=60, deadline=None)
def test_the_sizes_of_parts_change_nothing(
    tile: int, batch: int, numbers: int, max_block: int, k: int, spread: float
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_module, "TILE_SCORES", tile)
        patch.setattr(index_module, "BATCH_QUERIES", batch)
        patch.setattr(index_module, "MAX_NUMBERS", numbers)
        patch.setattr(index_module, "MAX_BLOCK", max_block)
        patch.setattr(index_module, "BLOCKS_PER_KEY", 1)
        assert_found(index_of(near_ties(257, 16, spread, 0)), near_ties(31, 16, 0.5, 0), k)


def test_many_queries_among_many_keys() -> None:
    """Several batches, tiles and blocks, of which the last ones are smaller."""
    index = index_of(unit_vectors(7001, 64))
    queries = unit_vectors(600, 64, seed=1)
    for k in (1, 10):
        assert_found(index, queries, k)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_any_number_of_blas_threads_finds_the_same(threads: int) -> None:
    index = index_of(near_ties(5000, 64, 1e-6, seed=0))
    with threadpoolctl.threadpool_limits(threads):
        assert_found(index, near_ties(30, 64, 0.5, seed=0), 3)


def test_threads_may_search_at_once() -> None:
    index = index_of(unit_vectors(3000, 64))
    batches = [unit_vectors(50 + n, 64, seed=n) for n in range(24)]
    alone = [index.search(batch, 3) for batch in batches]
    with ThreadPoolExecutor(4) as threads:
        at_once = list(threads.map(lambda batch: index_of(index.keys).search(batch, 3), batches))
        shared = list(threads.map(lambda batch: index.search(batch, 3), batches))
    for found in (at_once, shared):
        for (ids, scores), (ids_alone, scores_alone) in zip(found, alone, strict=True):
            assert ids.tolist() == ids_alone.tolist()
            np.testing.assert_array_equal(scores, scores_alone)


@pytest.mark.parametrize("make", [np.zeros, np.ones], ids=["zero queries", "equal queries"])
def test_everything_is_equally_good(make: Callable[[tuple[int, int]], np.ndarray]) -> None:
    index = index_of(np.repeat(unit_vectors(1, 8), 3000, axis=0))
    ids, _ = index.search(make((300, 8)), 4)
    assert ids.tolist() == [index.ids[:4]] * 300


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38, 1e200])
def test_a_query_without_a_finite_score_finds_nothing(bad: float) -> None:
    queries = unit_vectors(3, 4).astype(np.float64)
    queries[1, 2] = bad
    ids, scores = make_index().search(queries, 2)
    assert ids[1].tolist() == [None, None]
    assert np.isneginf(scores[1]).all()
    good = [0, 2]
    assert ids[good].tolist() == make_index().search(queries[good], 2)[0].tolist()


def test_an_empty_index_finds_nothing() -> None:
    ids, scores = index_of(np.zeros((0, 4), np.float32)).search(unit_vectors(2, 4), 3)
    assert ids.tolist() == [[None] * 3] * 2
    assert np.isneginf(scores).all()


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


@pytest.mark.parametrize("width", [1, 2, 3])
def test_narrower_queries_are_compared_with_the_first_values(width: int) -> None:
    index = make_index(n=50)
    queries = unit_vectors(7, width, seed=9)
    rows, scores = index.search_rows(queries, 3)
    padded = np.hstack([queries, np.zeros((7, 4 - width), np.float32)])
    ids, expected = index.search(padded, 3)
    assert (index.ids_of(rows) == ids).all()
    np.testing.assert_allclose(scores, expected, atol=1e-6)


@pytest.mark.parametrize("width", [0, 5])
def test_a_part_of_a_key_is_not_empty_or_wider(width: int) -> None:
    with pytest.raises(ValueError, match=r"\(n, 1 to 4\)"):
        make_index().search_rows(np.zeros((1, width)), 1)


def test_no_row_has_no_id() -> None:
    index = make_index(n=2)
    rows, _ = index.search_rows(unit_vectors(1, 4), 3)
    assert rows[0, 2] == -1
    assert index.ids_of(rows)[0, 2] is None


def test_keys_must_have_a_direction_and_fit_the_records() -> None:
    records = make_index().records
    with pytest.raises(ValueError, match="no direction"):
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


def test_pickle_leaves_behind_what_is_derived() -> None:
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
