"""Make confidences mean what they say: of all entities called 80% sure, 80% are right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from spacy.language import Language
from spacy.training import Example
from tqdm import tqdm

from ..corpus.reader import Corpus
from ..files import sha256_file, sole_writer
from ..models.tagger import Tagged
from ..pipeline.serialize import save_pipeline
from ..pipeline.util import load_with_pipe
from ..pipeline.visual_ner import VisualNer
from .ner import Span, gold_tags, strict_spans

# Probabilities closer to 0 and 1 count as this close in the log loss.
EPSILON = 1e-12
# From a quarter to four times, in steps of 9%; 1 is one of them.
TEMPERATURES = np.geomspace(0.25, 4.0, 33).tolist()


@dataclass(frozen=True)
class Bin:
    """The predictions whose probabilities are in one interval.

    Attributes:
        low: Lower bound, which is in the first interval only.
        high: Upper bound, which is in the interval.
        n: Number of predictions. If it is 0, so are the attributes below.
        confidence: Their mean probability.
        accuracy: Share of them that is right.
    """

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


def reliability(confidences: ArrayLike, is_correct: ArrayLike, n_bins: int = 10) -> list[Bin]:
    """Compute a reliability diagram (Guo et al. 2017): bins of equal width from 0 to 1.

    Args:
        confidences: Probability of each prediction, (n,).
        is_correct: Whether each prediction is right, (n,).
        n_bins: Number of bins. Defaults to 10.

    Returns:
        The bins, lowest first.

    Raises:
        ValueError: If the shapes differ, or a probability is not in 0 to 1.
    """
    values, right = _checked(confidences, is_correct)
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    rows = np.clip(np.searchsorted(edges, values) - 1, 0, n_bins - 1)
    counts = np.bincount(rows, minlength=n_bins)
    filled = np.maximum(counts, 1)
    means = np.bincount(rows, values, n_bins) / filled
    shares = np.bincount(rows, right, n_bins) / filled
    columns = (edges[:-1], edges[1:], counts, means, shares)
    return [Bin(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def calibration_error(confidences: ArrayLike, is_correct: ArrayLike, n_bins: int = 10) -> float:
    """Compute the expected calibration error (Naeini et al. 2015).

    This is the mean difference of accuracy and confidence over bins, weighted by their size.

    Args:
        confidences: Probability of each prediction, (n,).
        is_correct: Whether each prediction is right, (n,).
        n_bins: Number of bins. Defaults to 10.

    Returns:
        0 (the best) to 1; 0 if there are no predictions.

    Raises:
        ValueError: If the shapes differ, or a probability is not in 0 to 1.
    """
    bins = reliability(confidences, is_correct, n_bins)
    total = sum(one.n for one in bins)
    gaps = sum(one.n * abs(one.accuracy - one.confidence) for one in bins)
    return gaps / total if total else 0.0


def log_loss(confidences: ArrayLike, is_correct: ArrayLike) -> float:
    """Compute the mean negative log of the probability given to what turned out to be true.

    Args:
        confidences: Probability of each prediction, (n,).
        is_correct: Whether each prediction is right, (n,).

    Returns:
        0 (the best) or more.

    Raises:
        ValueError: If the shapes differ, a probability is not in 0 to 1, or there are none.
    """
    values, right = _checked(confidences, is_correct)
    if not len(values):
        raise ValueError("there is no probability to average.")
    given = np.where(right, values, 1.0 - values)
    return float(-np.log(np.clip(given, EPSILON, 1.0)).mean())


def _checked(confidences: ArrayLike, is_correct: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    values, right = np.asarray(confidences, dtype=float), np.asarray(is_correct, dtype=bool)
    if values.shape != right.shape or values.ndim != 1:
        raise ValueError(
            f"expected two lists of the same length, found {values.shape} and {right.shape}."
        )
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("a probability must be in 0 to 1.")
    return values, right


@dataclass(frozen=True)
class FoundEntities:
    """The entities that a tagger found in a corpus.

    Attributes:
        ner: The tagger.
        tagged: What it predicted for each document.
        spans: (start, end, label) of each document's entities.
        is_correct: Whether the corpus has the entity, in the strict reading of its tags,
            (n_entities,).
    """

    ner: VisualNer
    tagged: Sequence[Tagged]
    spans: list[list[Span]]
    is_correct: np.ndarray

    @property
    def is_mixed(self) -> bool:
        """Whether some of the entities are right and some are wrong."""
        return bool(self.is_correct.any() and not self.is_correct.all())

    def confidences(self, temperature: float) -> np.ndarray:
        """Compute the probability of every entity at a temperature.

        Args:
            temperature: Divides the scores of tag sequences.

        Returns:
            Probabilities in the order of `spans`, (n_entities,).
        """
        found = self.ner.span_probabilities(self.tagged, self.spans, temperature)
        return np.concatenate([np.zeros(0), *found])

    def measure(self, temperature: float) -> dict[str, float]:
        """Measure the calibration at a temperature.

        Args:
            temperature: Divides the scores of tag sequences.

        Returns:
            The expected calibration error `ece`, the `log_loss`, and the mean `confidence`.
        """
        values = self.confidences(temperature)
        return {
            "ece": calibration_error(values, self.is_correct),
            "log_loss": log_loss(values, self.is_correct),
            "confidence": float(values.mean()),
        }


def predict_entities(nlp: Language, ner: VisualNer, examples: Iterable[Example]) -> FoundEntities:
    """Find the entities of a corpus, and look up which are right.

    Args:
        nlp: The pipeline. Only the components before the tagger run.
        ner: Its tagger.
        examples: Documents to tag, and their references.

    Returns:
        The entities that the tagger predicts.
    """
    examples = list(examples)
    names = nlp.pipe_names
    rest = names[names.index(_pipe_name(nlp, ner)) :]
    stream = nlp.pipe((example.predicted for example in examples), disable=rest)
    docs = list(tqdm(stream, total=len(examples), unit=" docs", disable=None, leave=False))
    tagged = ner.predict(docs)
    spans = [ner.spans_of(one) for one in tagged]
    gold = [set(strict_spans(gold_tags(example.reference))) for example in examples]
    is_correct = [
        span in wanted for found, wanted in zip(spans, gold, strict=True) for span in found
    ]
    return FoundEntities(ner, tagged, spans, np.array(is_correct, dtype=bool))


def fit_temperature(found: FoundEntities) -> float:
    """Return the one of `TEMPERATURES` at which the entities' confidences have the lowest log loss.

    A single temperature for all scores does not change which entities are found (Guo et al. 2017).

    Args:
        found: The entities of a corpus that was not used for training.

    Returns:
        The temperature.

    Raises:
        ValueError: If all entities are right, or none is: the loss would keep falling as
            confidences approach certainty.
    """
    if not found.is_mixed:
        raise ValueError("fitting a temperature needs some right and some wrong entities.")
    progress = tqdm(TEMPERATURES, unit=" temperatures", disable=None, leave=False)
    losses = [log_loss(found.confidences(t), found.is_correct) for t in progress]
    return TEMPERATURES[int(np.argmin(losses))]


@dataclass(frozen=True)
class Calibration:
    """What `calibrate` did.

    Attributes:
        report: The numbers to save as JSON: `model`, its `temperature_before`, the fitted
            `temperature`, and for "dev" and "test" the `corpus`, its `corpus_sha256`, the number of
            `entities` found, their `precision`, and `ece`, `log_loss` and `confidence` "before" and
            "after". A corpus in which no entity was found is left out.
        warnings: What to tell the user: the temperature could not be fitted, or there was nothing
            to measure.
        confidences: Probabilities of the entities and whether they are right, by "dev" or "test"
            and temperature, for `draw_reliability`: those of test, or without it those of dev.
    """

    report: dict[str, Any]
    warnings: tuple[str, ...]
    confidences: dict[str, tuple[np.ndarray, np.ndarray]]

    @property
    def temperature(self) -> float:
        """The temperature that the saved pipeline has."""
        return self.report["temperature"]


def calibrate(
    model: str | Path, dev: Path, output: Path, *, test: Path | None = None
) -> Calibration:
    """Fit the temperature of a pipeline's confidences, and save the pipeline with it.

    The entities stay the same; only their confidences change.

    Args:
        model: Name of an installed pipeline with a `visual_ner`, or its folder.
        dev: The `.spacy` file to fit on, which must not be the training data.
        output: Folder for the calibrated pipeline.
        test: A `.spacy` file to measure on as well.

    Returns:
        The temperature, and the calibration before and after.

    Raises:
        VokensError: If the pipeline has no `visual_ner`, or a corpus is damaged.
        OSError: If a file is missing or cannot be written.
    """
    with sole_writer(output):
        nlp, ner = load_with_pipe(model, VisualNer)
        before = ner.temperature
        found = {"dev": predict_entities(nlp, ner, Corpus(dev)(nlp))}
        if test is not None:
            found["test"] = predict_entities(nlp, ner, Corpus(test)(nlp))
        warnings = []
        after = before
        if found["dev"].is_mixed:
            after = fit_temperature(found["dev"])
            if after in (TEMPERATURES[0], TEMPERATURES[-1]):
                warnings.append(f"The best temperature, {after:.2f}, is the last one tried.")
        else:
            right = found["dev"].is_correct
            warnings.append(
                f"The temperature stays {before:.2f}: of {len(right)} entities found in {dev}, "
                f"{'all' if right.any() else 'none'} are right. Use a corpus with both."
            )
        report: dict[str, Any] = {
            "model": str(model),
            "temperature_before": before,
            "temperature": after,
        }
        for name, path in {"dev": dev, "test": test}.items():
            if path is None:
                continue
            right = found[name].is_correct
            if not len(right):
                warnings.append(f"{model} finds no entity in {path}: there is nothing to measure.")
                continue
            report[name] = {
                "corpus": str(path),
                "corpus_sha256": sha256_file(path),
                "entities": len(right),
                "precision": float(right.mean()),
                "before": found[name].measure(before),
                "after": found[name].measure(after),
            }
        ner.temperature = after
        nlp.get_pipe_config(_pipe_name(nlp, ner))["temperature"] = after
        save_pipeline(nlp, output)
    shown = "dev" if test is None else "test"
    confidences = {
        f"{shown}, temperature {temperature:.2f}": (
            found[shown].confidences(temperature),
            found[shown].is_correct,
        )
        for temperature in dict.fromkeys((before, after))
    }
    return Calibration(report, tuple(warnings), confidences)


def _pipe_name(nlp: Language, ner: VisualNer) -> str:
    """Return the name that the pipeline has for a component, which `rename_pipe` may change."""
    return next(name for name, pipe in nlp.pipeline if pipe is ner)
