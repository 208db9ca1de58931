from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_vokens.scoring.calibration import calibration_error, log_loss, reliability

CASES = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1)


def test_by_hand() -> None:
    confidences, is_correct = [0.05, 0.1, 0.85, 0.95, 1.0], [False, True, True, True, False]
    bins = reliability(confidences, is_correct)
    assert [of_bin.n for of_bin in bins] == [2, 0, 0, 0, 0, 0, 0, 0, 1, 2]
    assert (bins[0].confidence, bins[0].accuracy) == (pytest.approx(0.075), 0.5)
    assert (bins[9].low, bins[9].high) == (pytest.approx(0.9), 1.0)
    expected = (2 * (0.5 - 0.075) + (1 - 0.85) + 2 * (0.975 - 0.5)) / 5
    assert calibration_error(confidences, is_correct) == pytest.approx(expected)
    assert log_loss([0.25, 0.75], [True, True]) == pytest.approx(
        -(math.log(0.25) + math.log(0.75)) / 2
    )


def test_certain_and_wrong_is_finite() -> None:
    assert 20 < log_loss([1.0], [False]) < 40
    assert log_loss([1.0, 0.0], [True, False]) == 0


@given(CASES)
def test_bins_hold_every_case_once(cases: list[tuple[float, bool]]) -> None:
    confidences, is_correct = zip(*cases, strict=True)
    bins = reliability(confidences, is_correct, n_bins=7)
    assert sum(of_bin.n for of_bin in bins) == len(cases)
    assert sum(of_bin.n * of_bin.accuracy for of_bin in bins) == pytest.approx(sum(is_correct))
    for of_bin in bins:
        if of_bin.n:
            assert of_bin.low - 1e-9 <= of_bin.confidence <= of_bin.high + 1e-9
    assert 0 <= calibration_error(confidences, is_correct) <= 1


def test_the_best_calibrated_has_no_error() -> None:
    rng = np.random.default_rng(0)
    confidences = rng.uniform(size=100_000)
    is_correct = rng.uniform(size=100_000) < confidences
    assert calibration_error(confidences, is_correct) < 0.01
    assert calibration_error(confidences**3, is_correct) > 0.1
    assert log_loss(confidences, is_correct) < log_loss(confidences**3, is_correct)


@pytest.mark.parametrize("measure", [reliability, calibration_error, log_loss])
def test_what_is_no_probability_is_refused(measure) -> None:
    for confidences, is_correct, reason in (
        ([0.5], [True, False], "of the same length"),
        ([[0.5]], [[True]], "of the same length"),
        ([1.5], [True], "0 to 1"),
        ([-0.1], [True], "0 to 1"),
        ([math.nan], [True], "0 to 1"),
    ):
        with pytest.raises(ValueError, match=reason):
            measure(confidences, is_correct)


def test_nothing() -> None:
    assert calibration_error([], []) == 0
    with pytest.raises(ValueError, match="no probability to average"):
        log_loss([], [])
