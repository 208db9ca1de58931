from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import srsly
from hypothesis import given
from hypothesis import strategies as st
from spacy.util import load_config

from research.grid import (
    IMAGES,
    Cell,
    CellGroup,
    Dataset,
    Grid,
    cell_overrides,
    grid_cells,
    read_grid,
)
from tests.conftest import CONFIGS

ROOT = CONFIGS.parent
GRIDS = sorted((ROOT / "research" / "plans").glob("*.yml"))
PATHS = {name: Path(name) for name in ("train", "dev", "test", "pool")}

VALID = """
title: A grid
config: config.cfg
datasets:
  tweets: {train: a.spacy, dev: b.spacy, test: c.spacy, pool: pool}
  posts: {train: d.spacy, dev: e.spacy, test: f.spacy, pool: pool, vokenizer: v}
taggers:
  gated: {}
  text-only: {fusion: none}
cells:
  - {dataset: tweets, tagger: text-only, images: none, seeds: 2}
  - {dataset: [tweets, posts], tagger: gated, images: [retrieved, query]}
  - {dataset: posts, tagger: gated, images: given, not_run: "no images available"}
comparisons:
  - {of: tweets/gated-retrieved, against: tweets/text-only-none, primary: true}
  - {of: posts/gated-retrieved, against: tweets/gated-retrieved}
"""

names = st.lists(st.sampled_from("xyz"), min_size=1, max_size=3)
entries = st.lists(
    st.builds(
        CellGroup,
        dataset=names,
        tagger=names,
        images=st.lists(st.sampled_from(IMAGES), min_size=1, max_size=3),
        seeds=st.integers(1, 3),
        not_run=st.none() | st.just("for a reason"),
    ),
    max_size=4,
)


def make_grid(cells: list[CellGroup], **values: Any) -> Grid:
    known = {
        "datasets": {id: Dataset(**PATHS) for id in "xyz"},
        "taggers": {id: {} for id in "xyz"},
    }
    return Grid(title="A grid", config=Path("config.cfg"), cells=cells, **(known | values))


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        (tmp_path / "grid.yml").write_text(text, encoding="utf-8")
        return tmp_path / "grid.yml"

    return write


def test_a_grid_is_read(write: Callable[[str], Path]) -> None:
    grid = read_grid(write(VALID))
    assert (grid.title, grid.config, grid.split) == ("A grid", Path("config.cfg"), "test")
    assert grid.datasets["tweets"].vokenizer is None
    assert grid.datasets["posts"].vokenizer == Path("v")
    assert grid.taggers == {"gated": {}, "text-only": {"fusion": "none"}}
    # A name alone is a list of one.
    assert grid.cells[0].dataset == ["tweets"]
    assert grid.cells[1].dataset == ["tweets", "posts"]
    assert [cell.name for cell in grid_cells(grid)] == [
        "tweets/text-only-none-0",
        "tweets/gated-retrieved-0",
        "tweets/gated-query-0",
        "posts/gated-retrieved-0",
        "posts/gated-query-0",
        "tweets/text-only-none-1",
    ]


@given(entries)
def test_the_first_seeds_come_first_and_each_cell_once(cells: list[CellGroup]) -> None:
    found = grid_cells(make_grid(cells))
    assert [cell.seed for cell in found] == sorted(cell.seed for cell in found)
    assert len({cell.name for cell in found}) == len(found)
    # Within a seed they stand as in the file.
    first = [
        Cell(dataset, tagger, images, 0)
        for entry in cells
        if entry.not_run is None
        for dataset in entry.dataset
        for tagger in entry.tagger
        for images in entry.images
    ]
    assert [cell for cell in found if cell.seed == 0] == list(dict.fromkeys(first))


@given(entries)
def test_every_declared_cell_is_run_unless_it_is_said_not_to_be(cells: list[CellGroup]) -> None:
    found = set(grid_cells(make_grid(cells)))
    declared = {
        (Cell(dataset, tagger, images, seed), entry.not_run is None)
        for entry in cells
        for dataset in entry.dataset
        for tagger in entry.tagger
        for images in entry.images
        for seed in range(entry.seeds)
    }
    assert found == {cell for cell, is_run in declared if is_run}


def test_cells_of_different_seeds_share_their_arm() -> None:
    one, other = (Cell("tweets", "gated", "random", seed) for seed in (0, 1))
    assert one.arm == other.arm == "tweets/gated-random"
    assert (one.name, other.name) == ("tweets/gated-random-0", "tweets/gated-random-1")


def test_the_more_special_override_wins() -> None:
    everywhere = {"all": "grid", "dataset": "grid", "tagger": "grid", "system.seed": 5}
    dataset = Dataset(**PATHS, overrides={"dataset": "dataset", "tagger": "dataset"})
    grid = make_grid(
        [],
        overrides=everywhere,
        datasets={"x": dataset, "y": Dataset(**PATHS)},
        taggers={"z": {"tagger": "tagger", "system.seed": 6}},
    )
    assert cell_overrides(grid, Cell("x", "z", "none", 3)) == {
        "all": "grid",
        "dataset": "dataset",
        "tagger": "tagger",
        "system.seed": 3,
    }
    assert cell_overrides(grid, Cell("y", "z", "none", 0))["dataset"] == "grid"
    # What was declared is left as it was.
    assert grid.overrides == {"all": "grid", "dataset": "grid", "tagger": "grid", "system.seed": 5}


@pytest.mark.parametrize(
    ("old", "new", "where", "reason"),
    [
        ("[tweets, posts]", "[tweets, papers]", "the grid", "no dataset 'papers'"),
        ("tagger: gated", "tagger: gate", "the grid", "no tagger 'gate'"),
        ("images: none", "images: nothing", "the grid", "no images 'nothing'"),
        ("images: given", "images: gives", "the grid", "use one of none, retrieved"),
        ("title: A grid", "title: A grid\nheading: A", "heading", "Extra inputs .* 'A'"),
        ("seeds: 2", "sseeds: 2", "cells.0.sseeds", "Extra inputs .* 2"),
        ("pool: pool}", "pool: pool, root: r}", "datasets.tweets.root", "Extra inputs .* 'r'"),
        ("title: A grid\n", "", "title", "Field required"),
        ("dev: e.spacy, ", "", "datasets.posts.dev", "Field required"),
        (", images: none", "", "cells.0.images", "Field required"),
        ("seeds: 2", "seeds: two", "cells.0.seeds", "integer.* 'two'"),
        ("seeds: 2", "seeds: 0", "cells.0.seeds", "greater than or equal to 1 .*0"),
        ("train: d.spacy", "train: [d.spacy]", "datasets.posts.train", r"path.* \['d.spacy'\]"),
        ("gated: {}", "gated: 3", "taggers.gated", "dictionary .*3"),
        ("images: given", "images: {given: 1}", "cells.2.images", "list .*'given'"),
        (
            "config: config.cfg",
            "config: config.cfg\nsplit: all",
            "split",
            "'dev' or 'test'.* 'all'",
        ),
        ("cells:\n", "cells: none\nothers:\n", "cells", "list.* 'none'"),
        (
            "of: posts/gated-retrieved",
            "of: posts/gated-given",
            "the grid",
            "no cells 'posts/gated-given': use one of posts/gated-query, ",
        ),
        (
            "against: tweets/gated-retrieved",
            "against: tweets/gated-query, primary: true",
            "the grid",
            "more than one comparison is primary",
        ),
    ],
)
def test_what_cannot_be_is_named(
    write: Callable[[str], Path], old: str, new: str, where: str, reason: str
) -> None:
    assert old in VALID
    path = write(VALID.replace(old, new, 1))
    with pytest.raises(ValueError, match=reason) as error:
        read_grid(path)
    assert str(error.value).startswith(f"{path}: {where}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "- a list\n", "a text"])
def test_a_file_of_something_else_is_named(write: Callable[[str], Path], text: str) -> None:
    path = write(text)
    with pytest.raises(ValueError, match="grid.yml: the grid: "):
        read_grid(path)


@pytest.mark.parametrize("text", ["title: [", "title: a\ntitle: b\n", "\ttitle: a", "a: \x00"])
def test_broken_yaml_is_named(write: Callable[[str], Path], text: str) -> None:
    path = write(text)
    with pytest.raises(ValueError, match="grid.yml is not a YAML file"):
        read_grid(path)


def test_a_file_that_is_no_text_is_named(write: Callable[[str], Path]) -> None:
    path = write("")
    path.write_bytes(b"title: \xff\xfe")
    with pytest.raises(ValueError, match="grid.yml is not a YAML file"):
        read_grid(path)


def test_the_tiny_grid_of_the_tests_is_read_as_it_was_written(
    grid_values: dict[str, Any], write_grid: Callable[[dict[str, Any]], Path]
) -> None:
    path = write_grid(grid_values)
    assert srsly.read_yaml(path) == grid_values
    assert [cell.name for cell in grid_cells(read_grid(path))] == ["tiny/text-only-none-0"]


def test_there_are_grids() -> None:
    assert ROOT / "research" / "plans" / "twitter.yml" in GRIDS


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.stem)
def test_the_grids_override_what_their_config_holds(path: Path) -> None:
    grid = read_grid(path)
    assert grid_cells(grid)
    config = load_config(ROOT / grid.config, interpolate=False)
    of_datasets = [dataset.overrides for dataset in grid.datasets.values()]
    for overrides in (grid.overrides, *of_datasets, *grid.taggers.values()):
        for name in overrides:
            *sections, _ = name.split(".")
            parent: Any = config
            for section in sections:
                parent = parent[section]
            assert isinstance(parent, dict), name


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.stem)
def test_the_grids_end_training_with_an_evaluation(path: Path) -> None:
    grid = read_grid(path)
    for cell in grid_cells(grid):
        overrides = cell_overrides(grid, cell)
        assert overrides["training.max_steps"] % overrides["training.eval_frequency"] == 0
