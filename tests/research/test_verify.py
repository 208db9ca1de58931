from __future__ import annotations

import json

import pytest
import srsly

from research.results import GRID_FILE, load_results
from research.runs import run_path
from research.verify import find_problems, verify_runs
from tests.research.sample_runs import GRID, write_data, write_runs


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def folder(tmp_path, data):
    return write_runs(tmp_path / "runs", write_data(data))


def test_true_scores_hold(folder, data):
    verification = verify_runs(folder, data)
    assert (verification.n_runs, verification.problems) == (6, [])


@pytest.mark.parametrize("change", ["spans", "scores"])
def test_a_changed_run_is_named(folder, data, change):
    path = run_path(folder, "twitter2017/gated-retrieved-1")
    run = json.loads(path.read_text(encoding="utf-8"))
    if change == "spans":
        run["spans"][3].pop()
    else:
        run["scores"]["strict"]["f"] += 0.01
    path.write_text(json.dumps(run), encoding="utf-8")
    (problem,) = find_problems(load_results(folder), data)
    assert problem.startswith("twitter2017/gated-retrieved-1:")


@pytest.mark.parametrize(("old", "new"), [("Bonn", "Rome"), ("B-LOC", "O"), ("3.jpg", "x.jpg")])
def test_other_data_are_noticed(folder, data, old, new):
    path = data / "twitter2017" / "test.txt"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    (problem,) = find_problems(load_results(folder), data)
    assert "the gold entities are not those of" in problem
    assert "test.txt" in problem


def test_nothing_to_verify_does_not_hold(folder, data):
    for path in (folder / "twitter2017").glob("*-[0-9].json"):
        path.unlink()
    assert find_problems(load_results(folder), data) == ["there are no runs"]


def test_a_dataset_without_a_source_is_named(folder, data):
    dataset = {k: v for k, v in GRID["datasets"]["twitter2017"].items() if k != "source"}
    srsly.write_yaml(folder / GRID_FILE, GRID | {"datasets": {"twitter2017": dataset}})
    (problem,) = find_problems(load_results(folder), data)
    assert problem == "twitter2017: the grid names no source for 'test'"


def test_missing_data_are_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"test\.txt"):
        find_problems(load_results(folder), tmp_path)
