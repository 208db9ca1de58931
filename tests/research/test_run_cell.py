from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc
from spacy.vocab import Vocab

from research.gold import read_gold
from research.grid import Cell, Grid, grid_cells, read_grid
from research.hashes import hash_config, hash_data
from research.run_cell import PACKAGES, main, run_cell
from research.runs import gold_path, load_run, run_path, save_json, score_run
from spacy_vokens.attributes import set_token_values
from spacy_vokens.corpus.docbin import load_docs, save_docs
from spacy_vokens.images.pool import ImagePool, PoolContent
from tests.conftest import LANG
from tests.research.conftest import IMPOSSIBLE, ground

SPLITS = ("train", "dev", "test")
TEXT_ONLY = Cell("tiny", "text-only", "none", 0)
GATED = Cell("tiny", "gated", "retrieved", 0)
QUERY = Cell("tiny", "gated", "query", 0)


@pytest.fixture
def grid(grid_values: dict[str, Any], write_grid: Callable[[dict[str, Any]], Path]) -> Grid:
    return read_grid(write_grid(grid_values))


@pytest.fixture
def copied(grid: Grid, tmp_path: Path) -> Grid:
    """The grid with all that it reads copied elsewhere, where a test may change it."""
    (dataset,) = grid.datasets.values()
    folder = tmp_path / "copied"
    (folder / "a").mkdir(parents=True)
    corpora = {}
    for number, split in enumerate(SPLITS):
        corpora[split] = folder / "a" / f"{number}.spacy"
        shutil.copy(getattr(dataset, split), corpora[split])
    for name, path in (
        ("pool", dataset.pool),
        ("vokenizer", dataset.vokenizer),
        ("encoder", grid.overrides["paths.text_encoder"]),
    ):
        shutil.copytree(path, folder / "a" / name)
    shutil.copy(grid.config, folder / "other.cfg")
    moved = {name: folder / "a" / name for name in ("pool", "vokenizer")}
    return grid.model_copy(
        update={
            "config": folder / "other.cfg",
            "datasets": {"tiny": dataset.model_copy(update=corpora | moved)},
            "overrides": grid.overrides | {"paths.text_encoder": str(folder / "a" / "encoder")},
        }
    )


def change(path: Path) -> None:
    """A voken of a corpus, or a byte of another file."""
    if path.suffix == ".spacy":
        change_corpus(path, "voken", "egg")
    else:
        path.write_bytes(path.read_bytes() + b" ")


def change_corpus(path: Path, name: str, value: str) -> None:
    """Set an attribute of every token."""
    docs = load_docs(path, Vocab())
    for doc in docs:
        if name == "tag":
            doc._.visual_raw_tags = [value] * len(doc)
        else:
            set_token_values(doc, name, [value] * len(doc))
    save_docs(docs, path)


# What the hashes are of


def test_a_copy_has_the_same_hashes(grid: Grid, copied: Grid) -> None:
    for cell in (TEXT_ONLY, GATED, QUERY):
        assert hash_config(copied, cell) == hash_config(grid, cell)
        assert hash_data(copied, cell) == hash_data(grid, cell)


def test_comments_of_the_config_are_not_hashed_but_its_values(copied: Grid) -> None:
    before = hash_config(copied, GATED)
    text = copied.config.read_text(encoding="utf-8")
    copied.config.write_text("# A comment\n\n" + text, encoding="utf-8")
    assert hash_config(copied, GATED) == before
    changed = text.replace("voken_dropout = 0.1", "voken_dropout = 0.2")
    assert changed != text
    copied.config.write_text(changed, encoding="utf-8")
    assert hash_config(copied, GATED) != before


def test_what_makes_cells_different_is_hashed(grid: Grid) -> None:
    cells = [
        TEXT_ONLY,
        GATED,
        QUERY,
        Cell("tiny", "attention", "retrieved", 0),
        Cell("tiny", "gated", "zero", 0),
    ]
    assert len({hash_config(grid, cell) for cell in cells}) == len(cells)
    assert len({hash_data(grid, cell) for cell in cells}) == 3, "none, the pool, the vokenizer too"


def test_seeds_share_their_hashes(grid: Grid) -> None:
    one, other = GATED, replace(GATED, seed=1)
    assert hash_config(grid, one) == hash_config(grid, other)
    assert hash_data(grid, one) == hash_data(grid, other)


@pytest.mark.parametrize("where", ["grid", "dataset", "tagger"])
def test_overrides_are_hashed_wherever_they_stand(grid: Grid, where: str) -> None:
    before = hash_config(grid, GATED)
    overrides = {
        "grid": grid.overrides,
        "dataset": grid.datasets["tiny"].overrides,
        "tagger": grid.taggers["gated"],
    }[where]
    overrides["training.dropout"] = 0.25
    assert hash_config(grid, GATED) != before
    overrides["training.dropout"] = 0.5
    assert hash_config(grid, GATED) != before


def test_what_the_grid_says_of_other_cells_is_not_hashed(grid: Grid) -> None:
    before = hash_config(grid, GATED), hash_data(grid, GATED)
    grid.taggers["text-only"]["training.dropout"] = 0.25
    other = grid.model_copy(update={"title": "Another", "cells": []})
    assert (hash_config(other, GATED), hash_data(other, GATED)) == before


@pytest.mark.parametrize(
    ("changed", "seen_by"),
    [
        ("0.spacy", [GATED, QUERY]),
        ("1.spacy", [GATED, QUERY]),
        ("2.spacy", [GATED, QUERY]),
        ("encoder/model.safetensors", [TEXT_ONLY, GATED, QUERY]),
        ("vokenizer/voken_retriever/cfg.json", [QUERY]),
    ],
)
def test_data_that_a_cell_reads_are_hashed(
    copied: Grid, changed: str, seen_by: list[Cell], tmp_path: Path
) -> None:
    cells = (TEXT_ONLY, GATED, QUERY)
    before = {cell: hash_data(copied, cell) for cell in cells}
    configs = {cell: hash_config(copied, cell) for cell in cells}
    change(tmp_path / "copied" / "a" / changed)
    assert [cell for cell in cells if hash_data(copied, cell) != before[cell]] == seen_by
    assert {cell: hash_config(copied, cell) for cell in cells} == configs


@pytest.mark.parametrize("number", range(3))
def test_tokens_and_tags_are_all_that_a_cell_without_images_reads(
    copied: Grid, number: int, tmp_path: Path
) -> None:
    path = tmp_path / "copied" / "a" / f"{number}.spacy"
    before = hash_data(copied, TEXT_ONLY)
    change_corpus(path, "voken", "egg")
    assert hash_data(copied, TEXT_ONLY) == before
    change_corpus(path, "tag", "B-PER")
    assert hash_data(copied, TEXT_ONLY) != before


def test_another_pool_is_other_data_and_its_place_is_not(copied: Grid, tmp_path: Path) -> None:
    dataset = copied.datasets["tiny"]
    pool = ImagePool.open(dataset.pool)
    cells = (TEXT_ONLY, GATED, QUERY)

    def hashes(name: str, added: float) -> list[str]:
        made = ImagePool.write(
            tmp_path / name,
            PoolContent(
                pool.records,
                pool.features + np.float32(added),
                encoder=pool.encoder,
                image_root=tmp_path,
            ),
        )
        moved = dataset.model_copy(update={"pool": made.path})
        grid = copied.model_copy(update={"datasets": {"tiny": moved}})
        return [hash_data(grid, cell) for cell in cells]

    before = [hash_data(copied, cell) for cell in cells]
    assert hashes("same", 0) == before
    changed = [one != other for one, other in zip(hashes("other", 1), before, strict=True)]
    assert changed == [False, True, True]


def test_a_model_of_a_hub_is_hashed_by_its_name(grid: Grid) -> None:
    found = set()
    for name in ("bert-base-cased", "bert-base-uncased"):
        overrides = grid.overrides | {"paths.text_encoder": name}
        found.add(hash_data(grid.model_copy(update={"overrides": overrides}), TEXT_ONLY))
    assert len(found) == 2


def test_a_file_of_another_name_is_other_data(copied: Grid, tmp_path: Path) -> None:
    before = hash_data(copied, GATED)
    encoder = tmp_path / "copied" / "a" / "encoder"
    (encoder / "vocab.txt").rename(encoder / "words.txt")
    assert hash_data(copied, GATED) != before


def test_the_test_part_is_no_data_of_a_grid_on_dev(copied: Grid, tmp_path: Path) -> None:
    grid = copied.model_copy(update={"split": "dev"})
    before = hash_data(grid, GATED)
    assert before != hash_data(copied, GATED)
    change(tmp_path / "copied" / "a" / "2.spacy")
    assert hash_data(grid, GATED) == before


@pytest.mark.parametrize(
    "missing", ["0.spacy", "1.spacy", "2.spacy", "pool", "vokenizer", "encoder"]
)
def test_what_is_missing_is_named_before_the_training(
    copied: Grid, missing: str, tmp_path: Path
) -> None:
    path = tmp_path / "copied" / "a" / missing
    gold = read_gold(copied, "tiny")
    if path.is_dir():
        shutil.rmtree(path)
        # An empty folder is as good as none.
        path.mkdir()
    else:
        path.unlink()
    work = tmp_path / "work"
    work.mkdir()
    for attempt in (hash_data, lambda grid, cell: run_cell(grid, cell, gold, work)):
        expected = (FileNotFoundError, ValueError)
        with pytest.raises(
            expected, match=rf"{missing} is (missing|no image pool|not an image pool)"
        ):
            attempt(copied, QUERY)
    assert list(work.iterdir()) == []


# Running a cell


def run(grid: Grid, cell: Cell, work: Path) -> Any:
    work.mkdir()
    return run_cell(grid, cell, read_gold(grid, cell.dataset), work)


def test_a_run_says_what_it_is_and_what_it_found(grid: Grid, tmp_path: Path) -> None:
    gold = read_gold(grid, "tiny")
    found = run(grid, GATED, tmp_path / "work")
    assert (found.dataset, found.tagger, found.images, found.seed) == (
        "tiny",
        "gated",
        "retrieved",
        0,
    )
    assert found.split == "test"
    assert found.config_sha256 == hash_config(grid, GATED)
    assert found.data_sha256 == hash_data(grid, GATED)
    assert found.gold_sha256 == gold.sha256
    assert found.versions == {package: version(package) for package in PACKAGES}
    assert found.commit
    assert "1 threads" in found.machine
    assert found.seconds > 0
    # The test part is the training part, but for a sentence and an empty document.
    assert [step for step, _ in found.dev] == [0, 20, 40]
    assert found.dev[-1][1] == 1.0
    assert found.spans[2:] == gold.strict[2:]
    assert found.spans[1] == []
    assert found.scores == score_run(gold, found.spans)
    # A tagger's entity that is ill-formed in the corpus is right in the lenient reading alone.
    assert found.scores["strict"]["mentions"] == found.scores["lenient"]["mentions"] - 1
    assert [len(gates) for gates in found.gates] == gold.lengths
    assert all(0 < gate < 1000 for gates in found.gates for gate in gates)


def test_the_same_cell_gives_the_same_run(grid: Grid, tmp_path: Path) -> None:
    cell = Cell("tiny", "attention", "random", 1)
    one, other = (run(grid, cell, tmp_path / name) for name in ("one", "other"))
    assert replace(one, seconds=0) == replace(other, seconds=0)
    changed = run(grid, replace(cell, seed=2), tmp_path / "third")
    assert changed.gates != one.gates


def test_a_cell_without_images_reads_no_pool(copied: Grid, tmp_path: Path) -> None:
    gold = read_gold(copied, "tiny")
    shutil.rmtree(tmp_path / "copied" / "a" / "pool")
    (tmp_path / "work").mkdir()
    found = run_cell(copied, TEXT_ONLY, gold, tmp_path / "work")
    assert found.gates is None
    assert found.spans[2:] == gold.strict[2:]
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == [
        "evaluations.jsonl",
        "model",
    ]


def test_no_word_is_in_a_run(
    grid: Grid, vokenizer_path: Path, pool: ImagePool, tmp_path: Path
) -> None:
    words = [[f"wort{row}nr{i}" for i in range(4)] for row in range(3)]
    docs = [Doc(Vocab(), words=of_doc, ents=["B-PER", "I-PER", "O", "B-LOC"]) for of_doc in words]
    path = tmp_path / "words.spacy"
    save_docs(ground(docs, vokenizer_path), path)
    dataset = grid.datasets["tiny"].model_copy(update=dict.fromkeys(SPLITS, path))
    grid = grid.model_copy(update={"datasets": {"tiny": dataset}})
    found = run(grid, GATED, tmp_path / "work")
    assert any(found.spans)
    save_json(found, tmp_path / "run.json")
    assert "wort" not in (tmp_path / "run.json").read_text(encoding="utf-8").lower()


def test_the_tagger_is_scored_on_the_part_that_the_grid_names(grid: Grid, tmp_path: Path) -> None:
    grid = grid.model_copy(update={"split": "dev"})
    gold = read_gold(grid, "tiny")
    assert (gold.split, len(gold.lengths)) == ("dev", 4)
    found = run(grid, TEXT_ONLY, tmp_path / "work")
    assert (found.split, found.spans) == ("dev", gold.strict)


def test_gold_is_read_from_corpus_and_pool(grid: Grid, pool: ImagePool) -> None:
    gold = read_gold(grid, "tiny")
    docs = load_docs(grid.datasets["tiny"].test, Vocab())
    assert (gold.dataset, gold.split, gold.pool_size) == ("tiny", "test", len(pool))
    assert gold.lengths == [len(doc) for doc in docs]
    # The first sentence of the test part, "we see anna !", has an ill-formed tag.
    assert (gold.strict[0], gold.lenient[0]) == ([], [(2, 3, "PER")])
    assert gold.vokens.keys() <= set(pool.ids)
    assert sum(gold.vokens.values()) == sum(s is not None for of in gold.voken_scores for s in of)


# What a dataset may lack


def with_docs(grid: Grid, folder: Path, edit: Callable[[Doc], None]) -> Grid:
    """The grid with its corpora changed."""
    (dataset,) = grid.datasets.values()
    written = {split: folder / f"{split}.spacy" for split in SPLITS}
    for split, path in written.items():
        docs = load_docs(getattr(dataset, split), Vocab())
        for doc in docs:
            edit(doc)
        save_docs(docs, path)
    return grid.model_copy(update={"datasets": {"tiny": dataset.model_copy(update=written)}})


def test_query_needs_a_vokenizer(grid: Grid, tmp_path: Path) -> None:
    dataset = grid.datasets["tiny"].model_copy(update={"vokenizer": None})
    grid = grid.model_copy(update={"datasets": {"tiny": dataset}})
    with pytest.raises(ValueError, match="'query' need the dataset's 'vokenizer'"):
        run(grid, QUERY, tmp_path / "work")


def test_the_vokenizer_needs_a_retriever(grid: Grid, tmp_path: Path) -> None:
    spacy.blank(LANG).to_disk(tmp_path / "blank")
    dataset = grid.datasets["tiny"].model_copy(update={"vokenizer": tmp_path / "blank"})
    grid = grid.model_copy(update={"datasets": {"tiny": dataset}})
    with pytest.raises(ValueError, match="blank has no voken_retriever"):
        run(grid, QUERY, tmp_path / "work")


def forget_image(doc: Doc) -> None:
    doc._.visual_image_id = None


def name_another_image(doc: Doc) -> None:
    doc._.visual_image_id = "cow" if len(doc) else None


def forget_vokens(doc: Doc) -> None:
    set_token_values(doc, "voken", [None] * len(doc))


def name_another_voken(doc: Doc) -> None:
    set_token_values(doc, "voken", ["cow"] * len(doc))


@pytest.mark.parametrize(
    ("images", "edit", "reason"),
    [
        ("given", forget_image, "'given' give no token of 'train' an image"),
        ("given", name_another_image, "'given' give .* 1 image not in the pool .*'cow'"),
        ("retrieved", forget_vokens, "'retrieved' give no token of 'train' an image"),
        ("random", forget_vokens, "'random' give no token of 'train' an image"),
        ("query", forget_vokens, "'query' give no token of 'train' an image"),
        ("zero", name_another_voken, "'zero' give .* not in the pool .*'cow'"),
    ],
)
def test_corpora_without_the_images_are_an_error(
    grid: Grid, images: str, edit: Callable[[Doc], None], reason: str, tmp_path: Path
) -> None:
    """Else the tagger would learn from the text alone, and be taken for one with pictures."""
    (tmp_path / "changed").mkdir()
    changed = with_docs(grid, tmp_path / "changed", edit)
    with pytest.raises(ValueError, match=reason):
        run(changed, Cell("tiny", "gated", images, 0), tmp_path / "work")
    assert not (tmp_path / "work" / "model").exists()


# As a process runs it


@pytest.fixture
def output(grid: Grid, tmp_path: Path) -> Path:
    """A folder of results that has the gold, as the command leaves it to its processes."""
    output = tmp_path / "runs"
    save_json(read_gold(grid, "tiny"), gold_path(output, "tiny", "test"))
    return output


def test_a_process_saves_the_run_and_leaves_no_work(
    grid_values: dict[str, Any],
    write_grid: Callable[[dict[str, Any]], Path],
    output: Path,
    tmp_path: Path,
) -> None:
    # What a killed run left.
    work = tmp_path / "work" / "cell"
    (work / "model").mkdir(parents=True)
    (work / "train.spacy").write_bytes(b"half of a cor")
    path = write_grid(grid_values)
    main(path, TEXT_ONLY.name, output, work, -1)
    found = load_run(run_path(output, TEXT_ONLY.name))
    assert (found.tagger, found.images, found.gates) == ("text-only", "none", None)
    assert list((tmp_path / "work").iterdir()) == []


def test_a_process_that_fails_leaves_neither_run_nor_work(
    grid_values: dict[str, Any],
    write_grid: Callable[[dict[str, Any]], Path],
    output: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    grid_values["overrides"] |= IMPOSSIBLE
    path = write_grid(grid_values)
    (cell,) = grid_cells(read_grid(path))
    # spaCy prints what is wrong with a config, and ends the process.
    with pytest.raises(SystemExit) as error:
        main(path, cell.name, output, tmp_path / "work" / "cell", -1)
    assert error.value.code == 1
    assert "training -> dropout -> rate" in capsys.readouterr().out
    assert not run_path(output, cell.name).exists()
    assert list((tmp_path / "work").iterdir()) == []
