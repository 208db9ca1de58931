"""Whether probabilities mean what they say: of all that is called 80 % sure, 80 % is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

# Probabilities nearer to 0 and 1 count as this near in the log loss.
EPSILON = 1e-12


@dataclass(frozen=True)
class Bin:
    """What was given a probability in one interval.

    low, high: the interval, without `low` except for the first.
    n: how many; the others are 0 where there is none.
    confidence: their mean probability.
    accuracy: share of them that is right.
    """

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


def reliability(confidences: ArrayLike, is_right: ArrayLike, n_bins: int = 10) -> list[Bin]:
    """What a reliability diagram shows (Guo et al. 2017): bins of equal width, 0 to 1.

    confidences: (n,), probabilities.
    is_right: (n,), whether what they were given to is right.
    raises ValueError: where the shapes differ, or a probability is none.
    """
    values, right = _checked(confidences, is_right)
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    rows = np.clip(np.searchsorted(edges, values) - 1, 0, n_bins - 1)
    counts = np.bincount(rows, minlength=n_bins)
    filled = np.maximum(counts, 1)
    means = np.bincount(rows, values, n_bins) / filled
    shares = np.bincount(rows, right, n_bins) / filled
    return [
        Bin(*of_bin)
        for of_bin in zip(
            edges[:-1].tolist(),
            edges[1:].tolist(),
            counts.tolist(),
            means.tolist(),
            shares.tolist(),
            strict=True,
        )
    ]


def calibration_error(confidences: ArrayLike, is_right: ArrayLike, n_bins: int = 10) -> float:
    """Expected calibration error (Naeini et al. 2015): |accuracy - confidence| of the mean case.

    The arguments are those of `reliability`.
    returns: 0 (the best) to 1; 0 where there is nothing.
    """
    bins = reliability(confidences, is_right, n_bins)
    total = sum(of_bin.n for of_bin in bins)
    gaps = sum(of_bin.n * abs(of_bin.accuracy - of_bin.confidence) for of_bin in bins)
    return gaps / total if total else 0.0


def log_loss(confidences: ArrayLike, is_right: ArrayLike) -> float:
    """Mean negative log of the probability given to what is the case; 0 is the best.

    The arguments are those of `reliability`.
    raises ValueError: also where there is nothing.
    """
    values, right = _checked(confidences, is_right)
    if not len(values):
        raise ValueError("there is no probability to average.")
    given = np.where(right, values, 1.0 - values)
    return float(-np.log(np.clip(given, EPSILON, 1.0)).mean())


def _checked(confidences: ArrayLike, is_right: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    values, right = np.asarray(confidences, dtype=float), np.asarray(is_right, dtype=bool)
    if values.shape != right.shape or values.ndim != 1:
        raise ValueError(f"expected two lists of one length, found {values.shape}, {right.shape}.")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("a probability must be 0 to 1.")
    return values, right
