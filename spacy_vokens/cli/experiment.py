"""`spacy vokens experiment`: run a declared grid of trainings."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from wasabi import msg

from .device import torch_device

if TYPE_CHECKING:
    from ..experiments.grid import Cell, Grid

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def experiment(
    grid: Annotated[
        Path, typer.Argument(help="The grid: a YAML file", exists=True, dir_okay=False)
    ],
    output: Annotated[Path, typer.Argument(help="Folder for a JSON file a run", file_okay=False)],
    work: Annotated[
        Path, typer.Option(help="Folder for models in the making and logs", file_okay=False)
    ] = Path("training/experiments"),
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", help="Runs at once, one thread each", min=1)
    ] = 1,
    cells: Annotated[str, typer.Option(help="Run only the cells whose name matches")] = "*",
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU id, or -1 for CPU")] = -1,
) -> None:
    """Train and score every cell of a grid: datasets x taggers x images x seeds.

    A cell whose result is there, made with the same config and data, is not run again. A cell that
    fails is reported, and the others run on.
    """
    from ..corpus.sections import count_of
    from ..experiments.grid import grid_cells, read_grid
    from ..experiments.runs import run_path

    torch_device(gpu_id)
    try:
        declared = read_grid(grid)
        every = grid_cells(declared)
        chosen = [cell for cell in every if fnmatchcase(cell.name, cells)]
        if not chosen:
            raise ValueError(f"{grid} has no cell whose name matches {cells!r}.")
        outdated = find_outdated(declared, [cell for cell in every if cell not in chosen], output)
        todo = find_todo(declared, chosen, output)
        _save_frame(grid, declared, chosen, output)
    except ImportError as error:
        msg.fail("The experiments need the extra 'experiments'", str(error), exits=1)
    except (OSError, ValueError) as error:
        msg.fail(f"Could not run {grid}", str(error), exits=1)
    msg.info(f"{len(chosen)} cells, {len(chosen) - len(todo)} of them run before")
    if n_stale := sum(run_path(output, cell.name).is_file() for cell in todo):
        msg.warn(
            f"{count_of(n_stale, 'result')} of another config or other data will be replaced",
            "Vokens and features differ in their last digits from machine to machine.",
        )
    if outdated:
        msg.warn(
            f"{count_of(len(outdated), 'result')} that --cells leaves out, of another config than "
            "this grid's",
            f"{outdated[0].name} is the first. A report compares them all: run these again too.",
        )
    failed = _run_all(todo, output, work, jobs, gpu_id)
    if failed:
        msg.fail(f"{len(failed)} cells failed")
        msg.table(failed, header=("Cell", "Log", "Its last line"), divider=True, max_col=100)
        raise typer.Exit(1)
    msg.good(f"All results are in {output}")


def _save_frame(path: Path, grid: Grid, cells: list[Cell], output: Path) -> None:
    """Put the grid's file and the gold beside the results, which the report reads together."""
    from ..experiments.cell import dataset_gold
    from ..experiments.results import GRID_FILE
    from ..experiments.runs import gold_path, save_json
    from ..files import file_written_aside

    # First, so that nothing is written where the data are not at hand.
    golds = [dataset_gold(grid, dataset) for dataset in sorted({cell.dataset for cell in cells})]
    with file_written_aside(output / GRID_FILE) as aside:
        aside.write_bytes(path.read_bytes())
    for gold in golds:
        save_json(gold, gold_path(output, gold.dataset, gold.split))


def find_todo(grid: Grid, cells: list[Cell], output: Path) -> list[Cell]:
    """The cells that have no result of the same config and data."""
    from ..experiments.cell import hash_config, hash_data
    from ..experiments.runs import load_run, run_path

    # Of every arm, so that what is missing is named before anything is run; seeds share it.
    wanted = {
        arm: (hash_config(grid, cell), hash_data(grid, cell), grid.split)
        for arm, cell in {cell.arm: cell for cell in cells}.items()
    }
    todo = []
    for cell in cells:
        path = run_path(output, cell.name)
        run = load_run(path) if path.is_file() else None
        if run is None or (run.config_sha256, run.data_sha256, run.split) != wanted[cell.arm]:
            todo.append(cell)
    return todo


def find_outdated(grid: Grid, cells: list[Cell], output: Path) -> list[Cell]:
    """The cells that have a result of another config. Their data need not be at hand."""
    from ..experiments.cell import hash_config
    from ..experiments.runs import load_run, run_path

    return [
        cell
        for cell in cells
        if (path := run_path(output, cell.name)).is_file()
        and load_run(path).config_sha256 != hash_config(grid, cell)
    ]


def _run_all(
    cells: list[Cell], output: Path, work: Path, jobs: int, gpu_id: int
) -> list[tuple[str, str, str]]:
    """Run each cell in a process of its own, as the grid beside the results declares it.

    returns: of the cells that failed, the name, the log and its last line.
    """
    from tqdm import tqdm

    failed = []
    with (
        ThreadPoolExecutor(jobs) as pool,
        tqdm(total=len(cells), unit=" cells", disable=None) as bar,
    ):
        runs = {pool.submit(_run_aside, cell, output, work, gpu_id): cell for cell in cells}
        try:
            for done in as_completed(runs):
                bar.update()
                if (problem := done.result()) is not None:
                    failed.append((runs[done].name, *problem))
                    bar.write(f"{runs[done].name} failed: {problem[1]}")
        except BaseException:
            # Ctrl-C ends the cells that run, and must not start those that wait.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return sorted(failed)


def _run_aside(cell: Cell, output: Path, work: Path, gpu_id: int) -> tuple[str, str] | None:
    """Run one cell in another process; returns its log and the last line there where it fails."""
    from ..experiments.results import GRID_FILE

    log = work / f"{cell.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "spacy_vokens.experiments.cell", str(output / GRID_FILE)]
    command += [cell.name, str(output), str(work / cell.name), str(gpu_id)]
    with log.open("w", encoding="utf-8") as file:
        result = subprocess.run(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | dict.fromkeys(THREADS, "1"),
        )
    if result.returncode == 0:
        return None
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
    return str(log), last
