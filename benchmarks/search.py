"""How many words per second does the exact search for vokens answer on one core?

Peer: none. It times FAISS's flat inner-product index, which `VokenIndex` uses: top 1 of random
64-d keys, for two pool sizes.

    python benchmarks/search.py
"""

from __future__ import annotations

import time

import faiss
import numpy as np

WIDTH = 64
N_QUERIES = 5000
POOL_SIZES = (7000, 50000)


def main() -> None:
    """Print the words per second for each pool size."""
    faiss.omp_set_num_threads(1)
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(N_QUERIES, WIDTH)).astype(np.float32)
    for n_images in POOL_SIZES:
        index = faiss.IndexFlatIP(WIDTH)
        index.add(rng.normal(size=(n_images, WIDTH)).astype(np.float32))
        start = time.perf_counter()
        index.search(queries, 1)
        speed = N_QUERIES / (time.perf_counter() - start)
        print(f"{n_images:,} images: {speed:,.0f} words/s")


if __name__ == "__main__":
    main()
