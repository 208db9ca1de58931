"""A folder of runs, read and checked: the grid, the gold, and the runs by arm."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .grid import Grid, arm_name, grid_arms, read_grid
from .runs import Gold, Run, gold_path, load_gold, load_run, run_path
from .significance import Arm, count

GRID_FILE = "grid.yml"


@dataclass(frozen=True)
class Results:
    """What a grid gave so far.

    grid: as it was declared.
    gold: by dataset.
    runs: by dataset and by arm ("tagger-images"), in the order of their seeds; arms of which
        nothing was run are left out.
    matching: reports of `spacy vokens evaluate` on matching models, by the name of their file in
        the folder `matching`.
    """

    grid: Grid
    gold: dict[str, Gold]
    runs: dict[str, dict[str, list[Run]]]
    matching: dict[str, dict[str, Any]]

    def count(self, dataset: str, arm: str) -> Arm:
        """The counts of an arm's runs, sentence by sentence, in the strict reading."""
        spans = [run.spans for run in self.runs[dataset][arm]]
        return count(self.gold[dataset].strict, spans)


def load_results(folder: Path) -> Results:
    """Read what `spacy vokens experiment` has written.

    raises FileNotFoundError: where the folder holds no grid.
    raises ValueError: naming the run that was scored on something else than the folder's gold.
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
            paths = [run_path(folder, cell.name) for cell in cells]
            found = [load_run(path) for path in paths if path.is_file()]
            if any(run.gold_sha256 != gold[dataset].sha256 for run in found):
                raise ValueError(
                    f"A run of {cells[0].arm} was scored on other tokens or tags than {path} "
                    "holds: run 'spacy vokens experiment' again."
                )
            if found:
                runs[dataset][arm_name(cells[0].tagger, cells[0].images)] = found
    matching = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((folder / "matching").glob("*.json"))
    }
    return Results(grid, gold, runs, matching)
