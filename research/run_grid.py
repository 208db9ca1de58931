"""Run a grid: decide which cells have no valid result, and run these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import torch

from spacy_vokens.files import VokensError, file_written_aside

from .gold import read_gold
from .grid import Cell, Grid, grid_cells, read_grid
from .hashes import hash_config, hash_data
from .processes import Failure, run_in_processes
from .results import GRID_FILE
from .runs import gold_path, load_run, run_path, save_json


@dataclass(frozen=True)
class RunOptions:
    """How to run a grid.

    Attributes:
        work: Folder for logs and for models during training.
        jobs: Number of cells to run at a time, with one thread each.
        cells: Pattern of the names of the cells to run, as in `fnmatch`.
        gpu_id: Number of the GPU, or -1 for the CPU.
    """

    work: Path
    jobs: int = 1
    cells: str = "*"
    gpu_id: int = -1


@dataclass(frozen=True)
class GridPlan:
    """What running a grid will do.

    Attributes:
        cells: The selected cells.
        todo: Those that have no result from the same config and data.
        n_replaced: Number of cells in `todo` whose old result will be replaced.
        outdated: Cells that were not selected, but have a result from another config.
    """

    cells: list[Cell]
    todo: list[Cell]
    n_replaced: int
    outdated: list[Cell]

    @property
    def n_finished(self) -> int:
        """Number of selected cells that need not be run."""
        return len(self.cells) - len(self.todo)


def run_grid(
    path: Path,
    output: Path,
    options: RunOptions,
    on_plan: Callable[[GridPlan], None] = lambda plan: None,
) -> list[Failure]:
    """Train and score all selected cells that have no valid result yet.

    The grid file and the gold entities are saved beside the results, since a report needs them.

    Args:
        path: The grid file (YAML).
        output: Folder for one JSON file per run.
        options: How to run it.
        on_plan: Called once before any cell is run.

    Returns:
        The cells that failed, by name; empty if all went well.

    Raises:
        VokensError: If the grid is invalid, no cell is selected, a corpus or pool is invalid, or
            there is no such GPU.
        FileNotFoundError: If data are missing.
    """
    _check_gpu(options.gpu_id)
    grid = read_grid(path)
    every = grid_cells(grid)
    cells = [cell for cell in every if fnmatchcase(cell.name, options.cells)]
    if not cells:
        raise VokensError(
            f"{path} has no cell whose name matches {options.cells!r} (the first of its "
            f"{len(every)} cells: {', '.join(cell.name for cell in every[:3])})."
        )
    todo = find_todo(grid, cells, output)
    plan = GridPlan(
        cells=cells,
        todo=todo,
        n_replaced=sum(run_path(output, cell.name).is_file() for cell in todo),
        outdated=find_outdated(grid, [cell for cell in every if cell not in cells], output),
    )
    _save_grid_and_gold(path, grid, cells, output)
    on_plan(plan)
    return run_in_processes(
        todo, output, work=options.work, jobs=options.jobs, gpu_id=options.gpu_id
    )


def find_todo(grid: Grid, cells: list[Cell], output: Path) -> list[Cell]:
    """Return the cells that have no result from the same config, data and split.

    Args:
        grid: The grid.
        cells: The cells to check.
        output: Folder of the results.

    Raises:
        VokensError: If a result file is invalid.
        FileNotFoundError: If data are missing.
    """
    # Hash the data of all arms first, so that missing data are reported before anything is run.
    # The seeds of an arm share their hashes.
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
    """Return the cells that have a result from another config. Their data are not read."""
    return [
        cell
        for cell in cells
        if (path := run_path(output, cell.name)).is_file()
        and load_run(path).config_sha256 != hash_config(grid, cell)
    ]


def _save_grid_and_gold(path: Path, grid: Grid, cells: list[Cell], output: Path) -> None:
    # Read all gold files first, so that nothing is written if data are missing.
    golds = [read_gold(grid, dataset) for dataset in sorted({cell.dataset for cell in cells})]
    with file_written_aside(output / GRID_FILE) as aside:
        aside.write_bytes(path.read_bytes())
    for gold in golds:
        save_json(gold, gold_path(output, gold.dataset, gold.split))


def _check_gpu(gpu_id: int) -> None:
    if gpu_id >= (n_devices := torch.cuda.device_count()):
        raise VokensError(
            f"There is no GPU {gpu_id}: torch {torch.__version__} finds {n_devices} CUDA devices. "
            "Use --gpu-id -1 for the CPU."
        )
