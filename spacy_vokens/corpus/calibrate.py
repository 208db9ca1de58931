"""Fit the temperature of a tagger's confidences, and measure what they are worth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from spacy.language import Language
from spacy.training import Example
from tqdm import tqdm

from ..metrics.calibration import calibration_error, log_loss
from ..metrics.ner import Span, gold_tags, strict_spans
from ..pipeline.tag_scores import TagScores
from ..pipeline.visual_ner import VisualNer

# From a quarter to four times, in steps of 9 %; 1 is among them.
TEMPERATURES = np.geomspace(0.25, 4.0, 33).tolist()


@dataclass(frozen=True)
class Found:
    """The entities that a tagger found in a corpus.

    scores: of the documents' tags.
    spans: (start, end, label) of each document's entities.
    is_right: (n_entities,), whether the corpus has the entity, by the strict reading of its tags.
    """

    scores: TagScores
    spans: list[list[Span]]
    is_right: np.ndarray

    @property
    def is_mixed(self) -> bool:
        """Whether some of the entities are right and some are wrong."""
        return bool(self.is_right.any() and not self.is_right.all())

    def confidences(self, temperature: float) -> np.ndarray:
        """Probability of every entity at a temperature, (n_entities,)."""
        found = self.scores.probabilities(self.spans, temperature)
        return np.concatenate([np.zeros(0), *found])

    def measure(self, temperature: float) -> dict[str, float]:
        """Calibration at a temperature: `ece`, `log_loss`, and the mean `confidence`."""
        values = self.confidences(temperature)
        return {
            "ece": calibration_error(values, self.is_right),
            "log_loss": log_loss(values, self.is_right),
            "confidence": float(values.mean()),
        }


def find_entities(nlp: Language, ner: VisualNer, examples: Iterable[Example]) -> Found:
    """Run a pipeline over examples as `Corpus` yields them.

    ner: its tagger; what other components call an entity does not count.
    """
    examples = list(examples)
    stream = nlp.pipe(example.predicted for example in examples)
    docs = list(tqdm(stream, total=len(examples), unit=" docs", disable=None, leave=False))
    scores = ner.tag_scores(docs)
    spans = scores.entities()
    gold = [set(strict_spans(gold_tags(example.reference))) for example in examples]
    is_right = [span in wanted for row, wanted in zip(spans, gold, strict=True) for span in row]
    return Found(scores, spans, np.array(is_right, dtype=bool))


def fit_temperature(found: Found) -> float:
    """The one of `TEMPERATURES` at which the confidences of the entities have the least log loss.

    One number for all scores cannot change which entities are found (Guo et al. 2017).

    raises ValueError: where all entities are right, or none, since the least loss is then that of
        certainty.
    """
    if not found.is_mixed:
        raise ValueError("a temperature is fitted to entities of which some are right, some wrong.")
    progress = tqdm(TEMPERATURES, unit=" temperatures", disable=None, leave=False)
    losses = [log_loss(found.confidences(t), found.is_right) for t in progress]
    return TEMPERATURES[int(np.argmin(losses))]
