"""A folder of runs, read and checked: the grid, the gold, and the runs by arm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import read_object
from .grid import Cell, Grid, grid_arms, read_grid
from .runs import Gold, Run, gold_path, load_gold, load_run, run_path

GRID_FILE = "grid.yml"


@dataclass(frozen=True)
class Results:
    """What a grid gave so far.

    grid: as it was declared.
    gold: by dataset.
    runs: by dataset and by arm ("tagger-images"), in the order of their seeds; arms of which
        nothing was run are left out.
    matching: what `spacy vokens evaluate` says of matching models' retrieval, by the name of their
        file in the folder `matching`.
    """

    grid: Grid
    gold: dict[str, Gold]
    runs: dict[str, dict[str, list[Run]]]
    matching: dict[str, dict[str, Any]]

    def find(self, arm: str) -> list[Run]:
        """The runs of an arm by its name among all datasets; none where nothing was run."""
        dataset, _, in_dataset = arm.rpartition("/")
        return self.runs.get(dataset, {}).get(in_dataset, [])


def load_results(folder: Path) -> Results:
    """Read what `spacy vokens experiment` has written.

    raises FileNotFoundError: where the folder holds no grid.
    raises ValueError: naming the run that is another cell's than its file's name says, was made
        with another config or other data than the first of its arm, or was scored on something
        else than the folder's gold.
    """
    if not (folder / GRID_FILE).is_file():
        raise FileNotFoundError(
            f"{folder} has no {GRID_FILE}: 'spacy vokens experiment' writes such a folder."
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
            _check(folder, found, gold[dataset])
            if found:
                runs[dataset][cells[0].in_dataset] = list(found.values())
    files = sorted((folder / "matching").glob("*.json"))
    return Results(grid, gold, runs, {path.stem: _read_retrieval(path) for path in files})


def _check(folder: Path, runs: dict[Path, Run], gold: Gold) -> None:
    """Raise ValueError where a mean over the runs of an arm would mean nothing."""
    again = "Run 'spacy vokens experiment' again."
    first = next(iter(runs.values()), None)
    for path, run in runs.items():
        cell = Cell(run.dataset, run.tagger, run.images, run.seed)
        if run_path(folder, cell.name) != path:
            raise ValueError(f"{path} holds the run of another cell, {cell.name}. {again}")
        if (run.split, run.gold_sha256) != (gold.split, gold.sha256):
            raise ValueError(
                f"{path} was scored on other tokens or tags than {gold.dataset}'s gold file for "
                f"{gold.split!r} holds. {again}"
            )
        for what in ("config", "data"):
            hashes = [getattr(of_run, f"{what}_sha256") for of_run in (first, run)]
            if len(set(hashes)) > 1:
                raise ValueError(
                    f"{path} was made with another {what} than the first run of its arm. {again}"
                )


def _read_retrieval(path: Path) -> dict[str, Any]:
    report = read_object(path)
    if "retrieval" not in report:
        raise ValueError(f"{path} is no report of 'spacy vokens evaluate' on retrieval.")
    retrieval: dict[str, Any] = report["retrieval"]
    return retrieval
