"""Put the scores of several evaluations side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import VokensError, read_object

# The figures of word-hit that are listed; chance has the same name with "_chance".
WORD_HIT = (
    "voken_word_hit",
    "voken_word_hit_macro",
    "voken_content_without",
    "voken_stop_coverage",
)


@dataclass(frozen=True)
class ScoreTable:
    """A table of scores.

    Attributes:
        title: What the table shows.
        header: Names of the columns; the first column names the evaluation.
        rows: A text per column for every row.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def compare(paths: Sequence[Path]) -> list[ScoreTable]:
    """Read the scores of several evaluations, and put them side by side.

    Args:
        paths: JSON files with what `evaluate` or `evaluate_retrieval` returned. The rows are named
            by their paths, without the folder they share and the suffix.

    Returns:
        A table of entity scores, and one of retrieval scores beside those of chance. A table
        without rows is left out.

    Raises:
        VokensError: If a file has no scores. The message names it.
        OSError: If a file cannot be read.
    """
    shared = os.path.commonpath([path.resolve().parent for path in paths])
    reports = {}
    for path in paths:
        report = read_object(path)
        if not report.keys() & {"ents_f", "retrieval"}:
            raise VokensError(
                f"{path} has no scores: expected a file that 'spacy vokens evaluate' or "
                "'evaluate-retrieval' wrote."
            )
        reports[path.resolve().relative_to(shared).with_suffix("").as_posix()] = report
    tables = (_entity_table(reports), _retrieval_table(reports))
    return [table for table in tables if table.rows]


def _entity_table(reports: Mapping[str, dict[str, Any]]) -> ScoreTable:
    scored = {name: report for name, report in reports.items() if "ents_f" in report}
    labels = sorted({label for report in scored.values() for label in report["ents_per_type"]})
    rows = []
    for name, report in scored.items():
        scores = [report[f"ents_{key}"] for key in "prf"]
        scores += [report["ents_per_type"].get(label, {}).get("f") for label in labels]
        scores.append(report["ents_lenient_f"])
        cells = ("" if score is None else f"{100 * score:.2f}" for score in scores)
        rows.append((name, *cells, str(report["ents_mentions"])))
    return ScoreTable(
        "Named entities (strict F1 by type; lenient F1 beside it)",
        ("", "P", "R", "F1", *labels, "Lenient F1", "Mentions"),
        tuple(rows),
    )


def _retrieval_table(reports: Mapping[str, dict[str, Any]]) -> ScoreTable:
    rows = []
    for name, report in reports.items():
        if retrieval := report.get("retrieval"):
            n_images = str(retrieval["candidates"])
            rows += [(name, n_images, *row) for row in retrieval_rows(retrieval)]
        if word_hit := report.get("word_hit"):
            rows += [(name, str(word_hit["images"]), *row) for row in word_hit_rows(word_hit)]
    return ScoreTable("Retrieval", ("", "Images", "Score", "Value", "Chance"), tuple(rows))


def retrieval_rows(retrieval: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """List the scores of retrieval.

    Args:
        retrieval: `retrieval` in what `evaluate_retrieval` returned.

    Returns:
        Name, value and value by chance of each score. The last is empty if there is none.
    """
    scores, chance = retrieval["scores"], retrieval["chance"]
    return [(name, _figure(score), _figure(chance.get(name))) for name, score in scores.items()]


def word_hit_rows(word_hit: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """List the figures of word-hit.

    Args:
        word_hit: `word_hit` in what `evaluate_retrieval` returned.

    Returns:
        Name, value and value by chance of each figure. The last is empty if there is none. Figures
        that could not be measured are left out.
    """
    return [
        (name, _figure(word_hit[name]), _figure(word_hit.get(f"{name}_chance")))
        for name in WORD_HIT
        if word_hit[name] is not None
    ]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
