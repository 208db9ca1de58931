"""The report's plots as SVG. The same results give the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from .analysis import OUTSIDE, gates_by_type
from .results import Results
from .statistics import Statistics

# The first makes the IDs inside an SVG the same every time; the second keeps text as text.
STYLE: Any = {"svg.hashsalt": "spacy-vokens", "svg.fonttype": "none", "font.size": 9}
COLORS = ("#3d6fd9", "#d9783d", "#3d9970", "#8a5fbf", "#b03a5b", "#777777", "#b8860b", "#008b8b")
# For arms that share a color.
LINES = ("-", "--", ":")
HATCHES = ("", "//", "..")


def draw_plots(results: Results, statistics: Statistics) -> dict[str, bytes]:
    """Draw all plots that the results have enough data for, as SVG by path ("dataset/name.svg")."""
    plots: dict[str, Callable[[str], Figure | None]] = {
        "f1": lambda dataset: _f1(results, statistics, dataset),
        "to-baseline": lambda dataset: _to_baseline(results, statistics, dataset),
        "gates": lambda dataset: _gates(results, dataset),
        "training": lambda dataset: _training(results, dataset),
    }
    drawn = {}
    with mpl.rc_context(STYLE):
        for dataset, runs in results.runs.items():
            if not runs:
                continue
            for name, draw in plots.items():
                figure = draw(dataset)
                if figure is None:
                    continue
                figure.set_layout_engine("constrained")
                file = BytesIO()
                figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
                drawn[f"{dataset}/{name}.svg"] = file.getvalue()
    return drawn


def _f1(results: Results, statistics: Statistics, dataset: str) -> Figure:
    """Plot every run as a dot, and the mean of every arm with its interval."""
    estimates = statistics.f1[dataset]
    figure = Figure(figsize=(7, 1 + 0.35 * len(estimates)))
    axes = figure.subplots()
    for row, (arm, estimate) in enumerate(estimates.items()):
        value, low, high = (100 * x for x in (estimate.value, estimate.low, estimate.high))
        axes.plot([low, high], [row, row], color=COLORS[0], linewidth=1.5)
        axes.plot(value, row, "D", color=COLORS[0], markersize=6)
        scores = [100 * run.scores["strict"]["f"] for run in results.runs[dataset][arm]]
        axes.plot(scores, np.full(len(scores), row + 0.2), "o", color=COLORS[1], markersize=3)
    _name_rows(figure, list(estimates), f"{dataset}: strict micro F1; mean, 95% interval, runs")
    return figure


def _to_baseline(results: Results, statistics: Statistics, dataset: str) -> Figure | None:
    """Plot the difference of every arm from the baseline, with its interval."""
    estimates = statistics.to_baseline[dataset]
    if not estimates:
        return None
    figure = Figure(figsize=(7, 1 + 0.35 * len(estimates)))
    axes = figure.subplots()
    axes.axvline(0, color="#777777", linewidth=0.8)
    for row, estimate in enumerate(estimates.values()):
        axes.plot([100 * estimate.low, 100 * estimate.high], [row, row], color=COLORS[0])
        axes.plot(100 * estimate.value, row, "D", color=COLORS[0], markersize=6)
    title = f"{dataset}: F1 points more than {results.grid.baseline}, with 95% interval"
    _name_rows(figure, list(estimates), title)
    return figure


def _gates(results: Results, dataset: str) -> Figure | None:
    """Plot the mean gate by entity type, for every arm that has gates."""
    arms = {arm: runs for arm, runs in results.runs[dataset].items() if runs[0].gates is not None}
    if not arms:
        return None
    figure = Figure(figsize=(7, 3.2))
    axes = figure.subplots()
    means = {arm: gates_by_type(results.gold[dataset], runs) for arm, runs in arms.items()}
    labels = sorted(
        {label for arm_means in means.values() for label in arm_means}, key=_entities_first
    )
    width = 0.8 / len(means)
    for number, (arm, arm_means) in enumerate(means.items()):
        heights = [arm_means.get(label, 0.0) for label in labels]
        places = np.arange(len(labels)) + number * width
        hatch = HATCHES[number // len(COLORS) % len(HATCHES)]
        axes.bar(places, heights, width, label=arm, color=_color(number), hatch=hatch)
    axes.set_xticks(np.arange(len(labels)) + 0.4 - width / 2, labels)
    axes.set_ylabel("mean gate")
    axes.set_title(f"{dataset}: weight of the image in a word", loc="left")
    axes.legend(fontsize=7, ncols=2)
    return figure


def _training(results: Results, dataset: str) -> Figure:
    """Plot the F1 on dev during training, as the mean over the runs of every arm."""
    figure = Figure(figsize=(7, 3.2))
    axes = figure.subplots()
    for number, (arm, runs) in enumerate(results.runs[dataset].items()):
        n_points = min(len(run.dev) for run in runs)
        curves = np.array([[f1 for _, f1 in run.dev[:n_points]] for run in runs])
        steps = [step for step, _ in runs[0].dev[:n_points]]
        line = LINES[number // len(COLORS) % len(LINES)]
        axes.plot(steps[1:], 100 * curves.mean(axis=0)[1:], line, label=arm, color=_color(number))
    axes.set_xlabel("batches")
    axes.set_ylabel("F1 on dev")
    axes.set_title(f"{dataset}: training", loc="left")
    axes.legend(fontsize=7, ncols=2)
    return figure


def _color(number: int) -> str:
    return COLORS[number % len(COLORS)]


def _entities_first(label: str) -> tuple[bool, str]:
    return label == OUTSIDE, label


def _name_rows(figure: Figure, names: list[str], title: str) -> None:
    (axes,) = figure.axes
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.grid(axis="x", linewidth=0.3)
    axes.set_title(title, loc="left")
