"""Run one cell of a grid: prepare its images, train the tagger, tag and score."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import spacy
import srsly
import torch
from spacy.cli.train import train
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_vokens.attributes import get_token_values
from spacy_vokens.corpus.docbin import load_docs, save_docs
from spacy_vokens.corpus.reader import blank_copy
from spacy_vokens.files import sole_writer
from spacy_vokens.identity import IndexMark
from spacy_vokens.images.pool import ImagePool, PoolContent
from spacy_vokens.pipeline.util import load_with_pipe
from spacy_vokens.pipeline.voken_retriever import VokenRetriever

from .controls import CONTROLS, Grounding, check_images, query
from .gold import thousandths
from .grid import NO_IMAGES, QUERY, Cell, Grid, cell_overrides, grid_cells, read_grid
from .hashes import hash_config, hash_data
from .runs import Gold, Run, Spans, gold_path, load_gold, run_path, save_json, score_run

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
    """Train a cell's tagger and score it.

    Args:
        grid: The grid that declares the cell.
        cell: The cell.
        gold: The gold entities of the grid's split.
        work: An empty folder for corpora, pool and models. The caller removes it.
        gpu_id: Number of the GPU, or -1 for the CPU.

    Returns:
        The result, with the scores on the grid's split.

    Raises:
        FileNotFoundError: If data are missing; the message names them.
        VokensError: If corpus, pool and tagger do not fit each other.
    """
    # This comes first because it reports missing data, and training takes long.
    data_sha256 = hash_data(grid, cell)
    paths = _write_data(grid, cell, work)
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
    gates = [thousandths(get_token_values(doc, "visual_gate")) for doc in docs]
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
        gates=gates if uses_images else None,
    )


def _write_data(grid: Grid, cell: Cell, work: Path) -> dict[str, Path]:
    """Write corpora and pool with the cell's images, and return their paths by name.

    A cell without images takes the dataset's own corpora and no pool.
    """
    dataset = grid.datasets[cell.dataset]
    if cell.images == NO_IMAGES:
        return {split: dataset.path(split) for split in grid.splits}
    pool = ImagePool.open(dataset.pool)
    docs: dict[str, list[Doc]] = {
        split: load_docs(dataset.path(split), Vocab()) for split in grid.splits
    }
    grounding = Grounding(docs, pool.records, pool.features)
    if cell.images == QUERY:
        _, retriever = load_with_pipe(dataset.require_vokenizer(), VokenRetriever)
        grounding = query(grounding, retriever)
    else:
        grounding = CONTROLS[cell.images](grounding, np.random.default_rng(cell.seed))
    check_images(grounding, cell.images)
    written = ImagePool.write(
        work / "pool",
        PoolContent(
            grounding.records, grounding.features, encoder=pool.encoder, image_root=pool.image_root
        ),
    )
    paths = {"pool": written.path}
    for split, split_docs in docs.items():
        for doc in split_docs:
            # The tagger accepts only vokens that come from the pool it reads its features from.
            doc._.voken_index = str(IndexMark(written.id.short, cell.images))
        paths[split] = work / f"{split}.spacy"
        save_docs(split_docs, paths[split])
    return paths


def _tag(model: Path, corpus: Path) -> list[Doc]:
    nlp = spacy.load(model)
    return list(nlp.pipe(blank_copy(doc) for doc in load_docs(corpus, nlp.vocab)))


def _commit() -> str:
    """Describe the commit of the working directory's repository; "unknown" outside of one."""
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


def main(grid_file: Path, name: str, output: Path, work: Path, gpu_id: int) -> None:
    """Run the cell with this name, save its result, and remove the folder `work`."""
    grid = read_grid(grid_file)
    (cell,) = (cell for cell in grid_cells(grid) if cell.name == name)
    gold = load_gold(gold_path(output, cell.dataset, grid.split))
    with sole_writer(work):
        # A killed run leaves its files behind.
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        try:
            save_json(run_cell(grid, cell, gold, work, gpu_id), run_path(output, name))
        finally:
            shutil.rmtree(work)
