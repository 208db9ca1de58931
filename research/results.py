"""A folder of runs, read and checked: the grid, the gold entities, and the runs of each arm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spacy_vokens.files import VokensError, read_object

from .grid import Cell, Grid, grid_arms, read_grid
from .runs import Gold, Run, gold_path, load_gold, load_run, run_path

GRID_FILE = "grid.yml"


@dataclass(frozen=True)
class Results:
    """All results of a grid so far.

    Attributes:
        grid: The grid.
        gold: Gold entities by dataset.
        runs: Runs by dataset and arm ("tagger-images"), sorted by seed. Arms without any run are
            left out.
        matching: Retrieval scores of matching models, written by
            `spacy vokens evaluate-retrieval`, by the file's name in the folder `matching`.
    """

    grid: Grid
    gold: dict[str, Gold]
    runs: dict[str, dict[str, list[Run]]]
    matching: dict[str, dict[str, Any]]

    @property
    def n_runs(self) -> int:
        """Number of runs of all arms."""
        return sum(len(runs) for arms in self.runs.values() for runs in arms.values())

    def find(self, arm: str) -> list[Run]:
        """Return the runs of an arm ("dataset/tagger-images"); empty if it was not run."""
        dataset, _, local_arm = arm.rpartition("/")
        return self.runs.get(dataset, {}).get(local_arm, [])


def load_results(folder: Path) -> Results:
    """Read a folder written by `python -m research run`.

    Args:
        folder: The folder.

    Raises:
        FileNotFoundError: If the folder holds no grid.
        VokensError: If a file is invalid, or a run belongs to another cell than its file name
            says, has another config or other data than the first run of its arm, or was scored
            against other gold entities than the folder's. The message names the file.
    """
    if not (folder / GRID_FILE).is_file():
        raise FileNotFoundError(
            f"{folder} has no {GRID_FILE}. Name a folder written by 'python -m research run'."
        )
    grid = read_grid(folder / GRID_FILE)
    gold: dict[str, Gold] = {}
    runs: dict[str, dict[str, list[Run]]] = {}
    for dataset in grid.datasets:
        path = gold_path(folder, dataset, grid.split)
        if not path.is_file():
            continue
        gold[dataset] = load_gold(path)
        runs[dataset] = {}
        for cells in grid_arms(grid, dataset):
            found = {
                path: load_run(path)
                for cell in cells
                if (path := run_path(folder, cell.name)).is_file()
            }
            _check_arm(folder, found, gold[dataset])
            if found:
                runs[dataset][cells[0].local_arm] = list(found.values())
    files = sorted((folder / "matching").glob("*.json"))
    return Results(grid, gold, runs, {path.stem: _read_retrieval(path) for path in files})


def _check_arm(folder: Path, runs: dict[Path, Run], gold: Gold) -> None:
    """Raise VokensError if a mean over the runs of an arm would be meaningless."""
    again = "Run 'python -m research run' again."
    first = next(iter(runs.values()), None)
    for path, run in runs.items():
        cell = Cell(run.dataset, run.tagger, run.images, run.seed)
        if run_path(folder, cell.name) != path:
            raise VokensError(f"{path} holds the run of another cell, {cell.name}. {again}")
        if (run.split, run.gold_sha256) != (gold.split, gold.sha256):
            raise VokensError(
                f"{path} was scored on other tokens or tags than the gold file of {gold.dataset!r} "
                f"({gold.split}) holds. {again}"
            )
        for what, name in (("config", "another config"), ("data", "other data")):
            hashes = [getattr(r, f"{what}_sha256") for r in (first, run)]
            if len(set(hashes)) > 1:
                raise VokensError(f"{path} has {name} than the first run of its arm. {again}")


def _read_retrieval(path: Path) -> dict[str, Any]:
    report = read_object(path)
    if "retrieval" not in report:
        raise VokensError(f"{path} was not written by 'spacy vokens evaluate-retrieval'.")
    retrieval: dict[str, Any] = report["retrieval"]
    return retrieval
