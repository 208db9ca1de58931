from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_vokens.scoring.retrieval import (
    best_candidates,
    chance_skewness,
    diversity,
    mean_reciprocal_rank,
    ranks,
    recall_at,
    spread,
)

KEYS = np.array([[1, 0], [0, 1], [-1, 0]], dtype=np.float32)
QUERIES = np.array([[3, 1], [3, 1], [3, 1], [-2, 1]], dtype=np.float32)


@st.composite
def problems(draw):
    """Queries, keys and targets of small whole numbers, whose products are exact, with ties."""
    n, m, d = draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    queries, keys = rng.integers(-2, 3, (n, d)), rng.integers(-2, 3, (m, d))
    return queries.astype(np.float32), keys.astype(np.float32), rng.integers(0, m, n)


@given(problems(), st.integers(1, 10))
def test_ranks_count_the_others_that_are_not_worse_in_blocks_of_any_size(problem, block_size):
    queries, keys, targets = problem
    expected = [
        1 + sum(query @ key >= query @ keys[t] for j, key in enumerate(keys) if j != t)
        for query, t in zip(queries, targets, strict=True)
    ]
    assert ranks(queries, keys, targets, block_size=block_size).tolist() == expected


@given(problems(), st.integers(1, 10))
def test_best_candidates_are_the_first_of_the_best_in_blocks_of_any_size(problem, block_size):
    queries, keys, _ = problem
    expected = [max(range(len(keys)), key=lambda j: (query @ keys[j], -j)) for query in queries]
    assert best_candidates(queries, keys, block_size=block_size).tolist() == expected


def test_scores_of_a_hand_counted_problem():
    found = ranks(QUERIES, KEYS, [0, 1, 2, 2])
    assert found.tolist() == [1, 2, 3, 1]
    assert recall_at(found, 1) == 0.5
    assert recall_at(found, 2) == 0.75
    assert mean_reciprocal_rank(found) == pytest.approx((1 + 1 / 2 + 1 / 3 + 1) / 4)
    best = best_candidates(QUERIES, KEYS)
    assert best.tolist() == [0, 0, 0, 2]
    assert diversity(best, len(KEYS)) == pytest.approx(2 / 3)


def test_vectors_that_are_all_alike_rank_last():
    assert ranks(np.ones((5, 4)), np.ones((7, 4)), np.arange(5)).tolist() == [7] * 5


def test_float16_is_scored_in_float32():
    # In float16, 2048 + 1 is 2048: the two keys would tie.
    keys = np.array([[2048, 1], [2048, 0]], dtype=np.float16)
    assert ranks(np.ones((1, 2), dtype=np.float16), keys, [0]).tolist() == [1]


def test_nan_ranks_last_and_is_nobodys_best():
    queries = np.array([[1, np.nan], [1, 0]], dtype=np.float32)
    assert ranks(queries, KEYS, [0, 0]).tolist() == [3, 1]
    assert best_candidates(queries, KEYS).tolist() == [-1, 0]
    keys = KEYS.copy()
    keys[0] = np.nan
    assert ranks(queries[1:], keys, [0]).tolist() == [3]
    assert ranks(queries[1:], keys, [1]).tolist() == [2]
    assert best_candidates(queries[1:], keys).tolist() == [1]
    assert diversity(np.array([-1, 1, 1]), 4) == 0.25


def test_no_query_has_no_rank():
    empty = np.empty((0, 2), dtype=np.float32)
    assert ranks(empty, KEYS, []).shape == (0,)
    assert diversity(best_candidates(empty, KEYS), 3) == 0
    for mean in (mean_reciprocal_rank, lambda found: recall_at(found, 1)):
        with pytest.raises(ValueError, match="no query was scored"):
            mean(ranks(empty, KEYS, []))


@pytest.mark.parametrize("targets", [[0], [[0, 0, 0, 0]], [0, 0, 0, 3], [-1, 0, 0, 0]])
def test_targets_that_do_not_fit_are_errors(targets):
    with pytest.raises(ValueError, match="targets"):
        ranks(QUERIES, KEYS, targets)


@pytest.mark.parametrize("keys", [KEYS[:, :1], KEYS[0], KEYS[:0]])
def test_keys_that_do_not_fit_are_errors(keys):
    with pytest.raises(ValueError, match="expected queries"):
        best_candidates(QUERIES, keys)


def test_diversity_of_no_candidate_is_an_error():
    with pytest.raises(ValueError, match="at least one candidate"):
        diversity(np.array([0]), 0)


def test_spread_of_counts_over_candidates():
    found = spread([2, 10, 4], 200)
    assert found["coverage"] == pytest.approx(3 / 200)
    # The hundredth of 200 is two.
    assert found["top_1_percent"] == pytest.approx(14 / 16)
    counts = np.array([2, 10, 4] + [0] * 197)
    deviation = counts - counts.mean()
    assert found["skewness"] == pytest.approx((deviation**3).mean() / (deviation**2).mean() ** 1.5)


@pytest.mark.parametrize(("counts", "covered"), [([], 0.0), ([3, 3, 3, 3], 1.0)])
def test_counts_that_are_all_alike_have_no_skewness(counts, covered, recwarn):
    found = spread(counts, 4)
    assert (found["coverage"], found["top_1_percent"]) == (covered, covered / 4)
    assert np.isnan(found["skewness"])
    assert not recwarn.list


def test_skewness_of_drawing_at_random():
    # Of so many candidates, for of few the skewness of a sample is lower.
    drawn = np.random.default_rng(0).integers(500, size=(300, 2000))
    found = [spread(np.bincount(row, minlength=500), 500)["skewness"] for row in drawn]
    assert chance_skewness(2000, 500) == pytest.approx(np.mean(found), abs=0.03)
