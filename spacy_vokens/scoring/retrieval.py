"""How well queries find their images: rank, recall at k, reciprocal rank, diversity, hubness.

The candidates of a query are the rows of `keys`. Its relevance score for a candidate is the inner
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
    """Rank every query's target among all candidates: 1 is the best, m the worst.

    The rank is 1 + the number of other candidates whose score is not below the target's. Ties thus
    count against the target, so that vectors that are all the same rank last, not first. If the
    query or the target's key contains NaN, the target ranks last.

    Args:
        queries: (n, d). Scores are computed in float32.
        keys: (m, d).
        targets: Row numbers in `keys`, (n,).
        block_size: Queries scored at a time. It takes 5 * block_size * m bytes of memory. Defaults
            to 4096.

    Returns:
        The ranks, (n,).

    Raises:
        ValueError: If shapes do not fit, or a target is not a row of `keys`.
    """
    rows = np.asarray(targets, dtype=np.int64)
    if rows.shape != queries.shape[:1]:
        raise ValueError(
            f"expected one target per query, found {len(queries)} queries and targets of shape "
            f"{rows.shape}."
        )
    if rows.size and (rows.min() < 0 or rows.max() >= len(keys)):
        raise ValueError(f"targets must be row numbers of the keys, 0 to {len(keys) - 1}.")
    result = np.empty(len(queries), dtype=np.int64)
    for block, scores in _score_blocks(queries, keys, block_size):
        target_scores = np.take_along_axis(scores, rows[block, None], axis=1)
        # Comparing with NaN is always false, so NaN counts against the target.
        result[block] = len(keys) - np.count_nonzero(scores < target_scores, axis=1)
    return result


def best_candidates(
    queries: NDArray[np.floating],
    keys: NDArray[np.floating],
    *,
    block_size: int = BLOCK_SIZE,
) -> NDArray[np.int64]:
    """Find every query's best candidate, the first of several.

    Args:
        queries: (n, d). Scores are computed in float32.
        keys: (m, d).
        block_size: Queries scored at a time. It takes 5 * block_size * m bytes of memory. Defaults
            to 4096.

    Returns:
        Row numbers in `keys`, (n,); -1 if all scores of a query are NaN.

    Raises:
        ValueError: If shapes do not fit.
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
    """Return the share of the queries whose target ranks k or better, 0 to 1.

    Raises:
        ValueError: If there are no ranks.
    """
    return float(np.mean(_not_empty(ranks) <= k))


def mean_reciprocal_rank(ranks: NDArray[np.integer]) -> float:
    """Return the mean of 1 / rank, above 0 and at most 1.

    Raises:
        ValueError: If there are no ranks.
    """
    return float(np.mean(1.0 / _not_empty(ranks)))


def diversity(best: NDArray[np.integer], n_candidates: int) -> float:
    """Return the share of the candidates that are the best of at least one query, 0 to 1.

    Args:
        best: Row number of each query's best candidate, or -1, (n,).
        n_candidates: Number of candidates.

    Raises:
        ValueError: If there are no candidates.
    """
    if n_candidates < 1:
        raise ValueError("diversity needs at least one candidate.")
    return len(np.unique(best[best >= 0])) / n_candidates


def spread(counts: ArrayLike, n_candidates: int) -> dict[str, float]:
    """Measure how evenly retrieval is spread over the candidates.

    Args:
        counts: How often each candidate was retrieved, in any order. Candidates that were never
            retrieved may be left out.
        n_candidates: Number of candidates, at least one.

    Returns:
        `coverage`, the share of the candidates that were retrieved; `top_1_percent`, the share of
        all retrievals that went to the most frequent 1% of the candidates; and `skewness` of the
        counts, which measures hubness (Radovanovic et al. 2010, "Hubs in space"); NaN if all counts
        are equal.
    """
    # scipy is an optional dependency.
    from scipy.stats import skew

    found = np.sort(np.asarray(counts, dtype=np.float64))[::-1]
    retrievals = np.zeros(n_candidates)
    retrievals[: len(found)] = found
    n_top = max(1, round(n_candidates / 100))
    return {
        "coverage": int(np.count_nonzero(retrievals)) / n_candidates,
        "top_1_percent": float(retrievals[:n_top].sum() / max(1.0, retrievals.sum())),
        # scipy warns if all counts are equal.
        "skewness": float(skew(retrievals)) if np.ptp(retrievals) else float("nan"),
    }


def chance_skewness(n_queries: int, n_candidates: int) -> float:
    """Return the skewness to expect if every query's candidate were drawn at random.

    How often a candidate is drawn is then binomially distributed; this is that distribution's
    skewness.

    Args:
        n_queries: Number of queries, at least one.
        n_candidates: Number of candidates, at least two.
    """
    p = 1 / n_candidates
    return (1 - 2 * p) / float(np.sqrt(n_queries * p * (1 - p)))


def matching_scores(
    sentences: Sequence[NDArray[np.floating]], keys: NDArray[np.floating], targets: ArrayLike
) -> dict[str, float]:
    """Compute all retrieval scores of a matching model, over tokens and over sentences.

    A sentence's score for an image is the mean of its tokens' scores.

    Args:
        sentences: The queries of each sentence's tokens, (n_tokens, d) with n_tokens > 0.
        keys: The keys of the images, (m, d).
        targets: Row numbers in `keys`, (len(sentences),): the image of each sentence, and of all
            its tokens.

    Returns:
        `voken_r1`, `voken_r5`, `voken_r10` and `voken_mrr` over tokens, `voken_sent_r1` and so on
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
    """Return the scores to expect of ranks drawn at random, by the names of `matching_scores`.

    Diversity is left out, because it has no such value.
    """
    scores = {f"r{k}": min(1.0, k / n_candidates) for k in RECALL_AT}
    scores["mrr"] = float(np.mean(1.0 / np.arange(1, n_candidates + 1)))
    return {f"{unit}_{name}": x for unit in ("voken", "voken_sent") for name, x in scores.items()}


def _not_empty(ranks: NDArray[np.integer]) -> NDArray[np.integer]:
    if not len(ranks):
        raise ValueError("there are no ranks to average: no query was scored.")
    return ranks
