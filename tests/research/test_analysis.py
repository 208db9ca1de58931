from __future__ import annotations

import pytest

from research import analysis
from research.analysis import Flips, mean_flips, other_seeds, paired
from tests.research.sample_runs import make_gold, make_run

GOLD = make_gold()
TEXT_ONLY = [make_run(GOLD, "text-only", "none", seed, misses=4) for seed in range(2)]
GATED = [make_run(GOLD, "gated", "retrieved", seed, misses=1, wrong=2) for seed in range(2)]


def test_gates_are_averaged_by_type_by_part_of_speech_and_by_voken():
    assert analysis.gates_by_type(GOLD, GATED) == pytest.approx(
        {"LOC": 0.1, "PER": 0.3, analysis.OUTSIDE: 0.2}
    )
    assert analysis.gates_by_part_of_speech(GOLD, GATED) == pytest.approx(
        {"proper noun": 0.1, "verb": 0.2, "noun": 0.3}
    )
    # The token without a gate is the one without a voken.
    assert analysis.gates_by_voken(GOLD, GATED) == pytest.approx({"voken": 0.225})


def test_names_unseen_in_training_have_a_recall_of_their_own():
    # Every LOC is seen and every PER unseen; text-only misses four of twelve LOC.
    assert analysis.recall_by_seen(GOLD, TEXT_ONLY) == {
        "seen": (12, pytest.approx(8 / 12)),
        "unseen": (12, 1.0),
    }


def test_recall_by_score_covers_every_entity_once_in_order_of_scores():
    bins = analysis.recall_by_voken_score(GOLD, TEXT_ONLY)
    assert sum(n for _, _, n, _ in bins) == 24
    edges = [edge for low, high, _, _ in bins for edge in (low, high)]
    assert edges == sorted(edges)
    # The documents that text-only misses have the lowest scores.
    assert [recall for *_, recall in bins] == pytest.approx([2 / 6, 1, 1, 1])


def test_entities_without_a_voken_are_in_no_group():
    gold = make_gold(voken_scores=[[None] * 5 for _ in range(12)])
    assert analysis.recall_by_voken_score(gold, TEXT_ONLY) == []


def test_flips_count_what_one_run_decides_otherwise():
    flips = mean_flips(GOLD, paired(GATED, TEXT_ONLY))
    assert flips == Flips(repaired=3, broken=0, removed=0, added=2)
    assert (flips.to_right, flips.to_wrong) == (3, 2)
    back = mean_flips(GOLD, paired(TEXT_ONLY, GATED))
    assert back == Flips(repaired=0, broken=3, removed=2, added=0)


def test_runs_are_paired_by_their_seed():
    other = make_run(GOLD, "gated", "retrieved", 7)
    assert list(paired([other, *GATED], TEXT_ONLY)) == list(zip(GATED, TEXT_ONLY, strict=True))
    assert mean_flips(GOLD, paired([other], TEXT_ONLY)) is None


def test_two_seeds_differ_from_each_other_alike():
    pairs = list(other_seeds(TEXT_ONLY))
    assert pairs == [tuple(TEXT_ONLY), tuple(TEXT_ONLY[::-1])]
    flips = mean_flips(GOLD, other_seeds([TEXT_ONLY[0], GATED[1]]))
    assert flips.to_right == flips.to_wrong


def test_the_spread_of_vokens_over_the_pool():
    facts = analysis.retrieval_facts(GOLD)
    assert facts["with_voken"] == pytest.approx(4 / 5)
    assert facts["coverage"] == pytest.approx(2 / 10)
    # The hundredth of ten images is one: the cow, with three quarters of the vokens.
    assert facts["top_1_percent"] == pytest.approx(3 / 4)
    even = make_gold(vokens={str(i): 5 + i % 2 for i in range(10)})
    assert analysis.retrieval_facts(even)["skewness"] < facts["skewness"]


def test_the_share_of_tokens_above_a_threshold():
    # Of five tokens one scores 0.5 or more.
    assert analysis.share_above(GOLD, 0.5) == pytest.approx(1 / 5)
    assert analysis.share_above(GOLD, 0.0) == pytest.approx(4 / 5)
