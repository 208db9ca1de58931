from __future__ import annotations

import json

import pytest
import srsly

from spacy_vokens.experiments import significance
from spacy_vokens.experiments.plots import draw_plots
from spacy_vokens.experiments.report import write_report
from spacy_vokens.experiments.results import GRID_FILE, load_results
from spacy_vokens.experiments.runs import load_run, run_path
from spacy_vokens.experiments.statistics import compute_statistics

from .made import GRID, write_runs


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch):
    monkeypatch.setattr(significance, "DRAWS", 400)
    monkeypatch.setattr(significance, "BLOCK", 200)


@pytest.fixture
def folder(tmp_path):
    return write_runs(tmp_path / "runs")


def report_on(folder):
    results = load_results(folder)
    statistics = compute_statistics(results)
    return write_report(results, statistics, ["plots/twitter2017-a.svg"]), statistics


def cells(markdown: str, start: str) -> list[str]:
    (line,) = (line for line in markdown.splitlines() if line.startswith(start))
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_the_tables_hold_what_the_runs_hold(folder):
    markdown, statistics = report_on(folder)
    row = cells(markdown, "| gated | retrieved")
    # Of 24 names one and two are missed, none and one are added.
    mean = 100 * (2 * 23 / (24 + 23) + 2 * 22 / (24 + 23)) / 2
    assert row[2] == "2/2"
    assert row[3].startswith(f"{mean:.2f} [")
    estimate = statistics.arms["twitter2017"]["gated-retrieved"]
    assert 100 * estimate.value == pytest.approx(mean)
    # The paper's figure stands beside ours.
    assert row[-1] == "85.45"
    assert cells(markdown, "| text-only | none")[-1] == "84.70"


def test_retrieved_is_compared_with_text_only_and_with_every_control(folder):
    markdown, statistics = report_on(folder)
    assert set(statistics.to_text_only["twitter2017"]) == {"gated-retrieved", "gated-permuted"}
    assert set(statistics.to_controls["twitter2017"]) == {"gated-permuted"}
    estimate = statistics.to_controls["twitter2017"]["gated-permuted"]
    assert estimate.value > 0
    assert cells(markdown, "| gated | permuted")[5].startswith(f"{100 * estimate.value:+.2f} [")


def test_planned_comparisons_are_corrected_together(folder):
    markdown, statistics = report_on(folder)
    p = [c.p for c in statistics.compared]
    assert [c.corrected_p for c in statistics.compared] == significance.holm(p)
    row = cells(markdown, "| twitter2017 | gated-retrieved − text-only-none (primary)")
    assert row[2] == "2, 2"
    assert row[4:] == [f"{p[0]:.4f}", f"{statistics.compared[0].corrected_p:.4f}"]
    assert "**Primary: twitter2017, gated-retrieved against text-only-none" in markdown


def test_what_was_not_run_is_said_and_never_filled(folder):
    markdown, _ = report_on(folder)
    assert cells(markdown, "| gated | given")[2:4] == ["0", "not run"]
    assert "Not run with given images: no <pictures>." in markdown
    assert "Interim" not in markdown
    for seed in range(2):
        run_path(folder, f"twitter2017/text-only-none-{seed}").unlink()
    markdown, statistics = report_on(folder)
    assert cells(markdown, "| text-only | none")[3] == "not run yet"
    assert "**Interim: 4 of 6 runs.** The primary comparison has not been run yet." in markdown
    assert [c.comparison.against for c in statistics.compared] == ["gated-permuted"]
    # Without a baseline there is nothing to differ from.
    assert statistics.to_text_only["twitter2017"] == {}


def test_a_grid_of_which_nothing_was_run_yet_has_a_report(folder):
    for path in (folder / "twitter2017").glob("*-[0-9].json"):
        path.unlink()
    markdown, _ = report_on(folder)
    assert "The primary comparison has not been run yet." in markdown


def test_the_same_runs_give_the_same_bytes(folder, tmp_path):
    again = write_runs(tmp_path / "again")
    assert report_on(folder)[0] == report_on(again)[0]
    plots = [draw_plots(r, compute_statistics(r)) for r in map(load_results, (folder, again))]
    assert plots[0] == plots[1]


def test_every_plot_is_an_svg_that_names_its_arms(folder):
    results = load_results(folder)
    plots = draw_plots(results, compute_statistics(results))
    assert sorted(plots) == [
        f"twitter2017-{name}.svg" for name in ("f1", "gates", "to-text-only", "training")
    ]
    for name, svg in plots.items():
        text = svg.decode("utf-8")
        assert text.rstrip().endswith("</svg>")
        assert "gated-retrieved" in text, name


def test_matching_models_stand_beside_chance(folder):
    assert "chance" not in report_on(folder)[0]
    scores = {"voken_r1": 0.25, "voken_diversity": 0.5}
    (folder / "matching").mkdir()
    srsly.write_json(
        folder / "matching" / "paired.json",
        {"retrieval": {"candidates": 10, "scores": scores, "chance": {"voken_r1": 0.1}}},
    )
    markdown, _ = report_on(folder)
    assert cells(markdown, "| paired") == ["paired", "10", "0.250", "0.500"]
    # Chance has no diversity.
    assert cells(markdown, "| chance")[:3] == ["chance", "10", "0.100"]


def test_an_arm_scored_on_other_gold_is_named(folder):
    path = run_path(folder, "twitter2017/gated-permuted-1")
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(data | {"gold_sha256": "6" * 64}), encoding="utf-8")
    with pytest.raises(ValueError, match="gated-permuted was scored"):
        load_results(folder)


def test_a_missing_run_between_others_does_not_shift_them(folder):
    run_path(folder, "twitter2017/gated-permuted-0").unlink()
    runs = load_results(folder).runs["twitter2017"]["gated-permuted"]
    assert runs == [load_run(run_path(folder, "twitter2017/gated-permuted-1"))]


def test_runs_outside_the_grid_are_not_reported(folder):
    fewer = GRID | {"cells": GRID["cells"][:1], "comparisons": []}
    srsly.write_yaml(folder / GRID_FILE, fewer)
    assert list(load_results(folder).runs["twitter2017"]) == ["text-only-none"]


def test_a_folder_without_a_grid_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"grid\.yml"):
        load_results(tmp_path)
