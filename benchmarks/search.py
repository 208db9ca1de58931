"""How many words per second does the exact search for vokens answer on one core?

    OMP_NUM_THREADS=1 python benchmarks/search.py [--turns 7] [--json search.json]

Peer: FAISS's flat inner-product index, which the search used before. Both search the same random
keys with the same random queries, in turns, for each size of pool, width, batch and number of
images. Prints the median words per second of both with their range, and the median ratio of the
two in a turn with its range. The peer breaks ties by chance, so its ids are not compared, but its
best scores are.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from spacy_vokens.identity import EncoderId, PoolId
from spacy_vokens.images.pool import ImageRecord
from spacy_vokens.index import VokenIndex

POOL_SIZES = (7_000, 200_000)
WIDTHS = (64, 192)
BATCHES = (256, 1_024)
IMAGES = (1, 10)


def unit_vectors(n: int, width: int, seed: int) -> NDArray[np.float32]:
    """Return random directions."""
    vectors = np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def make_index(keys: NDArray[np.float32]) -> VokenIndex:
    """Return an index of images that exist by name only."""
    records = [ImageRecord(f"i{row}", f"i{row}.png", "0" * 64, 1, 1) for row in range(len(keys))]
    pool, encoder = PoolId("ab" * 32), EncoderId("random", "0" * 64)
    return VokenIndex(keys, records, {}, pool=pool, encoder=encoder, image_root=".")


def speed(search: Callable[[], Any], n_queries: int) -> float:
    """Return the words per second of one search."""
    start = time.perf_counter()
    search()
    return n_queries / (time.perf_counter() - start)


def compare(
    index: VokenIndex, flat: Any, queries: NDArray[np.float32], k: int, turns: int
) -> dict[str, list[float]]:
    """Return the words per second of both in every turn, and their ratio."""
    searches: dict[str, Callable[[], Any]] = {
        "search": lambda: index.search(queries, k),
        "peer": lambda: flat.search(queries, k),
    }
    # The first searches warm up.
    (_, scores), (peer_scores, _) = (search() for search in searches.values())
    np.testing.assert_allclose(scores, peer_scores, atol=1e-5)
    found: dict[str, list[float]] = {"search": [], "peer": [], "ratio": []}
    for _ in range(turns):
        for name, search in searches.items():
            found[name].append(speed(search, len(queries)))
        found["ratio"].append(found["search"][-1] / found["peer"][-1])
    return found


def summarize(values: list[float], digits: int) -> str:
    """Return the median and the range."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def main() -> None:
    """Run the turns and print the speeds for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--json", type=Path, help="file for the numbers of every turn")
    args = parser.parse_args()
    # NumPy's matrix product reads it when NumPy is imported.
    assert os.environ.get("OMP_NUM_THREADS") == "1", "set OMP_NUM_THREADS=1"
    faiss.omp_set_num_threads(1)
    results = []
    for n_images, width in itertools.product(POOL_SIZES, WIDTHS):
        keys = unit_vectors(n_images, width, seed=0)
        index, flat = make_index(keys), faiss.IndexFlatIP(width)
        flat.add(keys)
        for n_queries, k in itertools.product(BATCHES, IMAGES):
            found = compare(index, flat, unit_vectors(n_queries, width, seed=1), k, args.turns)
            sizes = {"images": n_images, "width": width, "batch": n_queries, "k": k}
            results.append({**sizes, **found})
            print(
                f"{n_images:,} images, width {width}, batches of {n_queries:,}, top {k}: "
                f"{summarize(found['search'], 0)} words/s, FAISS {summarize(found['peer'], 0)}; "
                f"ratio {summarize(found['ratio'], 1)}, {args.turns} turns",
                flush=True,
            )
    if args.json:
        versions = {"numpy": np.__version__, "faiss": faiss.__version__}
        machine = {"machine": platform.processor() or platform.machine(), **versions}
        args.json.write_text(
            json.dumps({**machine, "results": results}, indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
