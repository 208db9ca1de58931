from __future__ import annotations

import pytest

from spacy_vokens.experiments.grid import Comparison
from spacy_vokens.experiments.significance import Estimate
from spacy_vokens.experiments.statistics import Compared, pictures_help


def compared(against: str, low: float = 0.01, p: float = 0.01, **fields: str) -> Compared:
    planned = {"dataset": "d", "of": "gated-retrieved", "against": against} | fields
    return Compared(Comparison(**planned), (5, 5), Estimate(0.02, low, 0.03), p, p)


TEXT_ONLY = compared("text-only-none")
PERMUTED = compared("gated-permuted")
QUERY = compared("gated-query")


def test_pictures_help_where_they_beat_text_only_and_both_controls():
    assert pictures_help(TEXT_ONLY, [TEXT_ONLY, PERMUTED, QUERY])


@pytest.mark.parametrize(
    ("primary", "others"),
    [
        (TEXT_ONLY, [PERMUTED]),
        (TEXT_ONLY, [QUERY]),
        (TEXT_ONLY, [PERMUTED, compared("gated-query", low=-0.01)]),
        (TEXT_ONLY, [PERMUTED, compared("gated-query", p=0.06)]),
        (TEXT_ONLY, [PERMUTED, compared("gated-query", dataset="other")]),
        (TEXT_ONLY, [PERMUTED, compared("gated-query", of="attention-retrieved")]),
        (compared("text-only-none", p=0.06), [PERMUTED, QUERY]),
    ],
)
def test_otherwise_nothing_is_claimed(primary, others):
    assert not pictures_help(primary, [primary, *others])
