"""`spacy vokens table`: the scores of several evaluations side by side."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from wasabi import MarkdownRenderer, msg

Rows = list[tuple[str, ...]]


def table(
    metrics: Annotated[
        list[Path],
        typer.Argument(help="JSON files of 'spacy vokens evaluate'", exists=True, dir_okay=False),
    ],
    output: Annotated[
        Path | None, typer.Option(help="Markdown file to write them to as well", dir_okay=False)
    ] = None,
    title: Annotated[str | None, typer.Option(help="Heading, for instance what was run")] = None,
) -> None:
    """Print the scores of several evaluations: entities, and retrieval against chance."""
    from ..files import file_written_aside

    try:
        reports = read_reports(metrics)
    except ValueError as error:
        msg.fail("Could not read the scores", str(error), exits=1)
    markdown = []
    if title is not None:
        msg.divider(title)
        markdown += [f"# {title}\n"]
    for heading, (header, rows) in {
        "Named entities (strict F1 by type; lenient F1 beside it)": entity_rows(reports),
        "Retrieval": retrieval_rows(reports),
    }.items():
        if rows:
            aligns = ("l", *"r" * (len(header) - 1))
            msg.divider(heading)
            msg.table(rows, header=header, divider=True, aligns=aligns)
            markdown += [f"## {heading}\n", MarkdownRenderer().table(rows, header, aligns), ""]
    if output is not None:
        try:
            with file_written_aside(output) as aside:
                aside.write_text("\n".join(markdown), encoding="utf-8")
        except OSError as error:
            msg.fail("Could not save the tables", str(error), exits=1)
        msg.good("Saved the tables", output)


def read_reports(paths: list[Path]) -> dict[str, Any]:
    """Reports by their path without the folder they share and without the suffix.

    raises ValueError: naming the file that holds no scores.
    """
    from ..files import read_object

    shared = os.path.commonpath([path.resolve().parent for path in paths])
    reports = {}
    for path in paths:
        report = read_object(path)
        if not report.keys() & {"strict", "retrieval"}:
            raise ValueError(f"{path} holds no scores of 'spacy vokens evaluate'.")
        reports[path.resolve().relative_to(shared).with_suffix("").as_posix()] = report
    return reports


def entity_rows(reports: dict[str, Any]) -> tuple[tuple[str, ...], Rows]:
    """Header and a row for every evaluation with entity scores."""
    scored = {name: report for name, report in reports.items() if "strict" in report}
    labels = sorted({label for r in scored.values() for label in r["strict"]["per_type"]})
    rows: Rows = []
    for name, report in scored.items():
        strict = report["strict"]
        by_label = [strict["per_type"].get(label, {}).get("f") for label in labels]
        figures = [strict["p"], strict["r"], strict["f"], *by_label, report["lenient"]["f"]]
        cells = ("" if figure is None else f"{100 * figure:.2f}" for figure in figures)
        rows.append((name, *cells, str(strict["mentions"])))
    return ("", "P", "R", "F1", *labels, "Lenient F1", "Mentions"), rows


def retrieval_rows(reports: dict[str, Any]) -> tuple[tuple[str, ...], Rows]:
    """Header and a row for every retrieval score, with what chance gives."""
    rows: Rows = []
    for name, report in reports.items():
        if retrieval := report.get("retrieval"):
            for metric, value in retrieval["scores"].items():
                chance = retrieval["chance"].get(metric)
                by_chance = "" if chance is None else f"{chance:.3f}"
                rows.append((name, str(retrieval["candidates"]), metric, f"{value:.3f}", by_chance))
    return ("", "Pictures", "Score", "Value", "Chance"), rows
