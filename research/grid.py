"""A grid of training runs: its file, its cells, and what each cell overrides in the config."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import srsly
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from spacy_vokens.files import VokensError

from .controls import CONTROLS

# The values of `Cell.images`: no images, a control, or the query vectors.
NO_IMAGES = "none"
QUERY = "query"
IMAGES = (NO_IMAGES, *CONTROLS, QUERY)
Overrides = dict[str, Any]
Split = Literal["train", "dev", "test"]
ScoredSplit = Literal["dev", "test"]
SEED = "system.seed"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Dataset(_Section):
    """A vokenized corpus and the pool that its vokens come from.

    Attributes:
        train: `.spacy` file written by `spacy vokens vokenize`.
        dev: The same.
        test: The same.
        pool: Folder of the image pool.
        vokenizer: The pipeline that set the vokens. The images `query` and the gallery need it.
        source: By split, the CoNLL file with the same sentences, relative to the folder given to
            `report --verify`.
        rename: Labels that `spacy vokens convert` was told to rename, and their new names.
        overrides: Config values for this dataset.
    """

    train: Path
    dev: Path
    test: Path
    pool: Path
    vokenizer: Path | None = None
    source: dict[ScoredSplit, Path] = {}
    rename: dict[str, str] = {}
    overrides: Overrides = {}

    def path(self, split: Split) -> Path:
        """Return the corpus file of a split."""
        return {"train": self.train, "dev": self.dev, "test": self.test}[split]

    def require_vokenizer(self) -> Path:
        """Return the vokenizer.

        Raises:
            VokensError: If the dataset names none.
        """
        if self.vokenizer is None:
            raise VokensError("The images 'query' need the dataset's 'vokenizer': add its path.")
        return self.vokenizer


class CellGroup(_Section):
    """All combinations of some datasets, taggers, images and seeds.

    Attributes:
        dataset: Names of the grid's datasets; one name or a list.
        tagger: Names of the grid's taggers; one name or a list.
        images: Values of `IMAGES`; one or a list.
        seeds: Number of seeds, counted from 0.
        not_run: Why these cells cannot be run. The report prints it in place of their scores.
    """

    dataset: list[str]
    tagger: list[str]
    images: list[str]
    seeds: int = Field(1, ge=1)
    not_run: str | None = None

    @field_validator("dataset", "tagger", "images", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class Comparison(_Section):
    """A planned comparison of two arms, each named "dataset/tagger-images".

    Attributes:
        of: The first arm.
        against: The second arm. The difference is the first one's mean F1 minus this one's.
        primary: Whether this is the main question of the experiment; at most one is.
    """

    of: str
    against: str
    primary: bool = False


class Grid(_Section):
    """The contents of a grid file.

    Attributes:
        title: Heading of the report.
        config: The training config, relative to the working directory, as all paths are.
        overrides: Config values for all cells.
        datasets: Datasets by name.
        taggers: Taggers by name. A tagger is a set of config values.
        split: The split that trained taggers are scored on.
        cells: The combinations to train.
        baseline: The arm ("tagger-images") that the other arms of a dataset are compared with.
        comparisons: Planned comparisons. The p-values are corrected for their number.
    """

    title: str
    config: Path
    overrides: Overrides = {}
    datasets: dict[str, Dataset]
    taggers: dict[str, Overrides]
    split: ScoredSplit = "test"
    cells: list[CellGroup]
    baseline: str = "text-only-none"
    comparisons: list[Comparison] = []

    @property
    def splits(self) -> list[Split]:
        """The splits that a cell reads. Nothing else may reach its training."""
        return list(dict.fromkeys(("train", "dev", self.split)))

    # Pydantic turns the ValueErrors into a ValidationError, which `read_grid` reports.
    @model_validator(mode="after")
    def _check_names(self) -> Grid:
        for group in self.cells:
            for kind, known in (
                ("dataset", self.datasets),
                ("tagger", self.taggers),
                ("images", IMAGES),
            ):
                unknown = set(getattr(group, kind)) - set(known)
                if unknown:
                    raise ValueError(f"no {kind} {min(unknown)!r}: use one of {', '.join(known)}")
        arms = {cell.arm for cell in grid_cells(self)}
        for comparison in self.comparisons:
            for arm in (comparison.of, comparison.against):
                if arm not in arms:
                    raise ValueError(f"no cells {arm!r}: use one of {', '.join(sorted(arms))}")
        if sum(comparison.primary for comparison in self.comparisons) > 1:
            raise ValueError("more than one comparison is primary")
        return self


@dataclass(frozen=True)
class Cell:
    """One training run.

    Attributes:
        dataset: Name of the dataset.
        tagger: Name of the tagger.
        images: One of `IMAGES`.
        seed: Seed of the training run, and of what the control draws.
    """

    dataset: str
    tagger: str
    images: str
    seed: int

    @property
    def local_arm(self) -> str:
        """Name of its arm within the dataset. Cells that differ only in the seed share it."""
        return f"{self.tagger}-{self.images}"

    @property
    def arm(self) -> str:
        """Name of its arm among all datasets."""
        return f"{self.dataset}/{self.local_arm}"

    @property
    def name(self) -> str:
        """Name of its result: a relative path without a suffix."""
        return f"{self.arm}-{self.seed}"


def read_grid(path: Path) -> Grid:
    """Read a grid file (YAML).

    Args:
        path: The file.

    Raises:
        VokensError: If it is invalid; the message names the file and the value.
    """
    try:
        return Grid.model_validate(srsly.read_yaml(path))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "the grid"
        raise VokensError(
            f"{path}: {where}: {problem['msg']} (found {problem['input']!r:.80})"
        ) from error
    except ValueError as error:
        raise VokensError(f"{path} is not a YAML file: {error}") from error


def grid_cells(grid: Grid) -> list[Cell]:
    """Return every cell to run once: all cells with seed 0, then all with seed 1, and so on."""
    cells = [
        Cell(dataset, tagger, images, seed)
        for group in grid.cells
        if group.not_run is None
        for dataset in group.dataset
        for tagger in group.tagger
        for images in group.images
        for seed in range(group.seeds)
    ]
    return sorted(dict.fromkeys(cells), key=lambda cell: cell.seed)


def grid_arms(grid: Grid, dataset: str) -> list[list[Cell]]:
    """Group the cells of a dataset by arm.

    Args:
        grid: The grid.
        dataset: Name of the dataset.

    Returns:
        One list of cells per arm, sorted by seed. The arms are in the order of the grid file.
    """
    arms: dict[str, list[Cell]] = {}
    for cell in grid_cells(grid):
        if cell.dataset == dataset:
            arms.setdefault(cell.arm, []).append(cell)
    return list(arms.values())


def cell_overrides(grid: Grid, cell: Cell) -> Overrides:
    """Return the config values that a cell overrides.

    Args:
        grid: The grid.
        cell: One of its cells.

    Returns:
        Values by their dotted names. The dataset's values take precedence over the grid's, and the
        tagger's over both.
    """
    return {
        **grid.overrides,
        **grid.datasets[cell.dataset].overrides,
        **grid.taggers[cell.tagger],
        SEED: cell.seed,
    }
