"""Small grids, run whole.

Every cell is a process, which takes its time to start: one grid is run for most of the tests, and
they copy its results.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import srsly
import torch
from typer.testing import CliRunner, Result

from research import processes
from research.__main__ import app
from research.grid import IMAGES, Cell, grid_cells, read_grid
from research.hashes import hash_config, hash_data
from research.run_grid import find_todo
from research.runs import (
    Gold,
    Run,
    gold_path,
    load_gold,
    load_run,
    run_path,
    save_json,
    score_run,
)
from tests.cli.conftest import said
from tests.research.conftest import IMPOSSIBLE, corpora, grid_values, tiny_grid, write_grid  # noqa: F401
from tests.research.sample_runs import make_gold, make_run

TEXT_ONLY = "tiny/text-only-none-0"
QUERY = "tiny/gated-query-0"
BROKEN = "tiny/broken-none-0"
WORKING = [TEXT_ONLY, QUERY]
# All but the broken one.
PATTERN = "tiny/[!b]*"
needs_signals = pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")


@dataclass(frozen=True)
class Finished:
    """A grid that was run, all of whose cells but the broken one work.

    Before, there was a result of one cell from another config.
    """

    result: Result
    values: dict[str, Any]
    grid: Path
    output: Path
    work: Path


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["run", *map(str, arguments)])


def leave_behind(work: Path, cell: str) -> None:
    """Write what a run of a cell leaves that is killed."""
    (work / cell / "model" / "model-last").mkdir(parents=True)
    (work / cell / "train.spacy").write_bytes(b"half of a cor")
    (work / f"{cell}.log").write_text("Killed\n")


@pytest.fixture(scope="module")
def finished(tiny_grid: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Finished:  # noqa: F811
    values = deepcopy(tiny_grid)
    values["taggers"]["broken"] = IMPOSSIBLE
    values["cells"] = [
        {"dataset": "tiny", "tagger": "broken", "images": "none"},
        {"dataset": "tiny", "tagger": "text-only", "images": "none"},
        {"dataset": "tiny", "tagger": "gated", "images": "query"},
        {"dataset": "tiny", "tagger": "gated", "images": "zero", "not_run": "it takes time"},
    ]
    folder = tmp_path_factory.mktemp("grid")
    srsly.write_yaml(folder / "grid.yml", values)
    output, work = folder / "new" / "runs", folder / "work"
    leave_behind(work, QUERY)
    outdated = make_run(make_gold(dataset="tiny"), "text-only", "none", 0)
    save_json(outdated, run_path(output, TEXT_ONLY))
    result = invoke(folder / "grid.yml", output, "--work", work, "--jobs", 2)
    return Finished(result, values, folder / "grid.yml", output, work)


@pytest.fixture
def copied(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the results, which a test may change."""
    return Path(shutil.copytree(finished.output, tmp_path / "runs"))


def json_files(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Of every JSON file its bytes, and when it was written."""
    files = folder.rglob("*.json")
    return {
        file.relative_to(folder).as_posix(): (file.read_bytes(), file.stat().st_mtime_ns)
        for file in files
    }


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """Names of the runs that are not what they were; the gold is read anew each time."""
    names = {name for name in before | after if before.get(name) != after.get(name)}
    return {name for name in names if "gold" not in name}


def check_run(found: Run, gold: Gold) -> None:
    """What holds for the result of every cell of the tiny grid."""
    assert found.gold_sha256 == gold.sha256
    assert [step for step, _ in found.dev] == [0, 20, 40]
    assert all(0 <= f <= 1 for _, f in found.dev)
    assert len(found.spans) == len(gold.lengths)
    for length, spans in zip(gold.lengths, found.spans, strict=True):
        bounds = [bound for start, end, _ in spans for bound in (start, end)]
        assert bounds == sorted(bounds)
        assert all(0 <= start < end <= length for start, end, _ in spans)
        assert {label for _, _, label in spans} <= {"PER", "LOC"}
    assert found.scores == score_run(gold, found.spans)
    if found.images == "none":
        assert found.gates is None
        return
    assert found.gates is not None
    assert [len(gates) for gates in found.gates] == gold.lengths
    assert all(0 <= gate <= 1000 for gates in found.gates for gate in gates)


def test_every_cell_has_a_result_but_the_one_that_fails(finished: Finished) -> None:
    expected = {f"{name}.json" for name in (*WORKING, "tiny/gold-test")}
    assert json_files(finished.output).keys() == expected
    gold = load_gold(gold_path(finished.output, "tiny", "test"))
    grid = read_grid(finished.grid)
    for cell in grid_cells(grid):
        if cell.name in WORKING:
            found = load_run(run_path(finished.output, cell.name))
            assert Cell(found.dataset, found.tagger, found.images, found.seed) == cell
            assert found.config_sha256 == hash_config(grid, cell)
            assert found.data_sha256 == hash_data(grid, cell)
            assert "1 threads" in found.machine
            check_run(found, gold)


def test_the_taggers_have_learned_their_sentences(finished: Finished) -> None:
    # Of six sentences one is in no other part, and one is empty.
    gold = load_gold(gold_path(finished.output, "tiny", "test"))
    for name in WORKING:
        found = load_run(run_path(finished.output, name))
        assert [list(map(tuple, doc)) for doc in found.spans[2:]] == [
            list(map(tuple, doc)) for doc in gold.strict[2:]
        ]


def test_no_word_is_in_a_result(finished: Finished) -> None:
    for content, _ in json_files(finished.output).values():
        assert not any(word in content for word in (b"anna", b"paris"))


def test_the_cell_that_fails_is_named_with_its_log(finished: Finished) -> None:
    assert finished.result.exit_code == 1
    assert said(finished.result, "3 cells, 0 already run")
    assert said(finished.result, "1 result from another config or other data will be replaced")
    assert said(finished.result, "1 cell failed")
    log = finished.work / f"{BROKEN}.log"
    at_once, row = [line for line in finished.result.output.split("\n") if line.startswith(BROKEN)]
    assert at_once.startswith(f"{BROKEN} failed: ")
    assert row.split()[1] == str(log)
    assert row.endswith(log.read_text(encoding="utf-8").strip().split("\n")[-1])
    assert "training -> dropout -> rate" in row
    assert not any(name in finished.result.output for name in WORKING)


def test_nothing_is_left_but_logs(finished: Finished) -> None:
    """Nor of what a killed run had left."""
    left = {path.relative_to(finished.work).as_posix() for path in finished.work.rglob("*")}
    assert left == {"tiny", *(f"{name}.log" for name in (*WORKING, BROKEN))}


def test_what_has_a_result_is_not_run_again(
    finished: Finished, copied: Path, tmp_path: Path
) -> None:
    before = json_files(copied)
    result = invoke(finished.grid, copied, "--cells", PATTERN, "--work", tmp_path / "work")
    assert result.exit_code == 0, result.output
    assert said(result, "2 cells, 2 already run")
    assert not said(result, "will be replaced")
    assert said(result, f"All results are in {copied}")
    after = json_files(copied)
    assert changed(before, after) == set()
    gold = "tiny/gold-test.json"
    assert after[gold][0] == before[gold][0]
    assert not (tmp_path / "work").exists()


def test_an_outdated_result_that_is_not_selected_is_said(
    finished: Finished,
    copied: Path,
    write_grid: Callable[[dict[str, Any]], Path],  # noqa: F811
    tmp_path: Path,
) -> None:
    values = deepcopy(finished.values)
    values["taggers"]["text-only"]["training.max_steps"] = 20
    grid = write_grid(values)
    result = invoke(grid, copied, "--cells", QUERY, "--work", tmp_path / "work")
    assert result.exit_code == 0, result.output
    assert said(result, "1 result not selected by --cells, from another config than this grid's")
    assert said(result, f"The first is {TEXT_ONLY}")
    changed_grid = read_grid(grid)
    cells = [cell for cell in grid_cells(changed_grid) if cell.name in WORKING]
    assert [cell.name for cell in find_todo(changed_grid, cells, copied)] == [TEXT_ONLY]


def test_every_cell_gets_the_gpu(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    def run(context: object, cell: Cell, output: Path, work: Path, gpu_id: int) -> None:
        started.append(gpu_id)

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(processes, "_run_process", run)
    for gpu_id in (1, -1):
        options = ("--gpu-id", gpu_id, "--work", tmp_path / "work", "--cells", PATTERN)
        assert invoke(finished.grid, tmp_path / str(gpu_id), *options).exit_code == 0
    assert started == [1] * len(WORKING) + [-1] * len(WORKING)


@pytest.mark.parametrize("field", ["config_sha256", "data_sha256", "split"])
def test_a_result_of_something_else_is_no_result(
    finished: Finished, copied: Path, field: str
) -> None:
    grid = read_grid(finished.grid)
    cells = [cell for cell in grid_cells(grid) if cell.name in WORKING]
    assert find_todo(grid, cells, copied) == []
    path = run_path(copied, QUERY)
    srsly.write_json(path, srsly.read_json(path) | {field: "other"})
    assert [cell.name for cell in find_todo(grid, cells, copied)] == [QUERY]


def test_a_cell_without_a_match_is_an_error(finished: Finished, tmp_path: Path) -> None:
    for pattern in ("tiny/gated-zero-*", "gated", "", "TINY/*"):
        result = invoke(finished.grid, tmp_path / "runs", "--cells", pattern)
        assert result.exit_code == 1
        assert said(result, f"has no cell whose name matches '{pattern}'")
    assert not (tmp_path / "runs").exists()


def test_something_else_in_the_place_of_a_result_is_named(finished: Finished, copied: Path) -> None:
    path = run_path(copied, TEXT_ONLY)
    shutil.copy(gold_path(copied, "tiny", "test"), path)
    result = invoke(finished.grid, copied, "--cells", TEXT_ONLY)
    assert result.exit_code == 1
    assert said(result, f"{path} is not a run file of 'python -m research run'")


def test_a_grid_that_cannot_be_is_named(
    grid_values: dict[str, Any],  # noqa: F811
    write_grid: Callable[[dict[str, Any]], Path],  # noqa: F811
    tmp_path: Path,
) -> None:
    grid_values["cells"][0]["tagger"] = "gate"
    path = write_grid(grid_values)
    result = invoke(path, tmp_path / "runs")
    assert result.exit_code == 1
    assert said(result, f"Could not run {path}")
    assert said(result, "no tagger 'gate': use one of text-only, gated, attention")
    result = invoke(tmp_path / "none.yml", tmp_path / "runs")
    assert result.exit_code == 2
    assert said(result, "does not exist")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("test", "find the corpus"), ("pool", "image pool")],
)
def test_data_that_are_missing_are_named(
    grid_values: dict[str, Any],  # noqa: F811
    write_grid: Callable[[dict[str, Any]], Path],  # noqa: F811
    name: str,
    reason: str,
    tmp_path: Path,
) -> None:
    missing = tmp_path / "elsewhere"
    grid_values["datasets"]["tiny"][name] = str(missing)
    result = invoke(write_grid(grid_values), tmp_path / "runs")
    assert result.exit_code == 1
    assert said(result, str(missing))
    assert said(result, reason)
    assert not (tmp_path / "runs").exists()


def test_the_extra_is_named_where_it_is_missing(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Python's own mark for a module that cannot be imported.
    monkeypatch.setitem(sys.modules, "textblob.en", None)
    result = invoke(finished.grid, tmp_path / "runs")
    assert result.exit_code == 1
    assert said(result, "needs the extra 'experiments'")
    assert said(result, "textblob")


@pytest.mark.slow
def test_all_images_and_fusions(
    grid_values: dict[str, Any],  # noqa: F811
    write_grid: Callable[[dict[str, Any]], Path],  # noqa: F811
    tmp_path: Path,
) -> None:
    with_images = [images for images in IMAGES if images != "none"]
    grid_values["cells"] = [
        {"dataset": "tiny", "tagger": "text-only", "images": "none", "seeds": 2},
        {"dataset": "tiny", "tagger": ["gated", "attention"], "images": with_images},
        {"dataset": "tiny", "tagger": "gated", "images": "random", "seeds": 2},
    ]
    path, output = write_grid(grid_values), tmp_path / "runs"
    result = invoke(path, output, "--work", tmp_path / "work", "--jobs", 2)
    assert result.exit_code == 0, result.output
    gold = load_gold(gold_path(output, "tiny", "test"))
    cells = grid_cells(read_grid(path))
    assert len(cells) == 2 + 2 * 7 + 1
    found = {cell: load_run(run_path(output, cell.name)) for cell in cells}
    for run in found.values():
        check_run(run, gold)
    # Seeds share their config.
    assert len({run.config_sha256 for run in found.values()}) == len({cell.arm for cell in cells})
    # Each seed draws other pictures, and each control gives others.
    gates = [str(run.gates) for cell, run in found.items() if cell.tagger == "gated"]
    assert len(set(gates)) == len(gates)


@pytest.fixture
def long_grid(
    grid_values: dict[str, Any],  # noqa: F811
    write_grid: Callable[[dict[str, Any]], Path],  # noqa: F811
) -> Path:
    """A grid whose cells take long enough to be stopped on their way."""
    grid_values["overrides"]["training.max_steps"] = 600
    grid_values["cells"][0]["seeds"] = 3
    return write_grid(grid_values)


def start(grid: Path, output: Path, work: Path) -> subprocess.Popen[bytes]:
    """Start the command, in a group of processes of its own, and wait until a cell trains."""
    arguments = [grid, output, "--work", work]
    process = subprocess.Popen(
        [sys.executable, "-m", "research", "run", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        # A shell's background jobs ignore Ctrl-C, and leave that to what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    end = time.monotonic() + 300
    while not (work / TEXT_ONLY / "evaluations.jsonl").exists():
        assert time.monotonic() < end, "no cell has started"
        assert process.poll() is None
        time.sleep(0.1)
    return process


@needs_signals
@pytest.mark.slow
def test_a_killed_run_is_run_again(long_grid: Path, tmp_path: Path) -> None:
    output, work = tmp_path / "runs", tmp_path / "work"
    process = start(long_grid, output, work)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    assert json_files(output).keys() == {"tiny/gold-test.json"}
    assert (work / TEXT_ONLY / "model").is_dir()
    result = invoke(long_grid, output, "--work", work, "--cells", TEXT_ONLY)
    assert result.exit_code == 0, result.output
    assert load_run(run_path(output, TEXT_ONLY)).dev[-1][0] == 600
    assert sorted(path.name for path in (work / "tiny").iterdir()) == ["text-only-none-0.log"]


@needs_signals
@pytest.mark.slow
def test_ctrl_c_ends_all(long_grid: Path, tmp_path: Path) -> None:
    output, work = tmp_path / "runs", tmp_path / "work"
    process = start(long_grid, output, work)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(120) != 0
    assert json_files(output).keys() == {"tiny/gold-test.json"}
    # Neither of the other two was started.
    assert [path.name for path in (work / "tiny").iterdir()] == ["text-only-none-0.log"]
