"""Hashes that say whether two runs had the same config, the same data and the same gold tags."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from spacy.tokens import Doc
from spacy.util import load_config
from spacy.vocab import Vocab

from spacy_vokens.corpus.docbin import load_docs
from spacy_vokens.files import sha256_file
from spacy_vokens.images.pool import ImagePool
from spacy_vokens.scoring.ner import gold_tags

from .grid import NO_IMAGES, QUERY, SEED, Cell, Grid, cell_overrides


def hash_config(grid: Grid, cell: Cell) -> str:
    """Return the SHA-256 of the config and the cell's overrides, except for paths and the seed."""
    values = {
        name: value
        for name, value in cell_overrides(grid, cell).items()
        if name != SEED and not name.startswith("paths.")
    }
    return hash_json([load_config(grid.config, interpolate=False), values, cell.images])


def hash_data(grid: Grid, cell: Cell) -> str:
    """Return the SHA-256 of everything the cell reads: corpora, pool, vokenizer, overridden paths.

    A cell without images reads tokens and tags only, so its hash is the same on every machine.
    Vokens and features come from floating-point arithmetic, which differs between machines.

    Raises:
        FileNotFoundError: If a file is missing; the message names it.
        VokensError: If a corpus or pool is invalid, or the images `query` lack a vokenizer.
    """
    dataset = grid.datasets[cell.dataset]
    corpora = [dataset.path(split) for split in grid.splits]
    if cell.images == NO_IMAGES:
        hashes = [hash_docs(load_docs(path, Vocab())) for path in corpora]
    else:
        hashes = [*map(_hash_path, corpora), str(ImagePool.open(dataset.pool).id)]
    if cell.images == QUERY:
        hashes.append(_hash_path(dataset.require_vokenizer()))
    for name, path in cell_overrides(grid, cell).items():
        if name.startswith("paths.") and path:
            # A path may also be the name of a model on a hub. The name then stands for the model.
            hashes.append(_hash_path(Path(path)) if Path(path).exists() else path)
    return hash_json(hashes)


def hash_docs(docs: list[Doc]) -> str:
    """Return the SHA-256 of the documents' tokens and tags."""
    return hash_tags([[token.text for token in doc] for doc in docs], [*map(gold_tags, docs)])


def hash_tags(words: list[list[str]], tags: list[list[str]]) -> str:
    """Return the SHA-256 of tokens and tags, given as one list per document."""
    return hash_json([words, tags])


def hash_json(value: Any) -> str:
    """Return the SHA-256 of a value written as JSON with sorted keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _hash_path(path: Path) -> str:
    """Hash a file, or all files of a folder together with their relative paths."""
    if path.is_file():
        return sha256_file(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    if not files:
        raise FileNotFoundError(f"{path} is missing, or is an empty folder.")
    return hash_json([(file.relative_to(path).as_posix(), sha256_file(file)) for file in files])
