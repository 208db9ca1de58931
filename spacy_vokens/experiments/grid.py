"""A declared grid of trainings: which cells there are, and what each overrides in the config."""

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

from .controls import CONTROLS

# What `Cell.images` may be: a control, or none for a tagger without pictures.
NO_IMAGES = "none"
QUERY = "query"
IMAGES = (NO_IMAGES, *CONTROLS, QUERY)
Overrides = dict[str, Any]
Part = Literal["train", "dev", "test"]
Split = Literal["dev", "test"]
SEED = "system.seed"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Dataset(_Section):
    """A vokenized corpus and the pool that its vokens come from.

    train, dev, test: `.spacy` files of `spacy vokens vokenize`.
    pool: folder of the image pool.
    vokenizer: the pipeline that set the vokens; the images `query` need it.
    source: files with the same sentences in CoNLL, by split, as "report --verify" finds them in
        the folder of the data; `rename` is what `spacy vokens convert` was told.
    overrides: of the config, for this dataset.
    """

    train: Path
    dev: Path
    test: Path
    pool: Path
    vokenizer: Path | None = None
    source: dict[Split, Path] = {}
    rename: dict[str, str] = {}
    overrides: Overrides = {}

    def path(self, part: Part) -> Path:
        """Where the corpus of a part is."""
        return {"train": self.train, "dev": self.dev, "test": self.test}[part]


class Cells(_Section):
    """The cells that combine each of some datasets, taggers, images and seeds.

    dataset, tagger: names of the grid's; one, or a list.
    images: one of `IMAGES`, or a list.
    seeds: how many, from 0 on.
    not_run: why these cells cannot be run; the report shows it in their place.
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
    """A planned comparison of two arms, named "dataset/tagger-images".

    of, against: the arms; the difference is the first one's mean F1 less the second one's.
    primary: whether the experiment is about this one; at most one is.
    """

    of: str
    against: str
    primary: bool = False


class Grid(_Section):
    """What a grid file holds.

    title: heading of the report.
    config: the training config, relative to the working directory, as all paths are.
    overrides: of the config, for all cells.
    datasets, taggers: by name. A tagger is a set of overrides.
    split: which part the trained taggers are scored on.
    cells: which combinations are trained.
    baseline: the arm ("tagger-images") of each dataset that its others are set beside.
    comparisons: which arms are compared; the p-values are corrected for their number.
    """

    title: str
    config: Path
    overrides: Overrides = {}
    datasets: dict[str, Dataset]
    taggers: dict[str, Overrides]
    split: Split = "test"
    cells: list[Cells]
    baseline: str = "text-only-none"
    comparisons: list[Comparison] = []

    @model_validator(mode="after")
    def _names_are_known(self) -> Grid:
        for cells in self.cells:
            for kind, known in (
                ("dataset", self.datasets),
                ("tagger", self.taggers),
                ("images", IMAGES),
            ):
                unknown = set(getattr(cells, kind)) - set(known)
                if unknown:
                    raise ValueError(
                        f"no {kind} is called {min(unknown)!r}: there are {', '.join(known)}"
                    )
        arms = {cell.arm for cell in grid_cells(self)}
        for comparison in self.comparisons:
            for arm in (comparison.of, comparison.against):
                if arm not in arms:
                    raise ValueError(
                        f"no cells are called {arm!r}: there are {', '.join(sorted(arms))}"
                    )
        if sum(comparison.primary for comparison in self.comparisons) > 1:
            raise ValueError("more than one comparison is primary")
        return self


@dataclass(frozen=True)
class Cell:
    """One training.

    dataset, tagger: names of the grid's.
    images: one of `IMAGES`.
    seed: of the training, and of what the control draws.
    """

    dataset: str
    tagger: str
    images: str
    seed: int

    @property
    def in_dataset(self) -> str:
        """Names, within its dataset, what it has in common with the cells of other seeds."""
        return f"{self.tagger}-{self.images}"

    @property
    def arm(self) -> str:
        """Names the same among all datasets."""
        return f"{self.dataset}/{self.in_dataset}"

    @property
    def name(self) -> str:
        """Names its result: a relative path without a suffix."""
        return f"{self.arm}-{self.seed}"


def read_grid(path: Path) -> Grid:
    """Read a grid file (YAML).

    raises ValueError: naming the file, and the value that cannot be.
    """
    try:
        return Grid.model_validate(srsly.read_yaml(path))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "the grid"
        raise ValueError(
            f"{path}: {where}: {problem['msg']} (found {problem['input']!r:.80})"
        ) from error
    except ValueError as error:
        raise ValueError(f"{path} is no YAML file: {error}") from error


def grid_cells(grid: Grid) -> list[Cell]:
    """The cells to run, each once, the first seed of all before the second of any."""
    cells = [
        Cell(dataset, tagger, images, seed)
        for entry in grid.cells
        if entry.not_run is None
        for dataset in entry.dataset
        for tagger in entry.tagger
        for images in entry.images
        for seed in range(entry.seeds)
    ]
    return sorted(dict.fromkeys(cells), key=lambda cell: cell.seed)


def grid_arms(grid: Grid, dataset: str) -> list[list[Cell]]:
    """The cells of a dataset arm by arm, in the order of the grid's file, seed by seed."""
    arms: dict[str, list[Cell]] = {}
    for cell in grid_cells(grid):
        if cell.dataset == dataset:
            arms.setdefault(cell.arm, []).append(cell)
    return list(arms.values())


def cell_overrides(grid: Grid, cell: Cell) -> Overrides:
    """What the cell overrides in the config; a tagger's values win over its dataset's."""
    return {
        **grid.overrides,
        **grid.datasets[cell.dataset].overrides,
        **grid.taggers[cell.tagger],
        SEED: cell.seed,
    }
