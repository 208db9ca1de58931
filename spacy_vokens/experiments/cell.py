"""One cell of a grid: ground the corpus, train the tagger, tag, score.

`python -m spacy_vokens.experiments.cell GRID CELL OUTPUT WORK` runs one, in a process of its own.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import spacy
import srsly
import torch
from spacy.cli.train import train
from spacy.tokens import Doc
from spacy.util import load_config
from spacy.vocab import Vocab

from ..corpus.docbin import load_docs, save_docs
from ..corpus.readers import blank_copy
from ..extensions import get_token_values
from ..files import sha256_file, sole_writer
from ..images.pool import ImagePool
from ..pipeline.loading import load_with_retriever
from .controls import CONTROLS, Grounding, check_pictures, query
from .gold import hash_docs, make_gold, thousandths
from .grid import (
    NO_IMAGES,
    QUERY,
    SEED,
    Cell,
    Dataset,
    Grid,
    Part,
    cell_overrides,
    grid_cells,
    read_grid,
)
from .runs import Gold, Run, Spans, gold_path, hash_json, load_gold, run_path, save_json, score_run

PACKAGES = (
    "spacy-vokens",
    "spacy",
    "thinc",
    "spacy-transformers",
    "transformers",
    "torch",
    "numpy",
)
EVALUATIONS = "evaluations.jsonl"


def run_cell(grid: Grid, cell: Cell, gold: Gold, work: Path, gpu_id: int = -1) -> Run:
    """Train a cell's tagger in a folder of its own, and score it.

    work: an empty folder; it is left for the caller to remove.
    gpu_id: number of the GPU, or -1 for the CPU.
    raises FileNotFoundError: naming what is missing of the data.
    raises ValueError: where corpus, pool and tagger do not fit each other.
    """
    # Before hours of training: it says what is missing.
    data_sha256 = hash_data(grid, cell)
    dataset = grid.datasets[cell.dataset]
    paths = _ground(dataset, _splits(grid), cell, work)
    overrides = {
        **cell_overrides(grid, cell),
        "paths.train": str(paths["train"]),
        "paths.dev": str(paths["dev"]),
        "training.logger.@loggers": "spacy.ConsoleLogger.v3",
        "training.logger.progress_bar": None,
        "training.logger.output_file": str(work / EVALUATIONS),
    }
    uses_images = cell.images != NO_IMAGES
    if uses_images:
        overrides["paths.pool"] = str(paths["pool"])
    start = time.perf_counter()
    train(grid.config, work / "model", overrides=overrides, use_gpu=gpu_id)
    seconds = time.perf_counter() - start
    docs = _tag(work / "model" / "model-best", paths[grid.split])
    spans: Spans = [[(e.start, e.end, e.label_) for e in doc.ents] for doc in docs]
    all_gates = [thousandths(get_token_values(doc, "visual_gate")) for doc in docs]
    return Run(
        dataset=cell.dataset,
        tagger=cell.tagger,
        images=cell.images,
        seed=cell.seed,
        split=grid.split,
        config_sha256=hash_config(grid, cell),
        data_sha256=data_sha256,
        gold_sha256=gold.sha256,
        commit=_commit(),
        versions={package: version(package) for package in PACKAGES},
        machine=_machine(gpu_id),
        seconds=round(seconds, 1),
        dev=[(line["step"], line["score"]) for line in srsly.read_jsonl(work / EVALUATIONS)],
        scores=score_run(gold, spans),
        spans=spans,
        gates=all_gates if uses_images else None,
    )


def hash_config(grid: Grid, cell: Cell) -> str:
    """SHA-256 of the config and of what the cell overrides in it, but for paths and the seed."""
    values = {
        name: value
        for name, value in cell_overrides(grid, cell).items()
        if name != SEED and not name.startswith("paths.")
    }
    return hash_json([load_config(grid.config, interpolate=False), values, cell.images])


def hash_data(grid: Grid, cell: Cell) -> str:
    """SHA-256 of all that the cell reads: corpora, pool, vokenizer, and what overrides call a path.

    Without images these are tokens and tags, the same on every machine. Vokens and features are
    not: they are of floats, which round otherwise on another one.

    raises FileNotFoundError: naming what is missing.
    """
    dataset = grid.datasets[cell.dataset]
    corpora = [dataset.path(split) for split in _splits(grid)]
    if cell.images == NO_IMAGES:
        hashes = [hash_docs(load_docs(path, Vocab())) for path in corpora]
    else:
        hashes = [*map(_hash_path, corpora), ImagePool.open(dataset.pool).hash]
    if cell.images == QUERY:
        hashes.append(_hash_path(_vokenizer(dataset)))
    for name, path in cell_overrides(grid, cell).items():
        if name.startswith("paths.") and path:
            # A model's name on a hub stands for the model.
            hashes.append(_hash_path(Path(path)) if Path(path).exists() else path)
    return hash_json(hashes)


def dataset_gold(grid: Grid, dataset: str) -> Gold:
    """What the runs of a dataset are scored against."""
    parts = grid.datasets[dataset]
    vocab = Vocab()
    docs, training = (load_docs(parts.path(split), vocab) for split in (grid.split, "train"))
    return make_gold(dataset, grid.split, docs, training, len(ImagePool.open(parts.pool)))


def _splits(grid: Grid) -> list[Part]:
    """The parts that a cell reads; no other may reach its training."""
    return list(dict.fromkeys(("train", "dev", grid.split)))


def _ground(dataset: Dataset, splits: list[Part], cell: Cell, work: Path) -> dict[str, Path]:
    """The corpora and the pool of the cell's images, by their names; written where they are new."""
    if cell.images == NO_IMAGES:
        return {split: dataset.path(split) for split in splits}
    pool = ImagePool.open(dataset.pool)
    docs: dict[str, list[Doc]] = {
        split: load_docs(dataset.path(split), Vocab()) for split in splits
    }
    grounding = Grounding(docs, pool.records, pool.features)
    if cell.images == QUERY:
        grounding = query(grounding, load_with_retriever(_vokenizer(dataset))[1])
    else:
        grounding = CONTROLS[cell.images](grounding, np.random.default_rng(cell.seed))
    check_pictures(grounding, cell.images)
    written = {split: work / f"{split}.spacy" for split in splits}
    made = ImagePool.write(
        work / "pool",
        grounding.records,
        grounding.features,
        encoder=pool.meta["encoder"],
        weights_sha256=pool.meta["weights_sha256"],
        picture_root=pool.picture_root,
    )
    for split in splits:
        for doc in docs[split]:
            # The tagger takes vokens of the pool whose features it has.
            doc._.voken_index = f"{made.hash[:16]}-{cell.images}"
        save_docs(docs[split], written[split])
    return written | {"pool": made.path}


def _vokenizer(dataset: Dataset) -> Path:
    if dataset.vokenizer is None:
        raise ValueError("The images 'query' need the dataset's 'vokenizer'.")
    return dataset.vokenizer


def _tag(model: Path, corpus: Path) -> list[Doc]:
    nlp = spacy.load(model)
    return list(nlp.pipe(blank_copy(doc) for doc in load_docs(corpus, nlp.vocab)))


def _hash_path(path: Path) -> str:
    """Of a file's bytes, or of all files of a folder by their paths in it."""
    if path.is_file():
        return sha256_file(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    if not files:
        raise FileNotFoundError(f"{path} is missing, or is an empty folder.")
    return hash_json([(file.relative_to(path).as_posix(), sha256_file(file)) for file in files])


def _commit() -> str:
    """The commit of the working directory's repository; "unknown" outside of any."""
    git = shutil.which("git")
    if git is None:
        return "unknown"
    result = subprocess.run(
        [git, "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True
    )
    return result.stdout.strip() or "unknown"


def _machine(gpu_id: int) -> str:
    hardware = f"{_processor()}, {os.cpu_count()} cores"
    if gpu_id >= 0:
        hardware = f"{torch.cuda.get_device_name(gpu_id)}, {hardware}"
    software = f"{platform.system()}, Python {platform.python_version()}"
    return f"{hardware}, {torch.get_num_threads()} threads, {software}"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").split("\n") if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def main(grid_file: str, name: str, output: str, work: str, gpu_id: str) -> None:
    """Run the cell of that name, and save its result."""
    grid = read_grid(Path(grid_file))
    (cell,) = (cell for cell in grid_cells(grid) if cell.name == name)
    gold = load_gold(gold_path(Path(output), cell.dataset, grid.split))
    scratch = Path(work)
    with sole_writer(scratch):
        # What a killed run left.
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            run = run_cell(grid, cell, gold, scratch, int(gpu_id))
            save_json(run, run_path(Path(output), name))
        finally:
            shutil.rmtree(scratch)


if __name__ == "__main__":
    main(*sys.argv[1:])
