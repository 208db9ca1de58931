"""The results of a grid: one JSON file a run, and one a dataset, without any text or picture."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..files import file_written_aside, read_object
from ..metrics.ner import Span, score_spans

Spans = list[list[Span]]
SCORER = "spacy_vokens.metrics.ner.score_spans"


@dataclass(frozen=True)
class Run:
    """What one training gave.

    dataset, tagger, images, seed: its cell.
    split: the part of the dataset that it was scored on.
    config_sha256: of the config file and what was overridden in it.
    data_sha256: of corpora, image pool and text encoder.
    gold_sha256: of the tokens and tags that it was scored on (`Gold`).
    commit: of the code, with "-dirty" where that was not all.
    versions: of the packages.
    machine: processor, cores, threads, system.
    seconds: of the training.
    dev: F1 on dev after so many steps, as [steps, F1].
    scores: as `score_run` has them.
    spans: entities found in each document, as [start, end, label], end exclusive.
    gates: weight of the picture in each token, in thousandths; None without pictures.
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
    """What the runs on one part of a dataset are scored against, and analysed by.

    dataset, split: the part.
    sha256: of the documents' tokens and tags.
    ids: of the pictures that came with the documents; None where there was none.
    lengths: number of tokens of each document.
    strict, lenient: the entities of each document in the two readings (`metrics.ner`).
    seen: whether the text of each strict entity is one in training, whatever its type.
    pos: part of speech of each token, found by a tagger.
    voken_scores: relevance score of each token's voken in thousandths; None without a voken.
    vokens: how often each of the pool's images is a voken, for the images that are one.
    pool_size: number of images.
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
    """The "strict" and the "lenient" scores of found entities, as `SpanScores.to_dict` has them."""
    return {
        "strict": score_spans(gold.strict, spans).to_dict(),
        "lenient": score_spans(gold.lenient, spans).to_dict(),
    }


def save_json(record: Run | Gold, path: Path) -> None:
    """Write a record as JSON, a line a field, aside and then into place."""
    lines = [
        f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}"
        for name, value in asdict(record).items()
    ]
    with file_written_aside(path) as aside:
        aside.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def load_run(path: Path) -> Run:
    """Read a run.

    raises ValueError: naming the file that holds none.
    """
    return Run(**_read(path, Run, "spans"))


def load_gold(path: Path) -> Gold:
    """Read what the runs of a dataset are scored against.

    raises ValueError: naming the file that holds no such thing.
    """
    return Gold(**_read(path, Gold, "strict", "lenient"))


def run_path(folder: Path, cell: str) -> Path:
    """Where a folder of runs keeps the run of a cell, by its name."""
    return folder / f"{cell}.json"


def gold_path(folder: Path, dataset: str, split: str) -> Path:
    """Where a folder of runs keeps the gold of a part of a dataset."""
    return folder / dataset / f"gold-{split}.json"


def hash_json(value: Any) -> str:
    """SHA-256 of a value as JSON with sorted keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _read(path: Path, kind: type, *spans: str) -> dict[str, Any]:
    """The fields of a record; `spans` are tuples again, of which JSON had made lists."""
    found = read_object(path)
    names = {field.name for field in fields(kind)}
    if found.keys() != names:
        raise ValueError(
            f"{path} is no {kind.__name__.lower()} of 'spacy vokens experiment': it must hold "
            f"{', '.join(sorted(names))}."
        )
    for field in spans:
        found[field] = [[tuple(span) for span in of_doc] for of_doc in found[field]]
    return found
