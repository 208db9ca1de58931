#!/usr/bin/env bash
# Of equal vectors, FAISS's flat index finds another one first for k = 1 than for k = 2.
#
# Library: faiss-cpu 1.15.1.
# Expected: the first neighbor does not depend on how many are asked for. Of equal vectors it is,
#   for instance, always the one that was added first.
# Seen: an IndexFlatIP with ten vectors, of which those at 2, 5 and 7 are equal, answers the query
#   that equals them with
#     k = 1: 2
#     k = 2: 5, 2
#     k = 3: 7, 5, 2
#   for one query as well as for 64. The scores are equal, so nothing shows that another image,
#   document or passage was found. Copies of one image are common in image pools.
# Here: index.py searches distinct vectors only, and puts the rows of equal vectors in order itself.
#
# Status 0 as long as the behavior is there.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check faiss-cpu==1.15.1 numpy==2.2.6
venv/bin/python - <<'PYTHON'
import faiss
import numpy as np

vectors = np.random.default_rng(0).normal(size=(10, 8)).astype(np.float32)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
vectors[5] = vectors[7] = vectors[2]
index = faiss.IndexFlatIP(8)
index.add(vectors)
firsts = set()
for n_queries in (1, 64):
    queries = np.repeat(vectors[2:3], n_queries, axis=0)
    for k in (1, 2, 3):
        scores, rows = index.search(queries, k)
        assert len(np.unique(scores)) == 1, "the scores are equal"
        print(f"{n_queries} queries, k = {k}: {rows[0].tolist()}")
        firsts.add(int(rows[0, 0]))
assert len(firsts) > 1, "the first neighbor is the same for every k"
PYTHON
echo "As described: the first of equal neighbors depends on k."
