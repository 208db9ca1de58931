"""Read entities from BIO tags, and score them, in two readings of ill-formed tags.

In the strict reading an entity begins with `B-`: this is seqeval's `mode="strict", scheme=IOB2`. In
the lenient reading an `I-X` that does not continue an X begins an entity as well: this is seqeval's
default, and conlleval's. The two differ only on ill-formed tags, so if the predicted tags are
well-formed they differ only in the gold mentions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from spacy.scorer import PRFScore

from ..files import VokensError

Span = tuple[int, int, str]


class TaggedToken(Protocol):
    """What is needed of a spaCy `Token`."""

    @property
    def ent_iob_(self) -> str: ...
    @property
    def ent_type_(self) -> str: ...


class TaggedDoc(Protocol):
    """What is needed of a spaCy `Doc`."""

    @property
    def _(self) -> Any: ...
    def __iter__(self) -> Iterator[TaggedToken]: ...


def gold_tags(doc: TaggedDoc) -> list[str]:
    """Return the corpus's own tags (`Doc._.visual_raw_tags`) if the document has them.

    Otherwise return its entities as BIO tags.
    """
    return bio_tags(doc) if doc._.visual_raw_tags is None else list(doc._.visual_raw_tags)


def bio_tags(doc: Iterable[TaggedToken]) -> list[str]:
    """Return the entities of a `Doc` as BIO tags, one per token."""
    # spaCy marks a token that is blocked from entities with a B and no type.
    return [f"{token.ent_iob_}-{token.ent_type_}" if token.ent_type_ else "O" for token in doc]


def split_tag(tag: str) -> tuple[str, str]:
    """Split a BIO tag into its prefix and its type, which is "" for `O`.

    Raises:
        VokensError: If the tag is neither `O` nor `B-`/`I-` followed by a type.
    """
    prefix, _, label = tag.partition("-")
    if tag != "O" and not (prefix in ("B", "I") and label):
        raise VokensError(f"expected the tag 'O', 'B-TYPE' or 'I-TYPE', found {tag!r:.80}.")
    return prefix, label


def repair_bio(tags: Sequence[str]) -> list[str]:
    """Replace every `I-X` that does not continue an X with `B-X`.

    Training needs this, because a document's entities must be well-formed. Scores are computed from
    the tags as they are in the corpus.

    Raises:
        VokensError: If a tag is neither `O` nor `B-`/`I-` followed by a type.
    """
    repaired = []
    previous = ""
    for tag in tags:
        prefix, label = split_tag(tag)
        repaired.append(f"B-{label}" if prefix == "I" and label != previous else tag)
        previous = label
    return repaired


def strict_spans(tags: Sequence[str]) -> list[Span]:
    """Return the entities that begin with `B-`.

    An `I-` tag continues an entity of its own type and is ignored otherwise, in gold and in
    predicted tags alike.

    Args:
        tags: BIO tags, possibly ill-formed.

    Returns:
        (start, end, label) of each entity in order, with an exclusive end.

    Raises:
        VokensError: If a tag is neither `O` nor `B-`/`I-` followed by a type.
    """
    spans: list[Span] = []
    start, current = 0, ""
    for i, tag in enumerate(tags):
        prefix, label = split_tag(tag)
        if prefix == "I" and label == current:
            continue
        if current:
            spans.append((start, i, current))
        start, current = i, label if prefix == "B" else ""
    if current:
        spans.append((start, len(tags), current))
    return spans


def lenient_spans(tags: Sequence[str]) -> list[Span]:
    """Return the entities that begin with `B-`, or with an `I-` that continues nothing.

    Args:
        tags: BIO tags, possibly ill-formed.

    Returns:
        (start, end, label) of each entity in order, with an exclusive end.

    Raises:
        VokensError: If a tag is neither `O` nor `B-`/`I-` followed by a type.
    """
    return strict_spans(repair_bio(tags))


@dataclass(frozen=True)
class SpanScores:
    """Scores of a corpus.

    Attributes:
        per_type: Counts of true positives, false positives and false negatives for every type that
            occurs in the gold or the predicted entities, sorted by name.
    """

    per_type: dict[str, PRFScore]

    @property
    def overall(self) -> PRFScore:
        """Counts over all types; their scores are the micro averages."""
        return sum(self.per_type.values(), PRFScore())

    @property
    def weighted_f1(self) -> float:
        """Mean of the types' F1, weighted by their gold mentions; 0 without gold mentions.

        In the lenient reading, this is the number that the paper reports as F1.
        """
        mentions = [score.tp + score.fn for score in self.per_type.values()]
        scores = [score.fscore for score in self.per_type.values()]
        total = sum(n * f1 for n, f1 in zip(mentions, scores, strict=True))
        return total / max(1, sum(mentions))

    def to_dict(self) -> dict[str, Any]:
        """Return overall scores and counts, `weighted_f`, and `per_type`, as plain numbers."""
        return {
            **_to_dict(self.overall),
            "weighted_f": self.weighted_f1,
            "per_type": {label: _to_dict(score) for label, score in self.per_type.items()},
        }


def _to_dict(score: PRFScore) -> dict[str, Any]:
    mentions = score.tp + score.fn
    return {
        **score.to_dict(),
        **{"mentions": mentions, "tp": score.tp, "fp": score.fp, "fn": score.fn},
    }


def score_spans(gold: Sequence[Iterable[Span]], predicted: Sequence[Iterable[Span]]) -> SpanScores:
    """Count the predicted entities that have the start, end and type of a gold entity.

    Args:
        gold: The gold entities of every sentence.
        predicted: The predicted entities of every sentence, in the same order.

    Raises:
        VokensError: If the numbers of sentences differ.
    """
    if len(gold) != len(predicted):
        raise VokensError(f"{len(gold)} gold sentences, but {len(predicted)} predicted ones.")
    per_type: defaultdict[str, PRFScore] = defaultdict(PRFScore)
    for gold_spans, predicted_spans in zip(gold, predicted, strict=True):
        wanted, found = set(gold_spans), set(predicted_spans)
        for span in wanted | found:
            per_type[span[2]].score_set({span} & found, {span} & wanted)
    return SpanScores(dict(sorted(per_type.items())))


def score_tags(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> dict[str, SpanScores]:
    """Score the same tags in both readings.

    Args:
        gold: BIO tags of every sentence, possibly ill-formed.
        predicted: BIO tags of every sentence, in the same order.

    Returns:
        The scores by the names of the readings, "strict" and "lenient".

    Raises:
        VokensError: If the numbers of sentences, or of a sentence's tags, differ, or a tag is not
            a BIO tag.
    """
    for i, (gold_tags, predicted_tags) in enumerate(zip(gold, predicted, strict=False)):
        if len(gold_tags) != len(predicted_tags):
            raise VokensError(
                f"sentence {i} has {len(gold_tags)} gold tags, but {len(predicted_tags)} "
                "predicted ones: score a corpus with its own tokens."
            )
    return {
        name: score_spans([*map(read, gold)], [*map(read, predicted)])
        for name, read in (("strict", strict_spans), ("lenient", lenient_spans))
    }
