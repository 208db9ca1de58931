"""The records of a grid: one JSON file per run and one per dataset, without any text or image."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from spacy_vokens.files import VokensError, file_written_aside, read_object
from spacy_vokens.scoring.ner import Span, score_spans

Spans = list[list[Span]]
SCORER = "spacy_vokens.scoring.ner.score_spans"
COUNTS = ("tp", "fp", "fn")


@dataclass(frozen=True)
class Run:
    """The result of one training run.

    Attributes:
        dataset: Dataset of its cell.
        tagger: Tagger of its cell.
        images: Images of its cell.
        seed: Seed of its cell.
        split: The split that it was scored on.
        config_sha256: Hash of the config file and the overrides.
        data_sha256: Hash of corpora, image pool and text encoder.
        gold_sha256: Hash of the tokens and tags that it was scored on (`Gold.sha256`).
        commit: Commit of the code, with "-dirty" if there were uncommitted changes.
        versions: Versions of the packages.
        machine: Processor, cores, threads and system.
        seconds: Duration of the training.
        dev: F1 on dev during training, as (steps, F1).
        scores: The "strict" and "lenient" scores, as `score_run` returns them.
        spans: Entities found in each document, as (start, end, label), end exclusive.
        gates: Gate of each token in thousandths; None without images.
    """

    dataset: str
    tagger: str
    images: str
    seed: int
    split: str
    config_sha256: str
    data_sha256: str
    gold_sha256: str
    commit: str
    versions: dict[str, str]
    machine: str
    seconds: float
    dev: list[tuple[int, float]]
    scores: dict[str, dict[str, Any]]
    spans: Spans
    gates: list[list[int | None]] | None


@dataclass(frozen=True)
class Gold:
    """What the runs on one split of a dataset are scored against and analyzed by.

    Attributes:
        dataset: Name of the dataset.
        split: The split.
        sha256: Hash of the documents' tokens and tags.
        ids: IDs of the images that came with the documents; None for a document without one.
        lengths: Number of tokens of each document.
        strict: The entities of each document that begin with `B-`.
        lenient: The entities of each document that begin with `B-`, or with an `I-` that continues
            no entity.
        seen: For each strict entity, whether the training split has an entity with the same text.
        pos: Part of speech of each token, found by a tagger.
        voken_scores: Relevance score of each token's voken in thousandths; None without a voken.
        vokens: How often each image is a voken, for the pool's images that are one.
        pool_size: Number of images in the pool.
    """

    dataset: str
    split: str
    sha256: str
    ids: list[str | None]
    lengths: list[int]
    strict: Spans
    lenient: Spans
    seen: list[list[bool]]
    pos: list[list[str]]
    voken_scores: list[list[int | None]]
    vokens: dict[str, int]
    pool_size: int


def score_run(gold: Gold, spans: Spans) -> dict[str, dict[str, Any]]:
    """Score the entities that a run found.

    Args:
        gold: The gold entities.
        spans: The entities found in each document.

    Returns:
        Under "strict" and "lenient": `p`, `r`, `f` (micro averages, 0 to 1), `mentions` (gold
        entities), `tp`, `fp`, `fn`, `weighted_f` (mean F1 of the labels, weighted by their gold
        entities), and `per_type`, which holds the first seven for each label.
    """
    return {"strict": _score(gold.strict, spans), "lenient": _score(gold.lenient, spans)}


def save_json(record: Run | Gold, path: Path) -> None:
    """Write a record as JSON with one line per field. An existing file is replaced."""
    lines = [
        f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}"
        for name, value in asdict(record).items()
    ]
    with file_written_aside(path) as aside:
        aside.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def load_run(path: Path) -> Run:
    """Read a run.

    Raises:
        VokensError: If the file holds something else; the message names it.
    """
    return Run(**_read(path, Run, "spans"))


def load_gold(path: Path) -> Gold:
    """Read the gold entities of a dataset.

    Raises:
        VokensError: If the file holds something else; the message names it.
    """
    return Gold(**_read(path, Gold, "strict", "lenient"))


def run_path(folder: Path, cell: str) -> Path:
    """Return the file of a cell's run in a folder of runs."""
    return folder / f"{cell}.json"


def gold_path(folder: Path, dataset: str, split: str) -> Path:
    """Return the file of a dataset's gold entities in a folder of runs."""
    return folder / dataset / f"gold-{split}.json"


def _score(gold: Spans, spans: Spans) -> dict[str, Any]:
    per_type = {
        label: _numbers(counts.tp, counts.fp, counts.fn)
        for label, counts in score_spans(gold, spans).per_type.items()
    }
    overall = _numbers(*(sum(numbers[n] for numbers in per_type.values()) for n in COUNTS))
    weighted = sum(numbers["f"] * numbers["mentions"] for numbers in per_type.values())
    return {
        **overall,
        "weighted_f": _ratio(weighted, overall["mentions"]),
        "per_type": per_type,
    }


def _numbers(tp: int, fp: int, fn: int) -> dict[str, Any]:
    """Compute the scores as for the committed runs, so that they agree to the last bit."""
    return {
        "p": _ratio(tp, tp + fp),
        "r": _ratio(tp, tp + fn),
        "f": _ratio(2 * tp, 2 * tp + fp + fn),
        "mentions": tp + fn,
        "tp": tp,
        "fp": fp,
        "fn": fn,
    }


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else 0.0


def _read(path: Path, kind: type, *span_fields: str) -> dict[str, Any]:
    """Read the fields of a record. Spans become tuples again; JSON has only lists."""
    found = read_object(path)
    names = {field.name for field in fields(kind)}
    if found.keys() != names:
        raise VokensError(
            f"{path} is not a {kind.__name__.lower()} file of 'python -m research run': it must "
            f"hold {', '.join(sorted(names))}."
        )
    for field in span_fields:
        found[field] = [[tuple(span) for span in spans] for spans in found[field]]
    return found
