"""The report on a folder of runs, in Markdown: its tables, and what each of them shows."""

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


def write_report(results: Results, statistics: Statistics, plots: Collection[str]) -> str:
    """The report as Markdown.

    plots: paths of the pictures, relative to where the report will stand; the folder of each is
        named for its dataset.
    """
    md = MarkdownRenderer()
    md.add(md.title(1, results.grid.title))
    md.add(_how_to_read(results))
    md.add(md.title(2, "What was compared"))
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
            md.add(
                md.title(3, "The paper's Table 2, counted as the paper counts (lenient, weighted)")
            )
            md.add(
                f"The paper's models are made of {paper.SETTING}; ours are what this report's "
                "title says."
            )
            md.add(_table(tables.papers_table_2(results, statistics, dataset)))
        for path in plots:
            if PurePosixPath(path).parent.name == dataset:
                md.add(f"![{path}]({path})")
        md.add(md.title(3, "What the pictures did"))
        for sentence, table in tables.deeds(gold, results.runs[dataset], results.grid.baseline):
            md.add(sentence)
            md.add(_table(table))
        md.add(md.title(3, "What was retrieved"))
        md.add(_table(tables.retrieval(gold)))
    if results.matching:
        md.add(md.title(2, "Retrieval of the captions' own pictures"))
        md.add(
            "Matching models against chance, and against the same model trained on pairs whose "
            "pictures were shuffled over the captions; on the dev pairs, by which the best state "
            "of each model was chosen:"
        )
        md.add(_table(tables.matching(results)))
    md.add(md.title(2, "Sizes"))
    md.add(_table(tables.sizes(results)))
    if paper.TABLE_4_DATASET in results.grid.datasets:
        md.add(md.title(2, "Against another model (the paper's Table 4)"))
        md.add(_table(tables.papers_table_4(results, statistics)))
    md.add(md.title(2, "What was run"))
    md.add(_table(tables.provenance(results)))
    return md.text + "\n"


def _how_to_read(results: Results) -> str:
    chosen = "Nothing here was chosen by a test score."
    if results.grid.split == "dev":
        chosen = (
            "The best state of each run was chosen on this very part, so that all scores are "
            "somewhat high."
        )
    return (
        f"Scores are strict micro F1 in percent (`{SCORER}`: an entity begins with `B-`), unless a "
        "column says otherwise: the paper's own figure is the support-weighted F1 of the lenient "
        "reading, of one run a cell. Each of our values is a mean over n runs that differ in their "
        f"seed; in brackets its 95 % interval by a bootstrap of {DRAWS:,} draws over sentences and "
        "seeds together, which is conservative (of one run: over sentences alone). P-values are of "
        "approximate randomisation over sentences, and corrected for all planned comparisons. "
        "Differences in the tables of scores are corrected for nothing, and where an arm has one "
        f"run they leave out what its seed changes. {chosen} What each kind of images is stands in "
        "`spacy_vokens/experiments/controls.py`."
    )


def _answer(results: Results, statistics: Statistics) -> str:
    n_runs = sum(len(runs) for arms in results.runs.values() for runs in arms.values())
    n_cells = len(grid_cells(results.grid))
    interim = "" if n_runs == n_cells else f"**Interim: {n_runs} of {n_cells} runs.** "
    if not any(comparison.primary for comparison in results.grid.comparisons):
        return f"{interim}The grid names no comparison as its primary one."
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
    """Why cells cannot be run."""
    for entry in results.grid.cells:
        if entry.not_run is not None and dataset in entry.dataset:
            taggers, images = ", ".join(entry.tagger), ", ".join(entry.images)
            yield f"Not run with {images} images ({taggers}): {entry.not_run}."


def _other_data(results: Results, dataset: str) -> str:
    """Which arms saw the same pictures, where not all did; nothing where all did.

    The images `query` are the vokenizer's own vectors, so that their data are always others.
    """
    groups: dict[str, list[str]] = {}
    for arm, runs in results.runs[dataset].items():
        if runs[0].images not in (NO_IMAGES, QUERY):
            groups.setdefault(runs[0].data_sha256, []).append(arm)
    if len(groups) < 2:
        return ""
    named = "; ".join(", ".join(arms) for arms in groups.values())
    return (
        "Not all arms saw vokens of the same vokenizer and features of the same pool (the hashes "
        f"of their data are at the end). Alike in this are: {named}. Between these groups, a "
        "difference holds that of the data too."
    )


def _table(table: Table) -> str:
    header, rows = table
    md: Any = MarkdownRenderer()
    return md.table(rows, header=header, aligns=("l", *"r" * (len(header) - 1)))
