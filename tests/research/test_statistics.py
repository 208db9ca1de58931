from __future__ import annotations

import pytest

from research.grid import Comparison
from research.significance import Estimate
from research.statistics import Compared, find_answer

HELP = "images help"
GAIN = "a gain, but the controls do not show that it comes from the images"
NOTHING = "no difference beyond noise"


def compared(against: str, of: str = "gated-retrieved", **changes: object) -> Compared:
    """A gain of 2 points of five runs, on a dataset called d."""
    d, facts = "d", {"n": 5, "low": 0.01, "high": 0.03, "p": 0.01} | changes
    planned = Comparison(of=f"{d}/{of}", against=f"{facts.pop('dataset', d)}/{against}")
    p = facts["p"]
    return Compared(planned, facts["n"], Estimate(0.02, facts["low"], facts["high"]), p, p)


TEXT_ONLY = compared("text-only-none")
PERMUTED = compared("gated-permuted")
QUERY = compared("gated-query")


@pytest.mark.parametrize(
    ("asked", "others", "answer"),
    [
        (TEXT_ONLY, [PERMUTED, QUERY], HELP),
        (TEXT_ONLY, [PERMUTED], GAIN),
        (TEXT_ONLY, [QUERY], GAIN),
        (TEXT_ONLY, [PERMUTED, compared("gated-query", low=-0.01)], GAIN),
        (TEXT_ONLY, [PERMUTED, compared("gated-query", p=0.06)], GAIN),
        (TEXT_ONLY, [PERMUTED, compared("gated-query", n=2)], GAIN),
        (TEXT_ONLY, [PERMUTED, compared("gated-query", dataset="other")], GAIN),
        (TEXT_ONLY, [PERMUTED, compared("gated-query", of="attention-retrieved")], GAIN),
        # Other images are not retrieved ones, whatever they beat.
        (
            compared("text-only-none", of="gated-random"),
            [compared(f"gated-{i}", of="gated-random") for i in ("permuted", "query")],
            "a gain",
        ),
        # The question is about images only if they are compared with text alone.
        (PERMUTED, [TEXT_ONLY, QUERY], "a gain"),
        (compared("text-only-none", p=0.06), [PERMUTED, QUERY], NOTHING),
        (compared("text-only-none", low=-0.01), [PERMUTED, QUERY], NOTHING),
        (compared("text-only-none", low=-0.03, high=-0.01), [PERMUTED, QUERY], "a loss"),
        (compared("text-only-none", low=-0.03, high=-0.01, p=0.06), [], NOTHING),
        (
            compared("text-only-none", n=2),
            [PERMUTED, QUERY],
            "no conclusion: fewer than 3 runs per arm",
        ),
    ],
)
def test_what_is_said(asked, others, answer):
    assert find_answer([asked, *others], asked, "text-only-none") == answer


def test_another_baseline():
    none = compared("plain-none")
    assert find_answer([none, PERMUTED, QUERY], none, "plain-none") == HELP
    assert find_answer([none, PERMUTED, QUERY], none, "text-only-none") == "a gain"
