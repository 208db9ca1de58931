"""The statistics of a report: every interval, every difference, and the planned tests."""

from __future__ import annotations

from dataclasses import dataclass

from tqdm import tqdm

from .grid import Comparison
from .results import Results
from .runs import Gold, Run, Spans
from .significance import (
    Arm,
    Estimate,
    count,
    difference,
    holm,
    mean_f1,
    mean_label_scores,
    randomisation_p,
)

ALPHA = 0.05
# Below, seeds are too few to tell a difference from theirs.
MIN_RUNS = 3
RETRIEVED = "retrieved"
# Controls that keep what a second text encoder adds: pictures help only beyond both.
WITHOUT_PICTURES = ("permuted", "query")


@dataclass(frozen=True)
class Compared:
    """A planned comparison and what came of it.

    n: number of runs of each arm; where one has more, its first ones are taken.
    p, corrected_p: by approximate randomisation; before and after Holm's correction.
    """

    comparison: Comparison
    n: int
    estimate: Estimate
    p: float
    corrected_p: float

    @property
    def is_gain(self) -> bool:
        """Whether the difference is above zero beyond noise: by its interval and corrected p."""
        return self.estimate.low > 0 and self._is_certain

    @property
    def is_loss(self) -> bool:
        """Whether it is below zero beyond noise."""
        return self.estimate.high < 0 and self._is_certain

    @property
    def _is_certain(self) -> bool:
        return self.corrected_p < ALPHA and self.n >= MIN_RUNS


@dataclass(frozen=True)
class Statistics:
    """All that takes long to compute.

    f1: mean strict micro F1 by dataset and arm.
    label_scores: `mean_label_scores` in the lenient reading, which is the paper's, by dataset and
        arm.
    to_baseline: each arm's difference to the grid's baseline, by dataset and arm.
    to_controls: the difference of each tagger's arm with retrieved images to its arms with others,
        by dataset and by the other arm.
    compared: the planned comparisons that both arms were run for, in the plan's order.
    """

    f1: dict[str, dict[str, Estimate]]
    label_scores: dict[str, dict[str, dict[str, Estimate]]]
    to_baseline: dict[str, dict[str, Estimate]]
    to_controls: dict[str, dict[str, Estimate]]
    compared: list[Compared]


def compute_statistics(results: Results) -> Statistics:
    """Intervals of every arm and difference, and the planned tests."""
    statistics = Statistics({}, {}, {}, {}, _compare(results))
    baseline = results.grid.baseline
    for dataset, runs in tqdm(results.runs.items(), unit=" datasets", disable=None, leave=False):
        gold = results.gold[dataset]
        counts = {arm: _count(gold, found) for arm, found in runs.items()}
        statistics.f1[dataset] = {arm: mean_f1(counted) for arm, counted in counts.items()}
        statistics.label_scores[dataset] = {
            arm: mean_label_scores(_count_by_label(gold, found)) for arm, found in runs.items()
        }
        statistics.to_baseline[dataset] = {
            arm: difference(counted, counts[baseline])
            for arm, counted in counts.items()
            if baseline in counts and arm != baseline
        }
        # What retrieved images are compared with: other images in the same tagger.
        retrieved = {arm: f"{found[0].tagger}-{RETRIEVED}" for arm, found in runs.items()}
        statistics.to_controls[dataset] = {
            arm: difference(counts[retrieved[arm]], counted)
            for arm, counted in counts.items()
            if retrieved[arm] in counts and retrieved[arm] != arm
        }
    return statistics


def labels_of(gold: Gold) -> list[str]:
    """The labels of a dataset's entities, sorted."""
    return sorted({label for spans in gold.lenient for *_, label in spans})


def find_answer(compared: list[Compared], asked: Compared, baseline: str) -> str:
    """What the runs say of the question that a comparison asks, in words.

    That pictures help is said where retrieved ones gain over the dataset's baseline and over every
    control of `WITHOUT_PICTURES`; where one of these was not compared, it is not said.

    compared: all planned comparisons that were run.
    baseline: of the grid.
    """
    if asked.n < MIN_RUNS:
        return f"fewer than {MIN_RUNS} runs an arm say nothing"
    if asked.is_loss:
        return "a loss"
    if not asked.is_gain:
        return "no difference beyond noise"
    tagger = asked.comparison.of.removesuffix(f"-{RETRIEVED}")
    dataset, _, _ = tagger.rpartition("/")
    if tagger == asked.comparison.of or asked.comparison.against != f"{dataset}/{baseline}":
        return "a gain"
    gains = {
        c.comparison.against
        for c in compared
        if c.is_gain and c.comparison.of == asked.comparison.of
    }
    if {f"{tagger}-{images}" for images in WITHOUT_PICTURES} <= gains:
        return "pictures help"
    return "a gain, which the controls do not show to be the pictures' own"


def _compare(results: Results) -> list[Compared]:
    done = []
    planned = results.grid.comparisons
    for comparison in tqdm(planned, unit=" tests", disable=None, leave=False):
        arms = [results.find(arm) for arm in (comparison.of, comparison.against)]
        n = min(map(len, arms))
        if n:
            one, other = (_count(results.gold[runs[0].dataset], runs[:n]) for runs in arms)
            done.append((comparison, n, difference(one, other), randomisation_p(one, other)))
    # As if those that are to come had found nothing: a correction must not grow with them.
    p_values = [p for *_, p in done] + [1.0] * (len(planned) - len(done))
    return [Compared(*facts, p) for facts, p in zip(done, holm(p_values), strict=False)]


def _count(gold: Gold, runs: list[Run]) -> Arm:
    """In the strict reading."""
    return count(gold.strict, [run.spans for run in runs])


def _count_by_label(gold: Gold, runs: list[Run]) -> dict[str, Arm]:
    """In the lenient reading."""

    def only(spans: Spans, label: str) -> Spans:
        return [[span for span in of_doc if span[2] == label] for of_doc in spans]

    return {
        label: count(only(gold.lenient, label), [only(run.spans, label) for run in runs])
        for label in labels_of(gold)
    }
