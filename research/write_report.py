"""Write the report on a folder of runs: Markdown, HTML and plots, and a gallery if asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spacy_vokens.files import file_written_aside

from .gallery import render_gallery
from .plots import draw_plots
from .report_html import render_html
from .report_markdown import render_markdown
from .results import load_results
from .statistics import compute_statistics


@dataclass(frozen=True)
class WrittenReport:
    """The files of a report.

    Attributes:
        markdown: The report.
        html: The same as one page.
        n_plots: Number of SVG files in the folder `plots` beside them.
    """

    markdown: Path
    html: Path
    n_plots: int


def write_report(
    runs: Path, output: Path | None = None, *, gallery: Path | None = None
) -> WrittenReport:
    """Write the report on a folder of runs. The same runs give the same files, byte for byte.

    Args:
        runs: Folder written by `python -m research run`.
        output: Folder for `report.md`, `report.html` and `plots/`. Defaults to `runs`.
        gallery: HTML file for cases of the primary comparison, with texts and images of the data.

    Raises:
        FileNotFoundError: If the folder holds no grid, or the gallery's data are missing.
        VokensError: If a file is invalid, the runs do not belong together, or the gallery's data
            are not what the runs saw.
    """
    output = runs if output is None else output
    results = load_results(runs)
    statistics = compute_statistics(results)
    plots = {f"plots/{name}": svg for name, svg in draw_plots(results, statistics).items()}
    markdown = render_markdown(results, statistics, plots)
    html = render_html(markdown, results.grid.title, plots)
    written = WrittenReport(output / "report.md", output / "report.html", len(plots))
    _write(written.markdown, markdown.encode("utf-8"))
    _write(written.html, html.encode("utf-8"))
    for name, svg in plots.items():
        _write(output / name, svg)
    if gallery is not None:
        _write(gallery, render_gallery(results).encode("utf-8"))
    return written


def _write(path: Path, content: bytes) -> None:
    with file_written_aside(path) as aside:
        aside.write_bytes(content)
