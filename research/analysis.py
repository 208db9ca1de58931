"""Effects of the images: gates, recall of unseen names, changed decisions, retrieved vokens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from spacy_vokens.scoring.ner import Span
from spacy_vokens.scoring.retrieval import spread

from .runs import Gold, Run

OUTSIDE = "no entity"
N_BINS = 4
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
# By the first letters of a Penn Treebank tag.
PARTS_OF_SPEECH = {
    "NNP": "proper noun",
    "NN": "noun",
    "VB": "verb",
    "MD": "verb",
    "JJ": "adjective",
    "RB": "adverb",
    "CD": "number",
}
OTHER_PART_OF_SPEECH = "function word, punctuation"


@dataclass(frozen=True)
class Flips:
    """How the decisions of one run differ from those of another, in numbers of entities.

    Attributes:
        repaired: Gold entities that only the first run finds.
        broken: Gold entities that only the second run finds.
        removed: Wrong entities that only the second run finds.
        added: Wrong entities that only the first run finds.
    """

    repaired: float
    broken: float
    removed: float
    added: float

    @property
    def to_right(self) -> float:
        """Number of decisions that the first run gets right and the second wrong."""
        return self.repaired + self.removed

    @property
    def to_wrong(self) -> float:
        """Number of decisions that the first run gets wrong and the second right."""
        return self.broken + self.added


def gates_by_type(gold: Gold, runs: list[Run]) -> dict[str, float]:
    """Return the mean gate (0 to 1) of tokens in entities of each type, and outside of entities."""
    labels = [_token_labels(n, spans) for n, spans in zip(gold.lengths, gold.strict, strict=True)]
    return _mean_gates(runs, labels)


def gates_by_part_of_speech(gold: Gold, runs: list[Run]) -> dict[str, float]:
    """Return the mean gate (0 to 1) by part of speech."""
    return _mean_gates(runs, [[_part_of_speech(tag) for tag in tags] for tags in gold.pos])


def gates_by_voken(gold: Gold, runs: list[Run]) -> dict[str, float]:
    """Return the mean gate (0 to 1) of tokens with and without a voken."""
    return _mean_gates(
        runs,
        [["no voken" if s is None else "voken" for s in scores] for scores in gold.voken_scores],
    )


def recall_by_seen(gold: Gold, runs: list[Run]) -> dict[str, tuple[int, float]]:
    """Return the number and mean recall of gold entities seen and not seen in training."""
    names = (("seen", True), ("unseen", False))
    groups = {
        name: [
            {
                (start, end, label)
                for (start, end, label), seen in zip(spans, flags, strict=True)
                if seen == wanted
            }
            for spans, flags in zip(gold.strict, gold.seen, strict=True)
        ]
        for name, wanted in names
    }
    return {name: _recall(group, runs) for name, group in groups.items()}


def recall_by_voken_score(gold: Gold, runs: list[Run]) -> list[tuple[float, float, int, float]]:
    """Return the recall of gold entities by the score of their best voken, in four equal groups.

    Returns:
        Lowest score, highest score, number of entities and mean recall of each group. Entities
        without a voken are in no group.
    """
    scored = []
    for doc, (spans, scores) in enumerate(zip(gold.strict, gold.voken_scores, strict=True)):
        for start, end, label in spans:
            known = [s for s in scores[start:end] if s is not None]
            if known:
                scored.append((max(known) / 1000, doc, (start, end, label)))
    scored.sort()
    found = []
    for rows in np.array_split(np.arange(len(scored)), N_BINS):
        chosen = [scored[i] for i in rows]
        group: list[set[Span]] = [set() for _ in gold.lengths]
        for _, doc, span in chosen:
            group[doc].add(span)
        if chosen:
            found.append((chosen[0][0], chosen[-1][0], *_recall(group, runs)))
    return found


def mean_flips(gold: Gold, pairs: Iterable[tuple[Run, Run]]) -> Flips | None:
    """Return how the first run of a pair differs from the second, as the mean over pairs."""
    counted = [_flips(gold, one, other) for one, other in pairs]
    if not counted:
        return None
    return Flips(*np.mean(counted, axis=0).tolist())


def paired(ones: list[Run], others: list[Run]) -> Iterator[tuple[Run, Run]]:
    """Yield the runs of two arms that have the same seed."""
    by_seed = {run.seed: run for run in others}
    return ((run, by_seed[run.seed]) for run in ones if run.seed in by_seed)


def other_seeds(runs: list[Run]) -> Iterator[tuple[Run, Run]]:
    """Yield all ordered pairs of an arm's runs: their differences come from the seed alone."""
    return permutations(runs, 2)


def retrieval_facts(gold: Gold) -> dict[str, float]:
    """Return how the vokens are spread over tokens and pool.

    Returns:
        `with_voken`, the share of tokens that have a voken; `coverage`, the share of images that
        are a voken; `top_1_percent`, the share of vokens among the 1% most frequent images; and
        `skewness` of how often an image is a voken.
    """
    counts = list(gold.vokens.values())
    return {
        "with_voken": sum(counts) / max(1, sum(gold.lengths)),
        **spread(counts, gold.pool_size),
    }


def share_above(gold: Gold, threshold: float) -> float:
    """Return the share of all tokens whose voken scores at least the threshold."""
    scores = [s for doc_scores in gold.voken_scores for s in doc_scores]
    return sum(s is not None and s >= 1000 * threshold for s in scores) / max(1, len(scores))


def _mean_gates(runs: list[Run], groups: list[list[str]]) -> dict[str, float]:
    gates: dict[str, list[int]] = defaultdict(list)
    for run in runs:
        for doc_gates, names in zip(run.gates or [], groups, strict=True):
            for gate, name in zip(doc_gates, names, strict=True):
                if gate is not None:
                    gates[name].append(gate)
    return {name: float(np.mean(gates[name])) / 1000 for name in sorted(gates)}


def _token_labels(length: int, spans: list[Span]) -> list[str]:
    labels = [OUTSIDE] * length
    for start, end, label in spans:
        labels[start:end] = [label] * (end - start)
    return labels


def _part_of_speech(tag: str) -> str:
    names = (name for start, name in PARTS_OF_SPEECH.items() if tag.startswith(start))
    return next(names, OTHER_PART_OF_SPEECH)


def _recall(wanted: list[set[Span]], runs: list[Run]) -> tuple[int, float]:
    """Return the number of wanted entities, and the mean share of them that a run finds."""
    number = sum(map(len, wanted))
    found = [
        sum(len(w & set(spans)) for w, spans in zip(wanted, run.spans, strict=True)) for run in runs
    ]
    return number, float(np.mean(found)) / max(1, number)


def _flips(gold: Gold, one: Run, other: Run) -> tuple[int, int, int, int]:
    repaired = broken = removed = added = 0
    for spans in zip(gold.strict, one.spans, other.spans, strict=True):
        wanted, a, b = map(set, spans)
        repaired += len((a - b) & wanted)
        broken += len((b - a) & wanted)
        removed += len((b - a) - wanted)
        added += len((a - b) - wanted)
    return repaired, broken, removed, added
