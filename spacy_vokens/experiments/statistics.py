"""The statistics of a report: every interval, every difference, and the planned tests."""

from __future__ import annotations

from dataclasses import dataclass

from tqdm import tqdm

from .grid import Comparison, arm_name
from .results import Results
from .significance import Estimate, difference, holm, mean_f1, randomisation_p

ALPHA = 0.05
RETRIEVED = "retrieved"
# Controls that keep what a second text encoder adds: pictures help only beyond both.
WITHOUT_PICTURES = ("permuted", "query")
BASELINE = "text-only-none"


@dataclass(frozen=True)
class Compared:
    """A planned comparison and what came of it.

    p, corrected_p: by approximate randomisation; before and after Holm's correction.
    """

    comparison: Comparison
    n: tuple[int, int]
    estimate: Estimate
    p: float
    corrected_p: float

    @property
    def is_gain(self) -> bool:
        """Whether the difference is above zero beyond noise: by its interval and corrected p."""
        return self.estimate.low > 0 and self.corrected_p < ALPHA


@dataclass(frozen=True)
class Statistics:
    """All that takes long to compute.

    arms: mean F1 by dataset and arm.
    to_text_only: each arm's difference to the text-only one, by dataset and arm.
    to_controls: the difference of each tagger's arm with retrieved images to its arms with others,
        by dataset and by the other arm.
    compared: the planned comparisons that both arms were run for, in the plan's order.
    """

    arms: dict[str, dict[str, Estimate]]
    to_text_only: dict[str, dict[str, Estimate]]
    to_controls: dict[str, dict[str, Estimate]]
    compared: list[Compared]


def compute_statistics(results: Results) -> Statistics:
    """Intervals of every arm and difference, and the planned tests."""
    statistics = Statistics({}, {}, {}, _compare(results))
    for dataset, runs in tqdm(results.runs.items(), unit=" datasets", disable=None, leave=False):
        counts = {arm: results.count(dataset, arm) for arm in runs}
        statistics.arms[dataset] = {arm: mean_f1(counted) for arm, counted in counts.items()}
        statistics.to_text_only[dataset] = {
            arm: difference(counted, counts[BASELINE])
            for arm, counted in counts.items()
            if BASELINE in counts and arm != BASELINE
        }
        # What retrieved images are compared with: other images in the same tagger.
        retrieved = {arm: arm_name(found[0].tagger, RETRIEVED) for arm, found in runs.items()}
        statistics.to_controls[dataset] = {
            arm: difference(counts[retrieved[arm]], counted)
            for arm, counted in counts.items()
            if retrieved[arm] in counts and retrieved[arm] != arm
        }
    return statistics


def _compare(results: Results) -> list[Compared]:
    done = []
    for planned in tqdm(results.grid.comparisons, unit=" tests", disable=None, leave=False):
        runs = results.runs.get(planned.dataset, {})
        if planned.of in runs and planned.against in runs:
            one, other = (
                results.count(planned.dataset, arm) for arm in (planned.of, planned.against)
            )
            n = len(one.right), len(other.right)
            done.append((planned, n, difference(one, other), randomisation_p(one, other)))
    corrected = holm([p for *_, p in done])
    return [Compared(*facts, p) for facts, p in zip(done, corrected, strict=True)]


def pictures_help(primary: Compared, compared: list[Compared]) -> bool:
    """Whether the gain of the primary comparison is the pictures' own.

    It must be a gain over every control of `WITHOUT_PICTURES` too, in the same dataset; where one
    was not compared, nothing is claimed.
    """
    planned = primary.comparison
    tagger = planned.of.removesuffix(f"-{RETRIEVED}")
    gains = {
        c.comparison.against
        for c in compared
        if c.is_gain and (c.comparison.dataset, c.comparison.of) == (planned.dataset, planned.of)
    }
    return primary.is_gain and {arm_name(tagger, images) for images in WITHOUT_PICTURES} <= gains
