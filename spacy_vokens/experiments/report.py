"""The report on a folder of runs: tables in Markdown, each figure with what it is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import product
from typing import Any

import numpy as np
from wasabi import MarkdownRenderer

from . import analysis, paper
from .analysis import among, mean_flips, paired
from .grid import arm_name, grid_arms, grid_cells
from .results import Results
from .runs import SCORER, Gold, Run
from .significance import DRAWS, Estimate
from .statistics import BASELINE, Statistics, pictures_help

Row = tuple[str, ...]


def write_report(results: Results, statistics: Statistics, plots: Collection[str]) -> str:
    """The report as Markdown.

    plots: paths of the pictures, relative to where the report will stand; each stands with the
        dataset that is in its name.
    """
    md = MarkdownRenderer()
    md.add(md.title(1, results.grid.title))
    md.add(_how_to_read(results))
    md.add(md.title(2, "What was compared"))
    md.add(_verdict(results, statistics))
    md.add(_table(*_comparison_rows(results, statistics)))
    for dataset, gold in results.gold.items():
        if not results.runs[dataset]:
            continue
        md.add(md.title(2, f"{dataset}, {results.grid.split}"))
        md.add(md.title(3, "Scores (the paper's Tables 2 and 3)"))
        md.add(_table(*_score_rows(results, statistics, dataset)))
        for reason in _reasons(results, dataset):
            md.add(reason)
        for path in plots:
            if dataset in path:
                md.add(f"![{path}]({path})")
        md.add(md.title(3, "What the pictures did"))
        for title, table in _deeds(gold, results.runs[dataset]):
            md.add(title)
            md.add(_table(*table))
        md.add(md.title(3, "What was retrieved"))
        md.add(_table(*_retrieval_rows(gold)))
    if results.matching:
        md.add(md.title(2, "Retrieval of the captions' own pictures"))
        md.add(
            "Matching models against chance, and against the same model trained on pairs whose "
            "pictures were shuffled over the captions:"
        )
        md.add(_table(*_matching_rows(results)))
    md.add(md.title(2, "The paper's Table 1: sizes"))
    md.add(_table(*_size_rows(results)))
    md.add(md.title(2, "The paper's Table 4: against another model"))
    md.add(_table(*_table_4_rows(results)))
    md.add(md.title(2, "What was run"))
    md.add(_table(*_provenance_rows(results)))
    return md.text + "\n"


def _how_to_read(results: Results) -> str:
    return (
        f"Scores are strict micro F1 in percent (`{SCORER}`: an entity begins with `B-`), unless a "
        "column says otherwise: the paper's own figure is the support-weighted F1 of the lenient "
        "reading, and stands beside ours, of one run a cell. Each of our values is a mean over n "
        "runs that differ in their seed; in brackets its 95 % interval by a bootstrap of "
        f"{DRAWS:,} draws over sentences and seeds together (of one run: over sentences alone). "
        "Nothing here was chosen by a test score. What each kind of images is stands in the plan, "
        "and in `spacy_vokens/experiments/controls.py`."
    )


def _verdict(results: Results, statistics: Statistics) -> str:
    n_runs = sum(len(runs) for arms in results.runs.values() for runs in arms.values())
    n_cells = len(grid_cells(results.grid))
    interim = "" if n_runs == n_cells else f"**Interim: {n_runs} of {n_cells} runs.** "
    primary = [c for c in statistics.compared if c.comparison.primary]
    if not primary:
        return f"{interim}The primary comparison has not been run yet."
    c = primary[0]
    outcome = "no gain beyond noise"
    if pictures_help(c, statistics.compared):
        outcome = "pictures help"
    elif c.is_gain:
        outcome = "a gain, which the controls do not show to be the pictures' own"
    arms = f"{c.comparison.dataset}, {c.comparison.of} against {c.comparison.against}"
    figures = f"{_signed(c.estimate)}, corrected p = {c.corrected_p:.3f}"
    return f"{interim}**Primary: {arms}: {figures}: {outcome}.**"


def _comparison_rows(results: Results, statistics: Statistics) -> tuple[Row, list[Row]]:
    header = ("Dataset", "Difference", "n", "F1 points", "p", "p (Holm)")
    done = {id(c.comparison): c for c in statistics.compared}
    rows: list[Row] = []
    for planned in results.grid.comparisons:
        name = f"{planned.of} − {planned.against}" + (" (primary)" if planned.primary else "")
        if (c := done.get(id(planned))) is None:
            rows.append((planned.dataset, name, "", "not run yet", "", ""))
            continue
        n = f"{c.n[0]}, {c.n[1]}"
        rows.append(
            (planned.dataset, name, n, _signed(c.estimate), f"{c.p:.4f}", f"{c.corrected_p:.4f}")
        )
    return header, rows


def _score_rows(results: Results, statistics: Statistics, dataset: str) -> tuple[Row, list[Row]]:
    header = (
        "Tagger",
        "Images",
        "n",
        "F1",
        "Less text-only",
        "Retrieved less this",
        "P",
        "R",
        *paper.LABELS,
        "Weighted lenient F1",
        "The paper's",
    )
    by_paper = _papers_f1(dataset)
    empty = [""] * (len(header) - 5)
    rows: list[Row] = []
    for cells in grid_arms(results.grid, dataset):
        arm = arm_name(cells[0].tagger, cells[0].images)
        runs = results.runs[dataset].get(arm, [])
        start = (cells[0].tagger, cells[0].images, f"{len(runs)}/{len(cells)}")
        if not runs:
            rows.append((*start, "not run yet", *empty, by_paper.get(arm, "")))
            continue
        gains = (statistics.to_text_only[dataset], statistics.to_controls[dataset])
        strict = [run.scores["strict"] for run in runs]
        rows.append(
            (
                *start,
                _with_interval(statistics.arms[dataset][arm]),
                *(_signed(gain[arm]) if arm in gain else "" for gain in gains),
                *(_percent(scores[key] for scores in strict) for key in ("p", "r")),
                *(
                    _percent(scores["per_type"].get(label, {"f": 0.0})["f"] for scores in strict)
                    for label in paper.LABELS
                ),
                _percent(run.scores["lenient"]["weighted_f"] for run in runs),
                by_paper.get(arm, ""),
            )
        )
    rows += [
        (*arm, "0", "not run", *empty, by_paper.get(arm_name(*arm), ""))
        for entry in results.grid.cells
        if entry.not_run is not None and dataset in entry.dataset
        for arm in product(entry.tagger, entry.images)
    ]
    return header, rows


def _papers_f1(dataset: str) -> dict[str, str]:
    """The paper's F1 by arm."""
    f1 = {arm: row[-1] for arm, row in paper.TABLE_2.get(dataset, {}).items()}
    return {arm: f"{value:.2f}" for arm, value in (f1 | paper.TABLE_3.get(dataset, {})).items()}


def _reasons(results: Results, dataset: str) -> Iterator[str]:
    """Why cells cannot be run."""
    for entry in results.grid.cells:
        if entry.not_run is not None and dataset in entry.dataset:
            yield f"Not run with {', '.join(entry.images)} images: {entry.not_run}."


def _deeds(gold: Gold, runs: dict[str, list[Run]]) -> Iterator[tuple[str, tuple[Row, list[Row]]]]:
    """Tables of what the pictures did, each after a sentence that says what it shows."""
    seeing = {arm: found for arm, found in runs.items() if found[0].gates is not None}
    groupings: tuple[tuple[str, Callable[[Gold, list[Run]], dict[str, float]]], ...] = (
        ("type of entity", analysis.gates_by_type),
        ("part of speech (TextBlob's tagger)", analysis.gates_by_part_of_speech),
        ("presence of a voken", analysis.gates_by_voken),
    )
    for name, group in groupings:
        means = {arm: group(gold, found) for arm, found in seeing.items()}
        columns = sorted({column for of_arm in means.values() for column in of_arm})
        rows = [(arm, *(f"{m.get(c, 0):.3f}" for c in columns)) for arm, m in means.items()]
        yield f"Mean gate (0: text alone, 1: picture alone), by {name}:", (("", *columns), rows)
    seen = {arm: analysis.recall_by_seen(gold, found) for arm, found in runs.items()}
    header = ("", *(f"{name} ({n})" for name, (n, _) in next(iter(seen.values())).items()))
    rows = [(arm, *(f"{100 * r:.2f}" for _, r in found.values())) for arm, found in seen.items()]
    yield "Recall of the names that training has, and of those that it has not:", (header, rows)
    bins = {arm: analysis.recall_by_voken_score(gold, found) for arm, found in runs.items()}
    edges = next(iter(bins.values()))
    header = ("", *(f"{low:.2f} to {high:.2f} ({n})" for low, high, n, _ in edges))
    rows = [(arm, *(f"{100 * r:.2f}" for *_, r in found)) for arm, found in bins.items()]
    yield "Recall of entities by the score of their best voken:", (header, rows)
    yield (
        "Entities decided otherwise than by text-only, mean over runs of the same seed. The first "
        "line is what the seed alone changes:",
        _flip_rows(gold, runs),
    )


def _flip_rows(gold: Gold, runs: dict[str, list[Run]]) -> tuple[Row, list[Row]]:
    header = ("", "Repaired", "Broken", "Wrong ones removed", "Wrong ones added", "Net")
    baseline = runs.get(BASELINE, [])
    pairs = {f"{BASELINE}, other seed": list(among(baseline))}
    pairs |= {arm: list(paired(found, baseline)) for arm, found in runs.items() if arm != BASELINE}
    rows: list[Row] = []
    for name, of_arm in pairs.items():
        if (flips := mean_flips(gold, of_arm)) is not None:
            net = flips.to_right - flips.to_wrong
            values = (f"{value:.1f}" for value in asdict(flips).values())
            rows.append((name, *values, f"{net:+.1f}"))
    return header, rows


def _retrieval_rows(gold: Gold) -> tuple[Row, list[Row]]:
    facts = analysis.retrieval_facts(gold)
    rows: list[Row] = [
        ("Tokens with a voken", f"{facts['with_voken']:.1%}"),
        ("Pool images that are a voken", f"{facts['coverage']:.1%} of {gold.pool_size:,}"),
        ("Vokens that are among the most frequent 1 % of images", f"{facts['top_1_percent']:.1%}"),
        ("Skewness of how often an image is a voken (hubness)", f"{facts['skewness']:.2f}"),
    ]
    rows += [
        (
            f"Tokens whose voken scores {threshold} or more",
            f"{analysis.share_above(gold, threshold):.1%}",
        )
        for threshold in analysis.THRESHOLDS
    ]
    return ("", ""), rows


def _size_rows(results: Results) -> tuple[Row, list[Row]]:
    rows: list[Row] = []
    for dataset, gold in results.gold.items():
        n_strict, n_lenient = (sum(map(len, spans)) for spans in (gold.strict, gold.lenient))
        numbers = (len(gold.ids), sum(gold.lengths), n_strict, n_lenient, gold.pool_size)
        rows.append((f"{dataset}, {gold.split}", *(f"{n:,}" for n in numbers), gold.sha256[:16]))
    header = ("", "Sentences", "Tokens", "Entities", "Lenient", "Images in the pool", "SHA-256")
    return header, rows


def _matching_rows(results: Results) -> tuple[Row, list[Row]]:
    reports = {name: report["retrieval"] for name, report in results.matching.items()}
    header = ("", "Pictures", *next(iter(reports.values()))["scores"])
    rows: list[Row] = []
    for name, retrieval in reports.items():
        scores = (f"{score:.3f}" for score in retrieval["scores"].values())
        rows.append((name, f"{retrieval['candidates']:,}", *scores))
    first = next(iter(reports.values()))
    chance = (first["chance"].get(metric) for metric in first["scores"])
    rows.append(
        ("chance", f"{first['candidates']:,}", *("" if c is None else f"{c:.3f}" for c in chance))
    )
    return header, rows


def _table_4_rows(results: Results) -> tuple[Row, list[Row]]:
    rows: list[Row] = [
        (f"{model} (the paper)", "given", f"{f1:.2f}") for model, f1 in paper.TABLE_4.items()
    ]
    runs = results.runs.get("twitter2015", {})
    for arm, found in runs.items():
        value = _percent(run.scores["lenient"]["weighted_f"] for run in found)
        rows.append((arm, found[0].images, value))
    return ("Model, Twitter-2015", "Images", "Weighted lenient F1"), rows


def _provenance_rows(results: Results) -> tuple[Row, list[Row]]:
    """One row an arm: seeds, seconds, and the hashes that say what exactly was run."""
    header = ("Dataset", "Arm", "Seeds", "Commit", "Data", "Seconds a run", "Machine", "torch")
    rows: list[Row] = []
    for dataset, arms in results.runs.items():
        for arm, runs in arms.items():
            seconds = [run.seconds for run in runs]
            rows.append(
                (
                    dataset,
                    arm,
                    ", ".join(str(run.seed) for run in runs),
                    _all_of(run.commit for run in runs),
                    _all_of(run.data_sha256[:16] for run in runs),
                    f"{min(seconds):.0f} to {max(seconds):.0f}",
                    _all_of(run.machine for run in runs),
                    _all_of(run.versions["torch"] for run in runs),
                )
            )
    return header, rows


def _all_of(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values))


def _percent(values: Iterable[float]) -> str:
    return f"{100 * float(np.mean(list(values))):.2f}"


def _with_interval(estimate: Estimate) -> str:
    low, high = 100 * estimate.low, 100 * estimate.high
    return f"{100 * estimate.value:.2f} [{low:.2f}, {high:.2f}]"


def _signed(estimate: Estimate) -> str:
    low, high = 100 * estimate.low, 100 * estimate.high
    return f"{100 * estimate.value:+.2f} [{low:+.2f}, {high:+.2f}]"


def _table(header: Row, rows: Sequence[Row]) -> str:
    md: Any = MarkdownRenderer()
    return md.table(rows, header=header, aligns=("l", *"r" * (len(header) - 1)))
