"""Intervals and tests for the F1 of arms with several runs each, over sentences and seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import permutation_test
from statsmodels.stats.multitest import multipletests

from spacy_vokens.files import VokensError

from .runs import Spans

DRAWS = 10_000
CONFIDENCE = 0.95
# Draws computed at once: limits memory to tens of megabytes for thousands of sentences.
BLOCK = 1000
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Arm:
    """Counts of entities that the runs of one configuration found, per sentence.

    Attributes:
        right: Entities that equal a gold one, (n_runs, n_sentences).
        found: All entities found, (n_runs, n_sentences).
        gold: Gold entities, (n_sentences,).
    """

    right: Matrix
    found: Matrix
    gold: Matrix

    @property
    def f1(self) -> Matrix:
        """Micro F1 of every run, (n_runs,), 0 to 1; 0 without gold and found entities."""
        return _f1(self.right.sum(axis=1), self.found.sum(axis=1), self.gold.sum())


@dataclass(frozen=True)
class Estimate:
    """A value and its 95% interval.

    Attributes:
        value: The value.
        low: Lower bound of the interval.
        high: Upper bound of the interval.
    """

    value: float
    low: float
    high: float


def count(gold: Spans, runs: Sequence[Spans]) -> Arm:
    """Count the entities of every run per sentence.

    Args:
        gold: The gold entities of every sentence.
        runs: For every run, the entities found in every sentence, in the same order.

    Returns:
        The counts, which all intervals and tests are computed from.
    """
    wanted = [set(spans) for spans in gold]
    found = [[set(spans) for spans in run] for run in runs]
    return Arm(
        np.array([[len(w & f) for w, f in zip(wanted, run, strict=True)] for run in found], float),
        np.array([[len(f) for f in run] for run in found], float),
        np.array([len(w) for w in wanted], float),
    )


def mean_f1(arm: Arm, *, seed: int = 0) -> Estimate:
    """Return the mean F1 over the runs, with a percentile bootstrap interval.

    Each of 10,000 draws resamples sentences and runs together (crossed random factors; Owen and
    Eckles 2012, "Bootstrapping data arrays of arbitrary order"). The interval is conservative: the
    noise of one run on one sentence counts in both factors. For a single run it covers the
    sentences only.

    Args:
        arm: The counts.
        seed: Seed of the draws.
    """
    rng = _runs_generator(seed)
    draws = [_resample(arm, weights, rng) for weights in _weights(len(arm.gold), seed)]
    return _estimate(float(arm.f1.mean()), np.concatenate(draws))


def mean_label_scores(arms: Mapping[str, Arm], *, seed: int = 0) -> dict[str, Estimate]:
    """Return the mean F1 of each label, and the mean support-weighted P, R and F1 of all labels.

    Each has a percentile bootstrap interval over sentences and runs together (10,000 draws).

    Args:
        arms: Counts of the same runs by label.
        seed: Seed of the draws.

    Returns:
        Estimates by label, and under "P", "R" and "F1"; empty if there are no labels.
    """
    if not arms:
        return {}
    right, found, gold = (
        np.stack([getattr(arm, name) for arm in arms.values()])
        for name in ("right", "found", "gold")
    )

    def scores(weights: Matrix) -> Matrix:
        """Return the scores of all runs and draws, (n_scores, n_runs, n_draws)."""
        counts = right @ weights.T, found @ weights.T, (gold @ weights.T)[:, None]
        f1 = _f1(*counts)
        share = counts[2] / np.maximum(counts[2].sum(axis=0), 1)
        p, r = (counts[0] / np.maximum(counts[i], 1) for i in (1, 2))
        return np.concatenate([f1, *((share * x).sum(axis=0, keepdims=True) for x in (p, r, f1))])

    values = scores(np.ones((1, gold.shape[1]))).mean(axis=(1, 2))
    rng = _runs_generator(seed)
    draws = []
    for weights in _weights(gold.shape[1], seed):
        drawn = scores(weights)
        runs = rng.integers(drawn.shape[1], size=(1, *drawn.shape[1:]))
        draws.append(np.take_along_axis(drawn, runs, axis=1).mean(axis=1))
    names = [*arms, "P", "R", "F1"]
    return {
        name: _estimate(float(value), drawn)
        for name, value, drawn in zip(names, values, np.concatenate(draws, axis=1), strict=True)
    }


def difference(one: Arm, other: Arm, *, seed: int = 0) -> Estimate:
    """Return the difference of the arms' mean F1, with a paired percentile bootstrap interval.

    Each of 10,000 draws resamples the sentences, the same ones for both arms, and the runs of each
    arm.

    Args:
        one: Counts of the first arm.
        other: Counts of the second arm.
        seed: Seed of the draws.

    Raises:
        VokensError: If the arms were not scored on the same gold entities.
    """
    _check_same_gold(one, other)
    rng = _runs_generator(seed)
    draws = [
        _resample(one, weights, rng) - _resample(other, weights, rng)
        for weights in _weights(len(one.gold), seed)
    ]
    return _estimate(float(one.f1.mean() - other.f1.mean()), np.concatenate(draws))


def randomization_p(one: Arm, other: Arm, *, seed: int = 0) -> float:
    """Return the two-sided p-value of the arms' difference, by approximate randomization.

    Each of 10,000 draws exchanges the arms on a random half of the sentences (Noreen 1989,
    "Computer-intensive methods for testing hypotheses"). All runs of a sentence are exchanged
    together, since their results on one sentence are correlated. The test is about these runs
    only; the variation between seeds is covered by the interval of `difference`.

    Args:
        one: Counts of the first arm.
        other: Counts of the second arm.
        seed: Seed of the draws.

    Raises:
        VokensError: If the arms were not scored on the same gold entities.
        ValueError: If the arms have different numbers of runs.
    """
    _check_same_gold(one, other)
    n_runs, n_sentences = one.right.shape
    if len(other.right) != n_runs:
        raise ValueError(f"{n_runs} runs cannot be exchanged with {len(other.right)}.")
    # scipy permutes row numbers: the sentences of the first arm, then those of the second.
    right, found = (
        np.concatenate([a, b], axis=1).T
        for a, b in ((one.right, other.right), (one.found, other.found))
    )

    def statistic(x: NDArray[np.int64], y: NDArray[np.int64], axis: int) -> Matrix:
        f1_x, f1_y = (
            _f1(right[rows].sum(axis=-2), found[rows].sum(axis=-2), one.gold.sum())
            for rows in (np.moveaxis(x, axis, -1), np.moveaxis(y, axis, -1))
        )
        return (f1_x - f1_y).mean(axis=-1)

    rows = np.arange(n_sentences)
    result = permutation_test(
        (rows, n_sentences + rows),
        statistic,
        permutation_type="samples",
        vectorized=True,
        n_resamples=DRAWS,
        batch=max(1, 2_000_000 // (n_sentences * n_runs)),
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values corrected for their number (Holm 1979), in the same order."""
    return [float(p) for p in multipletests(p_values, method="holm")[1]] if p_values else []


def _check_same_gold(one: Arm, other: Arm) -> None:
    if not np.array_equal(one.gold, other.gold):
        raise VokensError(
            "Two arms can be compared only if they were scored on the same entities: compare arms "
            "of one dataset."
        )


def _weights(n_sentences: int, seed: int) -> Iterator[Matrix]:
    """Yield how often each sentence is in each draw, in blocks of (BLOCK, n_sentences)."""
    drawn = _drawn_sentences(n_sentences, seed, DRAWS)
    for start in range(0, DRAWS, BLOCK):
        yield drawn[start : start + BLOCK].astype(float)


# All arms of a dataset use the same draws, and drawing takes longer than using them.
@lru_cache(maxsize=2)
def _drawn_sentences(n_sentences: int, seed: int, n_draws: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng([seed, 0])
    shares = np.full(n_sentences, 1 / n_sentences)
    # No sentence is drawn more than about ten times.
    return rng.multinomial(n_sentences, shares, size=n_draws).astype(np.uint8)


def _runs_generator(seed: int) -> np.random.Generator:
    """Return the generator that draws the runs; the sentences have their own."""
    return np.random.default_rng([seed, 1])


def _resample(arm: Arm, weights: Matrix, rng: np.random.Generator) -> Matrix:
    """Return the mean F1 of resampled runs for each row of the weights, (len(weights),)."""
    f1 = _f1(weights @ arm.right.T, weights @ arm.found.T, (weights @ arm.gold)[:, None])
    runs = rng.integers(f1.shape[1], size=f1.shape)
    return np.take_along_axis(f1, runs, axis=1).mean(axis=1)


def _f1(right: Matrix, found: Matrix, gold: Matrix) -> Matrix:
    return 2 * right / np.maximum(found + gold, 1)


def _estimate(value: float, draws: Matrix) -> Estimate:
    outside = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(draws, [outside, 100 - outside])
    return Estimate(value, float(low), float(high))
