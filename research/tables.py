"""The tables of a report. Each is a header and rows of text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from itertools import product

import numpy as np

from . import analysis, paper
from .analysis import mean_flips, other_seeds, paired
from .grid import Cell, grid_arms
from .results import Results
from .runs import Gold, Run
from .significance import Estimate
from .statistics import Statistics, find_answer, labels_of

Row = tuple[str, ...]
Table = tuple[Row, list[Row]]


def comparisons(results: Results, statistics: Statistics) -> Table:
    """Return the planned comparisons, including those not run yet."""
    header = ("Difference", "Runs per arm", "F1 points", "p", "p (Holm)", "Conclusion")
    done = {id(c.comparison): c for c in statistics.compared}
    rows: list[Row] = []
    for planned in results.grid.comparisons:
        name = f"{planned.of} − {planned.against}" + (" (primary)" if planned.primary else "")
        if (c := done.get(id(planned))) is None:
            rows.append((name, "", "not run yet", "", "", ""))
            continue
        answer = find_answer(statistics.compared, c, results.grid.baseline)
        p_values = (f"{p:.4f}" for p in (c.p, c.corrected_p))
        rows.append((name, str(c.n), signed(c.estimate), *p_values, answer))
    return header, rows


def scores(results: Results, statistics: Statistics, dataset: str) -> Table:
    """Return the strict scores of every arm, and its F1 as the paper computes it."""
    labels = labels_of(results.gold[dataset])
    by_paper = paper.F1.get(dataset)
    header: Row = ("Tagger", "Images", "n", "F1", f"− {results.grid.baseline}", "retrieved − this")
    header += ("P", "R", *labels, "Weighted lenient F1")
    header += () if by_paper is None else ("The paper's weighted lenient F1",)

    def row(cell: Cell, n: str, values: Row) -> Row:
        values += ("",) * (len(header) - 3 - len(values))
        figure = (by_paper or {}).get(cell.local_arm)
        # If the paper has a figure, it goes into the last column.
        return (
            cell.tagger,
            cell.images,
            n,
            *(values if figure is None else (*values[:-1], figure)),
        )

    rows: list[Row] = []
    for cells in grid_arms(results.grid, dataset):
        arm = cells[0].local_arm
        runs = results.runs[dataset].get(arm, [])
        n = f"{len(runs)}/{len(cells)}"
        if not runs:
            rows.append(row(cells[0], n, ("not run yet",)))
            continue
        gains = (statistics.to_baseline[dataset], statistics.to_controls[dataset])
        strict = [run.scores["strict"] for run in runs]
        values = (
            with_interval(statistics.f1[dataset][arm]),
            *(signed(gain[arm]) if arm in gain else "" for gain in gains),
            *(_percent(found[key] for found in strict) for key in ("p", "r")),
            *(
                _percent(found["per_type"].get(label, {"f": 0.0})["f"] for found in strict)
                for label in labels
            ),
            with_interval(statistics.label_scores[dataset][arm]["F1"]) if labels else "",
        )
        rows.append(row(cells[0], n, values))
    rows += [
        row(Cell(dataset, tagger, images, 0), "0", ("not run",))
        for entry in results.grid.cells
        if entry.not_run is not None and dataset in entry.dataset
        for tagger, images in product(entry.tagger, entry.images)
    ]
    return header, rows


def image_effects(
    gold: Gold, runs: dict[str, list[Run]], baseline: str
) -> Iterator[tuple[str, Table]]:
    """Yield tables about the effects of the images, each after a sentence that introduces it.

    Args:
        gold: The gold entities of a dataset.
        runs: Its runs by arm.
        baseline: The arm whose decisions the others are compared with.
    """
    with_gates = {arm: found for arm, found in runs.items() if found[0].gates is not None}
    groupings: tuple[tuple[str, Callable[[Gold, list[Run]], dict[str, float]]], ...] = (
        ("entity type", analysis.gates_by_type),
        ("part of speech (TextBlob's tagger)", analysis.gates_by_part_of_speech),
        ("whether the token has a voken", analysis.gates_by_voken),
    )
    for name, group in groupings if with_gates else ():
        means = {arm: group(gold, found) for arm, found in with_gates.items()}
        columns = sorted({column for arm_means in means.values() for column in arm_means})
        rows: list[Row] = [
            (arm, *(f"{m[column]:.3f}" if column in m else "" for column in columns))
            for arm, m in means.items()
        ]
        yield f"Mean gate (0: text only, 1: image only) by {name}:", (("", *columns), rows)
    seen = {arm: analysis.recall_by_seen(gold, found) for arm, found in runs.items()}
    header = ("", *(f"{name} ({n})" for name, (n, _) in next(iter(seen.values())).items()))
    rows = [(arm, *(f"{100 * r:.2f}" for _, r in found.values())) for arm, found in seen.items()]
    yield "Recall of names seen and not seen in training:", (header, rows)
    bins = {arm: analysis.recall_by_voken_score(gold, found) for arm, found in runs.items()}
    edges = next(iter(bins.values()))
    header = ("", *(f"{low:.2f} to {high:.2f} ({n})" for low, high, n, _ in edges))
    rows = [(arm, *(f"{100 * r:.2f}" for *_, r in found)) for arm, found in bins.items()]
    yield "Recall of entities by the relevance score of their best voken:", (header, rows)
    if baseline in runs:
        yield (
            f"Decisions that differ from {baseline}, as the mean over pairs of runs with the same "
            f"seed. The first row compares {baseline} with itself under other seeds, so it shows "
            "what the seed alone changes:",
            _flips(gold, runs, baseline),
        )


def _flips(gold: Gold, runs: dict[str, list[Run]], baseline: str) -> Table:
    header = ("", "Repaired", "Broken", "Wrong ones removed", "Wrong ones added", "Net")
    pairs = {f"{baseline}, other seed": list(other_seeds(runs[baseline]))}
    pairs |= {
        arm: list(paired(found, runs[baseline])) for arm, found in runs.items() if arm != baseline
    }
    rows: list[Row] = []
    for name, arm_pairs in pairs.items():
        if (flips := mean_flips(gold, arm_pairs)) is not None:
            net = flips.to_right - flips.to_wrong
            rows.append((name, *(f"{n:.1f}" for n in asdict(flips).values()), f"{net:+.1f}"))
    return header, rows


def retrieval(gold: Gold) -> Table:
    """Return how the vokens are spread over tokens and pool."""
    facts = analysis.retrieval_facts(gold)
    rows: list[Row] = [
        ("Tokens with a voken", f"{facts['with_voken']:.1%}"),
        ("Pool images that are a voken", f"{facts['coverage']:.1%} of {gold.pool_size:,}"),
        ("Vokens that are among the 1% most frequent images", f"{facts['top_1_percent']:.1%}"),
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


def matching(results: Results) -> Table:
    """Return the retrieval scores of matching models, and of chance."""
    header = ("", "Images", *next(iter(results.matching.values()))["scores"])
    rows: list[Row] = []
    chance: dict[int, Row] = {}
    for name, report in results.matching.items():
        n, by_chance = report["candidates"], report["chance"]
        rows.append((name, f"{n:,}", *(f"{score:.3f}" for score in report["scores"].values())))
        chance[n] = tuple(f"{by_chance[m]:.3f}" if m in by_chance else "" for m in report["scores"])
    return header, rows + [("chance", f"{n:,}", *values) for n, values in chance.items()]


def papers_table_2(results: Results, statistics: Statistics, dataset: str) -> Table:
    """Return the arms of the paper's Table 2 as printed, and ours computed in the same way."""
    rows: list[Row] = []
    for arm, figures in paper.TABLE_2[dataset].items():
        rows.append((arm, "the paper", "1", *(f"{figure:.2f}" for figure in figures)))
        ours = statistics.label_scores.get(dataset, {}).get(arm)
        if ours is not None:
            n = str(len(results.runs[dataset][arm]))
            values = (with_interval(ours[c]) if c in ours else "" for c in paper.TABLE_2_COLUMNS)
            rows.append((arm, "ours", n, *values))
    return ("", "", "n", *paper.TABLE_2_COLUMNS), rows


def papers_table_4(results: Results, statistics: Statistics) -> Table:
    """Return the models in the paper's Table 4, and the arms of this grid."""
    dataset = paper.TABLE_4_DATASET
    rows: list[Row] = [
        (f"{model} (the paper)", "given", "1", f"{f1:.2f}") for model, f1 in paper.TABLE_4.items()
    ]
    for arm, found in results.runs.get(dataset, {}).items():
        value = with_interval(statistics.label_scores[dataset][arm]["F1"])
        rows.append((found[0].tagger, found[0].images, str(len(found)), value))
    return (f"Model, {dataset}", "Images", "n", "Weighted lenient F1"), rows


def sizes(results: Results) -> Table:
    """Return the sizes of what was scored on, and the paper's if the dataset is in its Table 1."""
    header = ("", "Sentences", "Entities", "Lenient", "Tokens", "Images in the pool", "SHA-256")
    beside = any(dataset in paper.TABLE_1 for dataset in results.gold)
    rows: list[Row] = []
    for dataset, gold in results.gold.items():
        n_strict, n_lenient = (sum(map(len, spans)) for spans in (gold.strict, gold.lenient))
        numbers = (len(gold.ids), n_strict, n_lenient, sum(gold.lengths), gold.pool_size)
        row = (f"{dataset}, {gold.split}", *(f"{n:,}" for n in numbers), gold.sha256[:16])
        figures = paper.TABLE_1.get(dataset, {}).items()
        in_paper = ", ".join(f"{split} {n:,}" for split, n in figures)
        rows.append((*row, in_paper) if beside else row)
    return (*header, "Sentences in the paper's Table 1") if beside else header, rows


def provenance(results: Results) -> Table:
    """Return one row per arm: seeds, hashes of what was run, seconds and machine."""
    header: Row = ("Dataset", "Arm", "Seeds", "Commit", "Config", "Data", "Seconds per run")
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
                    runs[0].config_sha256[:16],
                    runs[0].data_sha256[:16],
                    f"{min(seconds):.0f} to {max(seconds):.0f}",
                    _all_of(run.machine for run in runs),
                    _all_of(run.versions["torch"] for run in runs),
                )
            )
    return (*header, "Machine", "torch"), rows


def signed(estimate: Estimate) -> str:
    """Format a difference and its interval, in points with their signs."""
    low, high = 100 * estimate.low, 100 * estimate.high
    return f"{100 * estimate.value:+.2f} [{low:+.2f}, {high:+.2f}]"


def with_interval(estimate: Estimate) -> str:
    """Format a score and its interval, in percent."""
    low, high = 100 * estimate.low, 100 * estimate.high
    return f"{100 * estimate.value:.2f} [{low:.2f}, {high:.2f}]"


def _all_of(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values))


def _percent(values: Iterable[float]) -> str:
    return f"{100 * float(np.mean(list(values))):.2f}"
