"""Render the report on a grid's results as Markdown."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import PurePosixPath
from typing import Any

from wasabi import MarkdownRenderer

from . import paper, tables
from .grid import NO_IMAGES, QUERY, grid_cells
from .results import Results
from .runs import SCORER
from .significance import DRAWS
from .statistics import Statistics, find_answer
from .tables import Table


def render_markdown(results: Results, statistics: Statistics, plots: Collection[str]) -> str:
    """Render the report.

    Args:
        results: The results.
        statistics: Their statistics.
        plots: Paths of the plots, relative to the report. The folder of each has its dataset's
            name.
    """
    md = MarkdownRenderer()
    md.add(md.title(1, results.grid.title))
    md.add(_how_to_read(results))
    md.add(md.title(2, "Comparisons"))
    md.add(_answer(results, statistics))
    if results.grid.comparisons:
        md.add(_table(tables.comparisons(results, statistics)))
    for dataset, gold in results.gold.items():
        if not results.runs[dataset]:
            continue
        md.add(md.title(2, f"{dataset}, {results.grid.split}"))
        is_papers = dataset in paper.TABLE_2
        md.add(md.title(3, "Scores" + (" (with the paper's Table 3)" if is_papers else "")))
        md.add(_table(tables.scores(results, statistics, dataset)))
        for reason in _reasons(results, dataset):
            md.add(reason)
        if caution := _other_data(results, dataset):
            md.add(caution)
        if is_papers:
            md.add(md.title(3, "The paper's Table 2, scored as in the paper (lenient, weighted)"))
            md.add(
                f"The paper's models use {paper.SETTING}; this report's title says what ours use."
            )
            md.add(_table(tables.papers_table_2(results, statistics, dataset)))
        for path in plots:
            if PurePosixPath(path).parent.name == dataset:
                md.add(f"![{path}]({path})")
        md.add(md.title(3, "Effects of the images"))
        effects = tables.image_effects(gold, results.runs[dataset], results.grid.baseline)
        for sentence, table in effects:
            md.add(sentence)
            md.add(_table(table))
        md.add(md.title(3, "Retrieved images"))
        md.add(_table(tables.retrieval(gold)))
    if results.matching:
        md.add(md.title(2, "Retrieval of the captions' own images"))
        md.add(
            "Matching models compared with chance, and with the same model trained on pairs whose "
            "images were shuffled over the captions. Scored on the dev pairs, on which the best "
            "state of each model was chosen:"
        )
        md.add(_table(tables.matching(results)))
    md.add(md.title(2, "Sizes"))
    md.add(_table(tables.sizes(results)))
    if paper.TABLE_4_DATASET in results.grid.datasets:
        md.add(md.title(2, "Comparison with another model (the paper's Table 4)"))
        md.add(_table(tables.papers_table_4(results, statistics)))
    md.add(md.title(2, "Runs"))
    md.add(_table(tables.provenance(results)))
    return md.text + "\n"


def _how_to_read(results: Results) -> str:
    chosen = "Nothing here was chosen by a test score."
    if results.grid.split == "dev":
        chosen = (
            "The best state of each run was chosen on this same split, so all scores are somewhat "
            "too high."
        )
    return (
        f"Scores are strict micro F1 in percent (`{SCORER}`: an entity begins with `B-`) unless a "
        "column says otherwise. The paper's own figure is the support-weighted F1 of the lenient "
        "reading, from one run per cell. Each of our values is the mean over n runs with different "
        f"seeds. Its 95% interval, in brackets, comes from a bootstrap of {DRAWS:,} draws over "
        "sentences and seeds together, which is conservative (for a single run, over sentences "
        "only). P-values come from approximate randomization over sentences and are corrected for "
        "all planned comparisons. Differences in the tables of scores are not corrected, and if an "
        "arm has only one run, they ignore the variation between seeds. "
        f"{chosen} `research/controls.py` describes each kind of images."
    )


def _answer(results: Results, statistics: Statistics) -> str:
    n_runs = results.n_runs
    n_cells = len(grid_cells(results.grid))
    interim = "" if n_runs == n_cells else f"**Interim: {n_runs} of {n_cells} runs.** "
    if not any(comparison.primary for comparison in results.grid.comparisons):
        return f"{interim}The grid has no primary comparison."
    primary = [c for c in statistics.compared if c.comparison.primary]
    if not primary:
        return f"{interim}The primary comparison has not been run yet."
    (c,) = primary
    answer = find_answer(statistics.compared, c, results.grid.baseline)
    arms = f"{c.comparison.of} against {c.comparison.against}"
    figures = f"{tables.signed(c.estimate)}, corrected p = {c.corrected_p:.3f}"
    text = f"Primary: {arms}: {figures}: {answer}."
    return f"{interim}{text}" if interim else f"**{text}**"


def _reasons(results: Results, dataset: str) -> Iterator[str]:
    """Yield why cells cannot be run."""
    for entry in results.grid.cells:
        if entry.not_run is not None and dataset in entry.dataset:
            taggers, images = ", ".join(entry.tagger), ", ".join(entry.images)
            yield f"Not run with {images} images ({taggers}): {entry.not_run}."


def _other_data(results: Results, dataset: str) -> str:
    """Return which arms saw the same images, or "" if all did.

    The images `query` are left out: they are the vokenizer's own vectors, so their data always
    differ.
    """
    groups: dict[str, list[str]] = {}
    for arm, runs in results.runs[dataset].items():
        if runs[0].images not in (NO_IMAGES, QUERY):
            groups.setdefault(runs[0].data_sha256, []).append(arm)
    if len(groups) < 2:
        return ""
    named = "; ".join(", ".join(arms) for arms in groups.values())
    return (
        "Not all arms saw vokens from the same vokenizer and features from the same pool (the "
        f"hashes of their data are at the end). These groups did: {named}. A difference between "
        "two groups includes the difference between their data."
    )


def _table(table: Table) -> str:
    header, rows = table
    md: Any = MarkdownRenderer()
    return md.table(rows, header=header, aligns=("l", *"r" * (len(header) - 1)))
