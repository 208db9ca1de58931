from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from research import significance
from research.significance import (
    Arm,
    count,
    difference,
    holm,
    mean_f1,
    mean_label_scores,
    randomization_p,
)
from spacy_vokens.scoring.ner import score_spans

N = 60
# Gold entities a sentence; some have none.
GOLD = np.random.default_rng(0).integers(0, 4, size=N).astype(float)


def arm(accuracy: float, n_runs: int, seed: int) -> Arm:
    """Runs that find each gold entity with a probability, and another in every fifth sentence."""
    rng = np.random.default_rng(seed)
    right = rng.binomial(GOLD.astype(int), accuracy, size=(n_runs, N)).astype(float)
    wrong = rng.binomial(1, 0.2, size=(n_runs, N))
    return Arm(right, right + wrong, GOLD)


spans = st.lists(
    st.tuples(st.integers(0, 3), st.integers(4, 6), st.sampled_from(["LOC", "PER"])),
    max_size=3,
    unique=True,
)


@given(st.lists(st.tuples(spans, spans, spans), min_size=1, max_size=6))
def test_counted_f1_is_the_scorers(sentences):
    gold, one, other = ([list(part) for part in parts] for parts in zip(*sentences, strict=True))
    counted = count(gold, [one, other])
    expected = [score_spans(gold, run).overall.fscore for run in (one, other)]
    assert counted.f1.tolist() == pytest.approx(expected)


def test_the_interval_holds_the_mean_and_narrows_with_the_sentences():
    few = arm(0.7, 5, seed=1)
    many = Arm(*(np.tile(part, 16) for part in (few.right, few.found, few.gold)))
    narrow, wide = mean_f1(many), mean_f1(few)
    for estimate in (narrow, wide):
        assert estimate.low < estimate.value < estimate.high
        assert estimate.value == pytest.approx(few.f1.mean())
    # Sixteen times the sentences: a quarter of the width, but for what the runs add.
    assert narrow.high - narrow.low < 0.6 * (wide.high - wide.low)


def test_runs_that_differ_widen_the_interval():
    rows = np.repeat(arm(0.7, 1, seed=1).right, 4, axis=0)
    alike = Arm(rows, rows + 1, GOLD)
    spread = rows.copy()
    spread[:2] *= 0.8
    unlike = Arm(spread, rows + 1, GOLD)
    widths = [e.high - e.low for e in (mean_f1(alike), mean_f1(unlike))]
    assert widths[0] < widths[1]


def test_an_arm_does_not_differ_from_itself():
    # One run: where there are several, each side draws its own.
    same = arm(0.7, 1, seed=1)
    estimate = difference(same, same)
    assert (estimate.value, estimate.low, estimate.high) == (0, 0, 0)
    assert randomization_p(same, same) == 1


def test_a_clear_difference_is_found_and_has_a_sign():
    good, bad = arm(0.9, 3, seed=1), arm(0.6, 3, seed=2)
    estimate, reverse = difference(good, bad), difference(bad, good)
    assert estimate.low > 0
    assert reverse.value == pytest.approx(-estimate.value)
    assert reverse.high < 0
    assert randomization_p(good, bad) < 0.001


def test_noise_is_rarely_called_a_difference(monkeypatch):
    monkeypatch.setattr(significance, "DRAWS", 500)
    monkeypatch.setattr(significance, "BLOCK", 500)
    n = 60
    pairs = [(arm(0.7, 4, seed=2 * i), arm(0.7, 4, seed=2 * i + 1)) for i in range(n)]
    outside = sum(not (e.low <= 0 <= e.high) for e in (difference(*pair) for pair in pairs))
    significant = sum(randomization_p(*pair) < 0.05 for pair in pairs)
    # At most 5 % are expected, of the bootstrap fewer: it is conservative.
    assert outside <= 0.1 * n
    assert significant <= 0.15 * n
    assert any(randomization_p(*pair) < 0.5 for pair in pairs)


def test_of_one_label_the_weighted_scores_are_its_own():
    only = arm(0.7, 3, seed=1)
    scores = mean_label_scores({"LOC": only})
    assert list(scores) == ["LOC", "P", "R", "F1"]
    assert scores["LOC"] == scores["F1"]
    assert scores["F1"].value == pytest.approx(mean_f1(only).value)
    assert scores["P"].value == pytest.approx(
        (only.right.sum(axis=1) / only.found.sum(axis=1)).mean()
    )
    assert scores["R"].value == pytest.approx((only.right.sum(axis=1) / GOLD.sum()).mean())
    # The same way of drawing, but for the draws.
    widths = [e.high - e.low for e in (scores["F1"], mean_f1(only))]
    assert widths[0] == pytest.approx(widths[1], rel=0.1)


def test_labels_weigh_by_their_number_of_gold_entities():
    good, bad = arm(0.9, 2, seed=1), arm(0.3, 2, seed=2)
    three_times = Arm(*(np.tile(part, 3) for part in (good.right, good.found, good.gold)))
    once = Arm(
        *(
            np.pad(part, [(0, 0)] * (part.ndim - 1) + [(0, 2 * N)])
            for part in (bad.right, bad.found, bad.gold)
        )
    )
    scores = mean_label_scores({"LOC": three_times, "PER": once})
    expected = (3 * scores["LOC"].value + scores["PER"].value) / 4
    assert scores["F1"].value == pytest.approx(expected)
    for estimate in scores.values():
        assert estimate.low <= estimate.value <= estimate.high
    assert mean_label_scores({}) == {}


def test_the_p_value_is_that_of_all_exchanges():
    # Three sentences have eight exchanges, so scipy counts them all.
    gold = np.array([2.0, 2.0, 2.0])
    one = Arm(np.array([[2.0, 2.0, 2.0]]), np.array([[2.0, 2.0, 2.0]]), gold)
    other = Arm(np.array([[1.0, 0.0, 1.0]]), np.array([[2.0, 2.0, 2.0]]), gold)
    # Only no exchange and all three are as extreme.
    assert randomization_p(one, other) == pytest.approx(2 / 8)


def test_the_same_seed_gives_the_same_numbers():
    one, other = arm(0.8, 3, seed=1), arm(0.7, 3, seed=2)
    assert difference(one, other) == difference(one, other)
    assert difference(one, other) != difference(one, other, seed=1)
    assert randomization_p(one, other) == randomization_p(one, other)


def test_as_many_runs_as_others_change_places():
    with pytest.raises(ValueError, match="2 runs cannot be exchanged with 3"):
        randomization_p(arm(0.7, 2, seed=1), arm(0.7, 3, seed=2))


def test_arms_of_other_gold_are_refused():
    one = arm(0.7, 2, seed=1)
    other = Arm(one.right, one.found, one.gold + 1)
    for compare in (difference, randomization_p):
        with pytest.raises(ValueError, match="the same entities"):
            compare(one, other)


def test_nothing_to_find_and_nothing_found_is_zero():
    nothing = Arm(np.zeros((2, 3)), np.zeros((2, 3)), np.zeros(3))
    assert nothing.f1.tolist() == [0, 0]
    assert mean_f1(nothing).value == 0


@settings(max_examples=10)
@given(arrays(float, st.integers(1, 8), elements=st.floats(0, 1)))
def test_holm_never_lowers_a_p_value_nor_their_order(p_values):
    corrected = holm(p_values.tolist())
    assert all(c >= p - 1e-12 for c, p in zip(corrected, p_values, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(np.array(corrected)[order]) >= -1e-12)
    assert min(corrected) <= min(1, len(p_values) * p_values.min()) + 1e-12


def test_holm_of_a_known_case():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
