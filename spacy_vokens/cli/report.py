"""`spacy vokens report`: tables, statistics and plots of a grid's runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from wasabi import msg

if TYPE_CHECKING:
    from ..experiments.results import Results


def report(
    runs: Annotated[
        Path,
        typer.Argument(help="Folder of 'spacy vokens experiment'", exists=True, file_okay=False),
    ],
    output: Annotated[
        Path | None, typer.Option(help="Folder for the report; RUNS if left out", file_okay=False)
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(
            help="HTML page of cases besides, with texts and pictures; needs the grid's corpora",
            dir_okay=False,
        ),
    ] = None,
    verify: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="Check instead: recompute every score from the runs' entities and these data",
            exists=True,
            file_okay=False,
        ),
    ] = None,
) -> None:
    """Write report.md, report.html and plots/ from the JSON files of a grid's runs.

    The same files give the same report, byte for byte.
    """
    try:
        from ..experiments.results import load_results
        from ..experiments.verify import verify as find_problems

        results = load_results(runs)
        if verify is None:
            _write(results, runs if output is None else output)
            if gallery is not None:
                _write_gallery(results, gallery)
            return
        problems = find_problems(results, verify)
    except ImportError as error:
        msg.fail("The report needs the extra 'experiments'", str(error), exits=1)
    except (OSError, ValueError) as error:
        msg.fail(f"Could not report on {runs}", str(error), exits=1)
    n_runs = sum(len(found) for arms in results.runs.values() for found in arms.values())
    if problems:
        msg.fail(f"{runs} does not follow from {verify}", "\n".join(problems), exits=1)
    msg.good(f"The scores of all {n_runs} runs follow from their entities and {verify}")


def _write(results: Results, output: Path) -> None:
    from ..experiments.plots import draw_plots
    from ..experiments.report import write_report
    from ..experiments.statistics import compute_statistics
    from ..files import file_written_aside
    from ..visualize.report_page import render_html

    statistics = compute_statistics(results)
    pictures = {f"plots/{name}": svg for name, svg in draw_plots(results, statistics).items()}
    markdown = write_report(results, statistics, pictures)
    files = {
        "report.md": markdown.encode("utf-8"),
        "report.html": render_html(markdown, results.grid.title, pictures).encode("utf-8"),
        **pictures,
    }
    for name, content in files.items():
        with file_written_aside(output / name) as aside:
            aside.write_bytes(content)
    msg.good(f"Wrote {output / 'report.md'}, report.html and {len(pictures)} plots")


def _write_gallery(results: Results, path: Path) -> None:
    from ..files import file_written_aside
    from ..visualize.gallery import render_gallery

    page = render_gallery(results)
    with file_written_aside(path) as aside:
        aside.write_text(page, encoding="utf-8")
    msg.good(f"Wrote {path}: it holds texts and pictures of the data, so keep it to yourself")
