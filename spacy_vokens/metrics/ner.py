"""Precision, recall and F1 of named entities, from BIO tags, in two readings.

The strict reading is seqeval's `mode="strict", scheme=IOB2`: an entity begins with `B-`. The
lenient reading is seqeval's default, which is conlleval's: an `I-X` that continues no X begins an
entity. They differ on ill-formed tags alone, so for a predictor that writes none they differ by the
gold mentions only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Span = tuple[int, int, str]


class TaggedToken(Protocol):
    """A spaCy `Token`, as far as entities go."""

    @property
    def ent_iob_(self) -> str: ...
    @property
    def ent_type_(self) -> str: ...


class TaggedDoc(Protocol):
    """A spaCy `Doc`, as far as tags go."""

    @property
    def _(self) -> Any: ...
    def __iter__(self) -> Iterator[TaggedToken]: ...


def gold_tags(doc: TaggedDoc) -> list[str]:
    """The corpus's own tags (`Doc._.raw_tags`) where the document holds them, else `bio_tags`."""
    return bio_tags(doc) if doc._.raw_tags is None else list(doc._.raw_tags)


def bio_tags(doc: Iterable[TaggedToken]) -> list[str]:
    """The entities of a `Doc` as BIO tags, one a token."""
    # A token that spaCy was told to keep out of entities is a B without a type.
    return [f"{token.ent_iob_}-{token.ent_type_}" if token.ent_type_ else "O" for token in doc]


def repair_bio(tags: Sequence[str]) -> list[str]:
    """Rewrite every `I-X` that continues no X to `B-X`.

    The rule serves training, where a document's entities must be well-formed; scores are computed
    from the tags as the corpus has them.

    raises ValueError: on a tag that is neither `O` nor `B-`/`I-` followed by a type.
    """
    repaired = []
    previous = ""
    for tag in tags:
        prefix, label = _split(tag)
        repaired.append(f"B-{label}" if prefix == "I" and label != previous else tag)
        previous = label
    return repaired


def strict_spans(tags: Sequence[str]) -> list[Span]:
    """The entities that begin with `B-`, as (start, end, label), end exclusive, in order.

    An `I-` continues an entity of its own type and is otherwise ignored, in gold and in predicted
    tags alike.

    raises ValueError: as `repair_bio` does.
    """
    spans: list[Span] = []
    start, current = 0, ""
    for i, tag in enumerate(tags):
        prefix, label = _split(tag)
        if prefix == "I" and label == current:
            continue
        if current:
            spans.append((start, i, current))
        start, current = i, label if prefix == "B" else ""
    if current:
        spans.append((start, len(tags), current))
    return spans


def lenient_spans(tags: Sequence[str]) -> list[Span]:
    """The entities that begin with `B-` or with an `I-` that continues nothing, as `strict_spans`.

    raises ValueError: as `repair_bio` does.
    """
    return strict_spans(repair_bio(tags))


def _split(tag: str) -> tuple[str, str]:
    """Prefix and type of a tag; the type is "" for `O`."""
    prefix, _, label = tag.partition("-")
    if tag != "O" and not (prefix in ("B", "I") and label):
        raise ValueError(f"expected the tag 'O', 'B-TYPE' or 'I-TYPE', found {tag!r}.")
    return prefix, label


@dataclass(frozen=True)
class Counts:
    """Entities that were found (tp), wrongly found (fp) and missed (fn), and the scores of these.

    A score whose denominator is 0 is 0, as in seqeval.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def mentions(self) -> int:
        """Gold entities."""
        return self.tp + self.fn

    @property
    def precision(self) -> float:
        """tp / (tp + fp), 0 to 1."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """tp / (tp + fn), 0 to 1."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """2 tp / (2 tp + fp + fn), 0 to 1."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    def to_dict(self) -> dict[str, Any]:
        """Scores and counts as plain numbers."""
        return {
            "p": self.precision,
            "r": self.recall,
            "f": self.f1,
            "mentions": self.mentions,
            "tp": self.tp,
            "fp": self.fp,
            "fn": self.fn,
        }


@dataclass(frozen=True)
class SpanScores:
    """Scores of a corpus.

    per_type: counts of every type that occurs in the gold or the predicted entities, by name.
    """

    per_type: dict[str, Counts]

    @property
    def overall(self) -> Counts:
        """Counts over all types: their scores are the micro averages."""
        return sum(self.per_type.values(), Counts())

    @property
    def weighted_f1(self) -> float:
        """Mean of the types' F1, weighted by their gold mentions.

        Over the lenient reading this is the figure that the paper reports as F1.
        """
        total = sum(counts.f1 * counts.mentions for counts in self.per_type.values())
        return _ratio(total, self.overall.mentions)

    def to_dict(self) -> dict[str, Any]:
        """Overall scores and counts, `weighted_f`, and `per_type`, as plain numbers."""
        return {
            **self.overall.to_dict(),
            "weighted_f": self.weighted_f1,
            "per_type": {label: counts.to_dict() for label, counts in self.per_type.items()},
        }


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else 0.0


def score_spans(gold: Sequence[Iterable[Span]], predicted: Sequence[Iterable[Span]]) -> SpanScores:
    """Count the predicted entities that equal a gold one in start, end and type.

    gold, predicted: the entities of every sentence, in the same order.
    raises ValueError: where the two hold different numbers of sentences.
    """
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} gold sentences, but {len(predicted)} predicted ones.")
    per_type: dict[str, Counts] = {}
    for gold_spans, predicted_spans in zip(gold, predicted, strict=True):
        wanted, found = set(gold_spans), set(predicted_spans)
        for span in wanted | found:
            is_wanted, is_found = span in wanted, span in found
            counts = Counts(is_wanted and is_found, not is_wanted, not is_found)
            per_type[span[2]] = per_type.get(span[2], Counts()) + counts
    return SpanScores(dict(sorted(per_type.items())))


def score_tags(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> dict[str, SpanScores]:
    """Both readings of the same tags, by their names "strict" and "lenient".

    gold, predicted: BIO tags of every sentence, in the same order; ill-formed ones are allowed.
    raises ValueError: where numbers of sentences or of a sentence's tags differ, or on a tag that
        is no BIO tag.
    """
    for i, (gold_tags, predicted_tags) in enumerate(zip(gold, predicted, strict=False)):
        if len(gold_tags) != len(predicted_tags):
            raise ValueError(
                f"sentence {i} has {len(gold_tags)} gold tags, but {len(predicted_tags)} "
                "predicted ones: score a corpus with its own tokens."
            )
    return {
        name: score_spans([*map(read, gold)], [*map(read, predicted)])
        for name, read in (("strict", strict_spans), ("lenient", lenient_spans))
    }
