"""The statistics of a report: all intervals, all differences, and the planned tests."""

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
    randomization_p,
)

ALPHA = 0.05
# With fewer runs per arm, a difference cannot be told from the variation between seeds.
MIN_RUNS = 3
RETRIEVED = "retrieved"
# These controls keep what a second text encoder adds. Images help only if they beat both.
WITHOUT_IMAGES = ("permuted", "query")


@dataclass(frozen=True)
class Compared:
    """A planned comparison and its result.

    Attributes:
        comparison: The comparison.
        n: Number of runs per arm. If one arm has more, its first ones are used.
        estimate: Difference of the arms' mean F1.
        p: P-value from approximate randomization.
        corrected_p: The same after Holm's correction.
    """

    comparison: Comparison
    n: int
    estimate: Estimate
    p: float
    corrected_p: float

    @property
    def is_gain(self) -> bool:
        """Whether both interval and corrected p show a difference above zero."""
        return self.estimate.low > 0 and self._is_certain

    @property
    def is_loss(self) -> bool:
        """Whether both interval and corrected p show a difference below zero."""
        return self.estimate.high < 0 and self._is_certain

    @property
    def _is_certain(self) -> bool:
        return self.corrected_p < ALPHA and self.n >= MIN_RUNS


@dataclass(frozen=True)
class Statistics:
    """All statistics of a grid's results.

    Attributes:
        f1: Mean strict micro F1 by dataset and arm.
        label_scores: By dataset and arm, F1 of each label and the weighted "P", "R" and "F1", in
            the lenient reading, which is the paper's.
        to_baseline: Difference of each arm from the grid's baseline, by dataset and arm.
        to_controls: Difference of a tagger's arm with retrieved images from the same tagger's arms
            with other images, by dataset and other arm.
        compared: The planned comparisons whose arms were both run, in the plan's order.
    """

    f1: dict[str, dict[str, Estimate]]
    label_scores: dict[str, dict[str, dict[str, Estimate]]]
    to_baseline: dict[str, dict[str, Estimate]]
    to_controls: dict[str, dict[str, Estimate]]
    compared: list[Compared]


def compute_statistics(results: Results) -> Statistics:
    """Compute the intervals of all arms and differences, and the planned tests."""
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
        # Retrieved images are compared with other images in the same tagger.
        retrieved = {arm: f"{found[0].tagger}-{RETRIEVED}" for arm, found in runs.items()}
        statistics.to_controls[dataset] = {
            arm: difference(counts[retrieved[arm]], counted)
            for arm, counted in counts.items()
            if retrieved[arm] in counts and retrieved[arm] != arm
        }
    return statistics


def labels_of(gold: Gold) -> list[str]:
    """Return the labels of a dataset's entities, sorted."""
    return sorted({label for spans in gold.lenient for *_, label in spans})


def find_answer(compared: list[Compared], asked: Compared, baseline: str) -> str:
    """Return the conclusion from a comparison, in words.

    "images help" needs a gain of retrieved images over the dataset's baseline and over every
    control in `WITHOUT_IMAGES`.

    Args:
        compared: All planned comparisons that were run.
        asked: The comparison to judge.
        baseline: The grid's baseline.
    """
    if asked.n < MIN_RUNS:
        return f"no conclusion: fewer than {MIN_RUNS} runs per arm"
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
    if {f"{tagger}-{images}" for images in WITHOUT_IMAGES} <= gains:
        return "images help"
    return "a gain, but the controls do not show that it comes from the images"


def _compare(results: Results) -> list[Compared]:
    done = []
    planned = results.grid.comparisons
    for comparison in tqdm(planned, unit=" tests", disable=None, leave=False):
        arms = [results.find(arm) for arm in (comparison.of, comparison.against)]
        n = min(map(len, arms))
        if n:
            one, other = (_count(results.gold[runs[0].dataset], runs[:n]) for runs in arms)
            done.append((comparison, n, difference(one, other), randomization_p(one, other)))
    # Count comparisons that were not run yet as p = 1, so that corrected values never rise later.
    p_values = [p for *_, p in done] + [1.0] * (len(planned) - len(done))
    return [Compared(*facts, p) for facts, p in zip(done, holm(p_values), strict=False)]


def _count(gold: Gold, runs: list[Run]) -> Arm:
    """Count entities in the strict reading."""
    return count(gold.strict, [run.spans for run in runs])


def _count_by_label(gold: Gold, runs: list[Run]) -> dict[str, Arm]:
    """Count the entities of each label in the lenient reading."""

    def only(spans: Spans, label: str) -> Spans:
        return [[span for span in doc if span[2] == label] for doc in spans]

    return {
        label: count(only(gold.lenient, label), [only(run.spans, label) for run in runs])
        for label in labels_of(gold)
    }
