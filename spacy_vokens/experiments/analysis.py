"""What the pictures did: gates, names unseen in training, decisions changed, vokens retrieved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from ..metrics.ner import Span
from ..metrics.retrieval import spread
from .runs import Gold, Run

OUTSIDE = "no entity"
N_BINS = 4
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
# The Penn Treebank's tags, by how they begin, and what a reader calls them.
PARTS_OF_SPEECH = {
    "NNP": "proper noun",
    "NN": "noun",
    "VB": "verb",
    "MD": "verb",
    "JJ": "adjective",
    "RB": "adverb",
    "CD": "number",
}
OTHER_PART = "function word, punctuation"


@dataclass(frozen=True)
class Flips:
    """How the decisions of one run differ from another's, in numbers of entities.

    repaired: gold entities that only the one finds.
    broken: gold entities that only the other finds.
    removed: wrong entities that only the other finds.
    added: wrong entities that only the one finds.
    """

    repaired: float
    broken: float
    removed: float
    added: float

    @property
    def to_right(self) -> float:
        return self.repaired + self.removed

    @property
    def to_wrong(self) -> float:
        return self.broken + self.added


def gates_by_type(gold: Gold, runs: list[Run]) -> dict[str, float]:
    """Mean gate, 0 to 1, of the tokens in entities of each type, and of those in none."""
    labels = [_token_labels(n, spans) for n, spans in zip(gold.lengths, gold.strict, strict=True)]
    return _mean_gates(runs, labels)


def gates_by_part_of_speech(gold: Gold, runs: list[Run]) -> dict[str, float]:
    """Mean gate, 0 to 1, by part of speech."""
    return _mean_gates(runs, [[_part_of_speech(tag) for tag in tags] for tags in gold.pos])


def gates_by_voken(gold: Gold, runs: list[Run]) -> dict[str, float]:
    """Mean gate, 0 to 1, of the tokens with a voken and of those without."""
    return _mean_gates(
        runs,
        [["no voken" if s is None else "voken" for s in scores] for scores in gold.voken_scores],
    )


def recall_by_seen(gold: Gold, runs: list[Run]) -> dict[str, tuple[int, float]]:
    """Of the names that are one in training and of those that are not: number, and mean recall."""
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
    """Recall in four groups of gold entities of like number, by their best voken's score.

    returns: lowest and highest score, number and mean recall of each group; entities without a
        voken are in none.
    """
    scored = []
    for doc, (spans, scores) in enumerate(zip(gold.strict, gold.voken_scores, strict=True)):
        for start, end, label in spans:
            known = [s for s in scores[start:end] if s is not None]
            if known:
                scored.append((max(known) / 1000, doc, (start, end, label)))
    scored.sort()
    found = []
    for part in np.array_split(np.arange(len(scored)), N_BINS):
        chosen = [scored[i] for i in part]
        group: list[set[Span]] = [set() for _ in gold.lengths]
        for _, doc, span in chosen:
            group[doc].add(span)
        if chosen:
            found.append((chosen[0][0], chosen[-1][0], *_recall(group, runs)))
    return found


def mean_flips(gold: Gold, pairs: Iterable[tuple[Run, Run]]) -> Flips | None:
    """How decisions change from the second run of a pair to the first, on average over pairs."""
    counted = [_flips(gold, one, other) for one, other in pairs]
    if not counted:
        return None
    return Flips(*np.mean(counted, axis=0).tolist())


def paired(ones: list[Run], others: list[Run]) -> Iterator[tuple[Run, Run]]:
    """The runs of the two arms that have the same seed."""
    by_seed = {run.seed: run for run in others}
    return ((run, by_seed[run.seed]) for run in ones if run.seed in by_seed)


def other_seeds(runs: list[Run]) -> Iterator[tuple[Run, Run]]:
    """Every two runs of an arm, either way round: what the seed alone changes."""
    return permutations(runs, 2)


def retrieval_facts(gold: Gold) -> dict[str, float]:
    """How the vokens are spread over the pool.

    returns: `with_voken`, share of the tokens, and what `spread` returns of the pool's images.
    """
    counts = list(gold.vokens.values())
    return {
        "with_voken": sum(counts) / max(1, sum(gold.lengths)),
        **spread(counts, gold.pool_size),
    }


def share_above(gold: Gold, threshold: float) -> float:
    """Share of all tokens whose voken scores at least the threshold."""
    scores = [s for of_doc in gold.voken_scores for s in of_doc]
    return sum(s is not None and s >= 1000 * threshold for s in scores) / max(1, len(scores))


def _mean_gates(runs: list[Run], groups: list[list[str]]) -> dict[str, float]:
    gates: dict[str, list[int]] = defaultdict(list)
    for run in runs:
        for of_doc, names in zip(run.gates or [], groups, strict=True):
            for gate, name in zip(of_doc, names, strict=True):
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
    return next(names, OTHER_PART)


def _recall(wanted: list[set[Span]], runs: list[Run]) -> tuple[int, float]:
    """Number of the wanted entities, and the mean share of them that a run finds."""
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
