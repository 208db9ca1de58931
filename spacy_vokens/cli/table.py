"""`spacy vokens table`: the scores of several evaluations side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from wasabi import msg

Rows = list[tuple[str, ...]]


def table(
    metrics: Annotated[
        list[Path],
        typer.Argument(help="JSON files of 'spacy vokens evaluate'", exists=True, dir_okay=False),
    ],
    output: Annotated[
        Path | None, typer.Option(help="Markdown file to write them to as well", dir_okay=False)
    ] = None,
) -> None:
    """Print the scores of several evaluations: entities, and retrieval against chance."""
    import srsly

    from spacy_vokens.corpus.docbin import file_written_aside

    reports = {path.stem: srsly.read_json(path) for path in metrics}
    markdown = []
    for title, (header, rows) in {
        "Named entities (strict F1 by type; lenient F1 beside it)": entity_rows(reports),
        "Retrieval": retrieval_rows(reports),
    }.items():
        if rows:
            aligns = ("l", *"r" * (len(header) - 1))
            msg.divider(title)
            msg.table(rows, header=header, divider=True, aligns=aligns)
            markdown += [f"## {title}\n", *to_markdown(header, rows), ""]
    if output is not None:
        with file_written_aside(output) as aside:
            aside.write_text("\n".join(markdown), encoding="utf-8")
        msg.good("Saved the tables", output)


def entity_rows(reports: dict[str, Any]) -> tuple[tuple[str, ...], Rows]:
    """Header and a row for every evaluation with entity scores."""
    scored = {name: report for name, report in reports.items() if "strict" in report}
    labels = sorted({label for r in scored.values() for label in r["strict"]["per_type"]})
    rows = []
    for name, report in scored.items():
        strict = report["strict"]
        per_type = [strict["per_type"].get(label, {"f": 0.0})["f"] for label in labels]
        figures = [strict["p"], strict["r"], strict["f"], *per_type, report["lenient"]["f"]]
        rows.append((name, *(f"{100 * f:.2f}" for f in figures), str(strict["mentions"])))
    return ("", "P", "R", "F1", *labels, "Lenient F1", "Mentions"), rows


def retrieval_rows(reports: dict[str, Any]) -> tuple[tuple[str, ...], Rows]:
    """Header and a row for every retrieval score, with what chance gives."""
    rows = []
    for name, report in reports.items():
        for metric, value in report.get("retrieval", {}).items():
            chance = report["retrieval_chance"].get(metric)
            rows.append((name, metric, f"{value:.3f}", "" if chance is None else f"{chance:.3f}"))
    return ("", "Score", "Value", "Chance"), rows


def to_markdown(header: tuple[str, ...], rows: Rows) -> list[str]:
    """The lines of a Markdown table."""
    lines = [header, ("---", *["---:"] * (len(header) - 1)), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]
