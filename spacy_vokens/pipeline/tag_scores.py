"""What a tagger makes of documents, before anything is written to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from thinc.api import Model

from ..layers.crf import decode, span_probabilities
from ..layers.visual_tagger import TaggerOutput
from ..metrics.ner import Span
from .entities import tagged_spans


@dataclass(frozen=True)
class TagScores:
    """The scores of all tag sequences of some documents; `VisualNer.tag_scores` makes them.

    labels: the entity types.
    crf: the tagger's.
    lengths: number of tokens of each document.
    outputs: what the model says of the documents that have tokens, with their positions.
    """

    labels: tuple[str, ...]
    crf: Model
    lengths: list[int]
    outputs: list[tuple[list[int], TaggerOutput]]

    def entities(self) -> list[list[Span]]:
        """The entities of the best valid sequence of each document, as (start, end, label)."""
        found: list[list[Span]] = [[] for _ in self.lengths]
        for rows, output in self.outputs:
            for row, tags in zip(
                rows, decode(self.crf, output.emissions, output.lengths), strict=True
            ):
                spans = tagged_spans(tags).tolist()
                found[row] = [(start, end, self.labels[number]) for start, end, number in spans]
        return found

    def probabilities(
        self, spans: Sequence[Sequence[Span]], temperature: float
    ) -> list[np.ndarray]:
        """The probability of spans to be entities, found or not.

        spans: (start, end, label) of the spans of each document.
        temperature: divides the score of every sequence.
        returns: (n_spans,) a document, 0 to 1.
        raises ValueError: for a label that the tagger does not have, or a span that is none of its
            document.
        """
        numbers = {label: number for number, label in enumerate(self.labels)}
        for length, of_doc in zip(self.lengths, spans, strict=True):
            for start, end, label in of_doc:
                if label not in numbers or not 0 <= start < end <= length:
                    raise ValueError(
                        f"({start}, {end}, {label!r}) is no span of a document of {length} tokens "
                        f"with one of the labels {', '.join(self.labels)}."
                    )
        found = [np.zeros(0) for _ in self.lengths]
        for rows, output in self.outputs:
            wanted = [
                np.array([(start, end, numbers[label]) for start, end, label in spans[row]])
                for row in rows
            ]
            values = span_probabilities(
                self.crf, output.emissions, output.lengths, wanted, temperature
            )
            for row, of_row in zip(rows, values, strict=True):
                found[row] = of_row
        return found
