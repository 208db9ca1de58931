"""How well queries find their images: ranks, recall at k, reciprocal rank, diversity, hubness.

A query's candidates are the rows of `keys`; its relevance score for a candidate is the inner
product of the two vectors (paper, Eq. 1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

BLOCK_SIZE = 4096
RECALL_AT = (1, 5, 10)


def ranks(
    queries: NDArray[np.floating],
    keys: NDArray[np.floating],
    targets: ArrayLike,
    *,
    block_size: int = BLOCK_SIZE,
) -> NDArray[np.int64]:
    """Rank of every query's target among all candidates: 1 is the best, m the worst.

    The rank is 1 + the number of other candidates whose score is not below the target's. So ties
    count against the target, and vectors that are all alike rank last instead of first. A query,
    or a target's key, that holds NaN ranks last.

    queries: (n, d). Scores are computed in float32.
    keys: (m, d).
    targets: (n,) row numbers in `keys`.
    block_size: queries scored at a time: 5 * block_size * m bytes of memory. Defaults to 4096.
    returns: (n,).
    raises ValueError: where shapes do not fit or a target is no row of `keys`.
    """
    rows = np.asarray(targets, dtype=np.int64)
    if rows.shape != queries.shape[:1]:
        raise ValueError(f"{len(queries)} queries need as many targets, found {rows.shape}.")
    if rows.size and (rows.min() < 0 or rows.max() >= len(keys)):
        raise ValueError(f"targets must be 0 to {len(keys) - 1}, the row numbers of the keys.")
    result = np.empty(len(queries), dtype=np.int64)
    for block, scores in _score_blocks(queries, keys, block_size):
        target_scores = np.take_along_axis(scores, rows[block, None], axis=1)
        # NaN is below nothing, so whatever cannot be compared counts against the target.
        result[block] = len(keys) - np.count_nonzero(scores < target_scores, axis=1)
    return result


def best_candidates(
    queries: NDArray[np.floating],
    keys: NDArray[np.floating],
    *,
    block_size: int = BLOCK_SIZE,
) -> NDArray[np.int64]:
    """Row number of every query's best candidate, the first of several; -1 where it has none.

    queries, keys, block_size: as for `ranks`. NaN is never the best.
    returns: (n,).
    raises ValueError: where shapes do not fit.
    """
    result = np.empty(len(queries), dtype=np.int64)
    for block, scores in _score_blocks(queries, keys, block_size):
        scores[np.isnan(scores)] = -np.inf
        best = scores.argmax(axis=1)
        has_none = np.isneginf(np.take_along_axis(scores, best[:, None], axis=1)[:, 0])
        result[block] = np.where(has_none, -1, best)
    return result


def _score_blocks(
    queries: NDArray[np.floating], keys: NDArray[np.floating], block_size: int
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield slices of the queries with their scores for every key, (block, m)."""
    if queries.ndim != 2 or keys.ndim != 2 or queries.shape[1] != keys.shape[1] or not len(keys):
        raise ValueError(
            f"expected queries (n, d) and keys (m, d) with m > 0, found {queries.shape} and "
            f"{keys.shape}."
        )
    columns = keys.astype(np.float32, copy=False).T
    for start in range(0, len(queries), block_size):
        block = slice(start, start + block_size)
        yield block, queries[block].astype(np.float32, copy=False) @ columns


def recall_at(ranks: NDArray[np.integer], k: int) -> float:
    """Share of the queries whose target ranks k or better, 0 to 1.

    raises ValueError: where there is no rank.
    """
    return float(np.mean(_some(ranks) <= k))


def mean_reciprocal_rank(ranks: NDArray[np.integer]) -> float:
    """Mean of 1 / rank, above 0 to 1.

    raises ValueError: where there is no rank.
    """
    return float(np.mean(1.0 / _some(ranks)))


def diversity(best: NDArray[np.integer], n_candidates: int) -> float:
    """Share of the candidates that are the best one of at least one query, 0 to 1.

    best: (n,) row numbers, as `best_candidates` gives them; -1 counts for no candidate.
    raises ValueError: where there is no candidate.
    """
    if n_candidates < 1:
        raise ValueError("diversity needs at least one candidate.")
    return len(np.unique(best[best >= 0])) / n_candidates


def spread(counts: ArrayLike, n_candidates: int) -> dict[str, float]:
    """How evenly retrieval is spread over the candidates.

    counts: how often a candidate is retrieved, for those that are, in any order.
    n_candidates: number of candidates, at least one.
    returns: `coverage`, share of the candidates that are retrieved; `top_1_percent`, share of what
        is retrieved that the most frequent hundredth of the candidates makes up; `skewness` of how
        often candidates are retrieved, the measure of hubness of Radovanovic et al. (2010, "Hubs in
        space"), NaN where all are as often.
    """
    # Extras of their own have it.
    from scipy.stats import skew

    found = np.sort(np.asarray(counts, dtype=np.float64))[::-1]
    of_all = np.zeros(n_candidates)
    of_all[: len(found)] = found
    n_top = max(1, round(n_candidates / 100))
    return {
        "coverage": int(np.count_nonzero(of_all)) / n_candidates,
        "top_1_percent": float(of_all[:n_top].sum() / max(1.0, of_all.sum())),
        # scipy would warn of it.
        "skewness": float(skew(of_all)) if np.ptp(of_all) else float("nan"),
    }


def chance_skewness(n_queries: int, n_candidates: int) -> float:
    """What the `skewness` of `spread` is near to where every query's candidate is drawn at random.

    n_queries: at least one.
    n_candidates: at least two.
    """
    p = 1 / n_candidates
    return (1 - 2 * p) / float(np.sqrt(n_queries * p * (1 - p)))


def matching_scores(
    sentences: Sequence[NDArray[np.floating]], keys: NDArray[np.floating], targets: ArrayLike
) -> dict[str, float]:
    """Every retrieval score of a matching model, over tokens and over sentences.

    A sentence's score for an image is the mean of its tokens' scores.

    sentences: the queries of each sentence's tokens, (n_tokens, d) with n_tokens > 0.
    keys: (m, d).
    targets: (len(sentences),) row numbers in `keys`: the image of each sentence and all its tokens.
    returns: `voken_r1`, `voken_r5`, `voken_r10`, `voken_mrr` over tokens, `voken_sent_r1` and so on
        over sentences, and `voken_diversity` of the tokens' best images.
    """
    tokens = np.concatenate(sentences)
    token_targets = np.repeat(np.asarray(targets), [len(queries) for queries in sentences])
    means = np.stack([queries.mean(axis=0) for queries in sentences])
    scores: dict[str, float] = {}
    for unit, queries, rows in (("voken", tokens, token_targets), ("voken_sent", means, targets)):
        found = ranks(queries, keys, rows)
        scores |= {f"{unit}_r{k}": recall_at(found, k) for k in RECALL_AT}
        scores[f"{unit}_mrr"] = mean_reciprocal_rank(found)
    scores["voken_diversity"] = diversity(best_candidates(tokens, keys), len(keys))
    return scores


def chance_scores(n_candidates: int) -> dict[str, float]:
    """What `matching_scores` expects of ranks drawn at random; diversity has no such value."""
    scores = {f"r{k}": min(1.0, k / n_candidates) for k in RECALL_AT}
    scores["mrr"] = float(np.mean(1.0 / np.arange(1, n_candidates + 1)))
    return {f"{unit}_{name}": x for unit in ("voken", "voken_sent") for name, x in scores.items()}


def _some(ranks: NDArray[np.integer]) -> NDArray[np.integer]:
    if not len(ranks):
        raise ValueError("there is no rank to average: no query was scored.")
    return ranks
