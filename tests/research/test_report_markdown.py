from __future__ import annotations

import json

import pytest
import srsly

from research import significance
from research.plots import draw_plots
from research.report_markdown import render_markdown
from research.results import GRID_FILE, load_results
from research.runs import gold_path, load_run, run_path, save_json
from research.statistics import compute_statistics
from tests.research.sample_runs import GRID, make_gold, make_run, write_runs


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch):
    monkeypatch.setattr(significance, "DRAWS", 100)
    monkeypatch.setattr(significance, "BLOCK", 50)


@pytest.fixture
def folder(tmp_path):
    return write_runs(tmp_path / "runs")


def report_on(folder):
    results = load_results(folder)
    statistics = compute_statistics(results)
    return render_markdown(
        results, statistics, ["plots/twitter2017/a.svg", "plots/twitter2017-b/b.svg"]
    ), statistics


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
    estimate = statistics.f1["twitter2017"]["gated-retrieved"]
    assert 100 * estimate.value == pytest.approx(mean)
    assert "![plots/twitter2017/a.svg](plots/twitter2017/a.svg)" in markdown
    assert "b.svg" not in markdown


def test_the_papers_figures_stand_beside_ours(folder):
    markdown, statistics = report_on(folder)
    assert cells(markdown, "| gated | retrieved")[-1] == "85.45"
    assert cells(markdown, "| text-only | none")[-1] == "84.70"
    assert cells(markdown, "| gated-retrieved | the paper")[3:] == (
        ["84.15", "83.90", "65.77", "91.76", "83.95", "87.02", "85.45"]
    )
    ours = statistics.label_scores["twitter2017"]["gated-retrieved"]
    row = cells(markdown, "| gated-retrieved | ours")
    assert row[2] == "2"
    # No gold entity is an ORG.
    assert row[4] == ""
    assert [row[i].split()[0] for i in (3, 6, -1)] == [
        f"{100 * ours[name].value:.2f}" for name in ("LOC", "PER", "F1")
    ]
    assert cells(markdown, "| twitter2017, test")[-1] == "train 3,373, dev 723, test 723"
    assert "The paper's models use BERT" in markdown


def test_the_papers_other_models_stand_beside_ours_of_twitter2015(tmp_path):
    gold = make_gold(dataset="twitter2015")
    values = json.loads(json.dumps(GRID).replace("twitter2017", "twitter2015"))
    values["datasets"]["not-begun"] = values["datasets"]["twitter2015"]
    markdown, statistics = report_on(write_runs(tmp_path / "runs", gold, grid=values))
    table = markdown.partition("the paper's Table 4")[2]
    assert cells(table, "| RpBERT (the paper)") == ["RpBERT (the paper)", "given", "1", "74.40"]
    row = cells(table, "| gated | permuted")
    ours = statistics.label_scores["twitter2015"]["gated-permuted"]["F1"]
    assert row[2] == "2"
    assert row[3].startswith(f"{100 * ours.value:.2f} [")
    assert "not-begun" not in markdown


def test_runs_without_images_have_no_gates(folder):
    for path in (folder / "twitter2017").glob("gated-*.json"):
        path.unlink()
    markdown, statistics = report_on(folder)
    assert "Mean gate" not in markdown
    plots = draw_plots(load_results(folder), statistics)
    assert "twitter2017/gates.svg" not in plots
    assert "twitter2017/f1.svg" in plots


def test_a_dataset_that_is_not_the_papers_stands_alone(tmp_path):
    gold = make_gold(dataset="mine")
    grid = json.loads(json.dumps(GRID).replace("twitter2017", "mine"))
    markdown, _ = report_on(write_runs(tmp_path / "runs", gold, grid=grid))
    assert cells(markdown, "| gated | retrieved")[0] == "gated"
    for absent in ("The paper's weighted", "Table 1", "Table 2", "Table 4", "85.45"):
        assert absent not in markdown


def test_another_arm_can_be_the_baseline(folder):
    srsly.write_yaml(folder / GRID_FILE, GRID | {"baseline": "gated-permuted"})
    markdown, statistics = report_on(folder)
    assert set(statistics.to_baseline["twitter2017"]) == {"gated-retrieved", "text-only-none"}
    assert "− gated-permuted" in markdown
    assert "Decisions that differ from gated-permuted" in markdown


def test_scores_of_dev_are_said_to_be_chosen(folder):
    gold = make_gold(split="dev")
    markdown, _ = report_on(write_runs(folder / "dev", gold, grid=GRID | {"split": "dev"}))
    assert "somewhat too high" in markdown
    assert "Nothing here was chosen" not in markdown


def test_retrieved_is_compared_with_text_only_and_with_every_control(folder):
    markdown, statistics = report_on(folder)
    assert set(statistics.to_baseline["twitter2017"]) == {"gated-retrieved", "gated-permuted"}
    assert set(statistics.to_controls["twitter2017"]) == {"gated-permuted"}
    estimate = statistics.to_controls["twitter2017"]["gated-permuted"]
    assert estimate.value > 0
    assert cells(markdown, "| gated | permuted")[5].startswith(f"{100 * estimate.value:+.2f} [")


def test_planned_comparisons_are_corrected_together(folder):
    markdown, statistics = report_on(folder)
    p = [c.p for c in statistics.compared]
    assert [c.corrected_p for c in statistics.compared] == significance.holm(p)
    row = cells(markdown, "| twitter2017/gated-retrieved − twitter2017/text-only-none (primary)")
    assert row[1] == "2"
    assert row[3:5] == [f"{p[0]:.4f}", f"{statistics.compared[0].corrected_p:.4f}"]
    assert "**Primary: twitter2017/gated-retrieved against twitter2017/text-only-none" in markdown


def test_the_correction_is_the_whole_plans_from_the_first_run_on(folder):
    (_, before) = report_on(folder)
    for seed in range(2):
        run_path(folder, f"twitter2017/gated-permuted-{seed}").unlink()
    markdown, (compared,) = report_on(folder)[0], report_on(folder)[1].compared
    assert compared.corrected_p == min(1.0, 2 * compared.p)
    assert compared.p == before.compared[0].p
    assert cells(markdown, "| twitter2017/gated-retrieved − twitter2017/gated-permuted")[2] == (
        "not run yet"
    )


def test_arms_are_compared_by_as_many_runs(folder):
    run_path(folder, "twitter2017/text-only-none-1").unlink()
    markdown, statistics = report_on(folder)
    assert [c.n for c in statistics.compared] == [1, 2]
    assert "**Interim: 5 of 6 runs.** Primary:" in markdown


def test_arms_of_different_datasets_can_be_compared(folder):
    other = make_gold(dataset="other")
    datasets = GRID["datasets"] | {"other": GRID["datasets"]["twitter2017"]}
    across = {"of": "other/gated-retrieved", "against": "twitter2017/text-only-none"}
    cells_of_other = {"dataset": "other", "tagger": "gated", "images": "retrieved"}
    grid = GRID | {
        "datasets": datasets,
        "cells": [*GRID["cells"], cells_of_other],
        "comparisons": [across],
    }
    save_json(other, gold_path(folder, "other", "test"))
    run = make_run(other, "gated", "retrieved", 0)
    save_json(run, run_path(folder, "other/gated-retrieved-0"))
    srsly.write_yaml(folder / GRID_FILE, grid)
    markdown, statistics = report_on(folder)
    assert [c.n for c in statistics.compared] == [1]
    assert "has no primary comparison" in markdown


def test_what_was_not_run_is_said_and_never_filled(folder):
    markdown, _ = report_on(folder)
    assert cells(markdown, "| gated | given")[2:4] == ["0", "not run"]
    assert "Not run with given images (gated): no <pictures>." in markdown
    assert "Interim" not in markdown
    for seed in range(2):
        run_path(folder, f"twitter2017/text-only-none-{seed}").unlink()
    markdown, statistics = report_on(folder)
    assert cells(markdown, "| text-only | none")[3] == "not run yet"
    assert "**Interim: 4 of 6 runs.** The primary comparison has not been run yet." in markdown
    assert [c.comparison.against for c in statistics.compared] == ["twitter2017/gated-permuted"]
    # Without a baseline there is nothing to differ from.
    assert statistics.to_baseline["twitter2017"] == {}
    assert "Decisions that differ" not in markdown
    results = load_results(folder)
    assert "twitter2017/to-baseline.svg" not in draw_plots(results, statistics)


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
        f"twitter2017/{name}.svg" for name in ("f1", "gates", "to-baseline", "training")
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


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"gold_sha256": "6" * 64}, "was scored on other tokens or tags"),
        ({"split": "dev"}, "was scored on other tokens or tags"),
        ({"config_sha256": "6" * 64}, "has another config"),
        ({"data_sha256": "6" * 64}, "has other data"),
        ({"seed": 0}, "the run of another cell, twitter2017/gated-permuted-0"),
        ({"images": "retrieved"}, "the run of another cell, twitter2017/gated-retrieved-1"),
    ],
)
def test_a_run_that_no_mean_may_be_taken_of_is_named(folder, changed, reason):
    path = run_path(folder, "twitter2017/gated-permuted-1")
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(data | changed), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"gated-permuted-1\.json .*{reason}"):
        load_results(folder)


def test_arms_that_saw_other_images_are_named(folder):
    assert "Not all arms saw" not in report_on(folder)[0]
    for path in (folder / "twitter2017").glob("text-only-*.json"):
        srsly.write_json(path, srsly.read_json(path) | {"data_sha256": "6" * 64})
    # Text-only saw none.
    assert "Not all arms saw" not in report_on(folder)[0]
    for path in (folder / "twitter2017").glob("gated-permuted-*.json"):
        srsly.write_json(path, srsly.read_json(path) | {"data_sha256": "7" * 64})
    assert "These groups did: gated-retrieved; gated-permuted." in report_on(folder)[0]


def test_a_matching_report_of_something_else_is_named(folder):
    (folder / "matching").mkdir()
    srsly.write_json(folder / "matching" / "paired.json", {"ner": {}})
    with pytest.raises(ValueError, match=r"paired\.json was not written by"):
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
