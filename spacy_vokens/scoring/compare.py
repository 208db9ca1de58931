"""Put the scores of several evaluations side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import VokensError, read_object


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
            for metric, value in retrieval["scores"].items():
                chance = retrieval["chance"].get(metric)
                by_chance = "" if chance is None else f"{chance:.3f}"
                rows.append((name, str(retrieval["candidates"]), metric, f"{value:.3f}", by_chance))
    return ScoreTable("Retrieval", ("", "Images", "Score", "Value", "Chance"), tuple(rows))
