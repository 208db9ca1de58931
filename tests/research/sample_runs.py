"""Results made up for the tests: small, and with every number known."""

from __future__ import annotations

from pathlib import Path

import spacy
import srsly
from spacy.tokens import Doc

from research.grid import Cell, read_grid
from research.hashes import hash_data, hash_docs, hash_tags
from research.results import GRID_FILE
from research.runs import Gold, Run, gold_path, run_path, save_json, score_run
from spacy_vokens.corpus.docbin import save_docs

GRID = {
    "title": "A grid | of the tests",
    "config": "configs/visual_ner.cfg",
    "datasets": {
        "twitter2017": {
            "train": "train.spacy",
            "dev": "dev.spacy",
            "test": "test.spacy",
            "pool": "pool",
            "source": {"test": "twitter2017/test.txt"},
            "rename": {"OTHER": "MISC"},
        }
    },
    "taggers": {"text-only": {}, "gated": {}},
    "cells": [
        {"dataset": "twitter2017", "tagger": "text-only", "images": "none", "seeds": 2},
        {
            "dataset": "twitter2017",
            "tagger": "gated",
            "images": ["retrieved", "permuted"],
            "seeds": 2,
        },
        {
            "dataset": "twitter2017",
            "tagger": "gated",
            "images": "given",
            "not_run": "no <pictures>",
        },
    ],
    "comparisons": [
        {
            "of": "twitter2017/gated-retrieved",
            "against": "twitter2017/text-only-none",
            "primary": True,
        },
        {"of": "twitter2017/gated-retrieved", "against": "twitter2017/gated-permuted"},
    ],
}


def make_gold(n_docs: int = 12, **fields: object) -> Gold:
    """Documents of five tokens with a LOC at 0, seen in training, and a PER at 2 to 4, unseen."""
    strict = [[(0, 1, "LOC"), (2, 4, "PER")] for _ in range(n_docs)]
    made = {
        "dataset": "twitter2017",
        "split": "test",
        "sha256": "5" * 64,
        "ids": [f"{i}.jpg" for i in range(n_docs)],
        "lengths": [5] * n_docs,
        "strict": strict,
        "lenient": strict,
        "seen": [[True, False] for _ in range(n_docs)],
        "pos": [["NNP", "VBZ", "NN", "NNS", "."] for _ in range(n_docs)],
        "voken_scores": [[100 + 10 * i, 300, 500 + i, 200, None] for i in range(n_docs)],
        "vokens": {"cow": 3 * n_docs, "hen": n_docs},
        "pool_size": 10,
    }
    return Gold(**made | fields)


def make_run(
    gold: Gold, tagger: str, images: str, seed: int, *, misses: int = 0, wrong: int = 0
) -> Run:
    """A run that misses the LOC of the first documents, and adds a PER at 4 to the last ones."""
    spans = [
        [(0, 1, "LOC")] * (i >= misses)
        + [(2, 4, "PER")]
        + [(4, 5, "PER")] * (i >= len(gold.ids) - wrong)
        for i in range(len(gold.ids))
    ]
    gates = None if images == "none" else [[100, 200, 300, 300, None] for _ in gold.ids]
    return Run(
        dataset=gold.dataset,
        tagger=tagger,
        images=images,
        seed=seed,
        split=gold.split,
        config_sha256="1" * 64,
        data_sha256="2" * 64,
        gold_sha256=gold.sha256,
        commit="abc",
        versions={"torch": "2"},
        machine="a machine",
        seconds=12.5,
        dev=[(0, 0.0), (10, 0.5), (20, 0.75)],
        scores=score_run(gold, spans),
        spans=spans,
        gates=gates,
    )


def write_runs(folder: Path, gold: Gold | None = None, *, grid: dict | None = None) -> Path:
    """A folder of runs: text-only misses four to five names, retrieved one to two."""
    gold = make_gold() if gold is None else gold
    folder.mkdir(parents=True, exist_ok=True)
    srsly.write_yaml(folder / GRID_FILE, GRID if grid is None else grid)
    save_json(gold, gold_path(folder, gold.dataset, gold.split))
    for tagger, images, misses in (
        ("text-only", "none", 4),
        ("gated", "retrieved", 1),
        ("gated", "permuted", 3),
    ):
        for seed in range(2):
            run = make_run(gold, tagger, images, seed, misses=misses + seed, wrong=seed)
            save_json(run, run_path(folder, f"{gold.dataset}/{tagger}-{images}-{seed}"))
    return folder


# What `make_gold` holds, as Twitter-2015 writes its types.
WORDS = ["Bonn", "saw", "Ann", "Lee", "."]
TAGS = ["B-LOC", "O", "B-PER", "I-PER", "O"]


def write_data(folder: Path) -> Gold:
    """The file that the gold was read from; returns the gold with its hash."""
    sentences = [
        f"IMGID:{i}.jpg\n" + "".join(f"{w}\t{t}\n" for w, t in zip(WORDS, TAGS, strict=True))
        for i in range(12)
    ]
    (folder / "twitter2017").mkdir(parents=True)
    (folder / "twitter2017" / "test.txt").write_text("\n".join(sentences), encoding="utf-8")
    return make_gold(sha256=hash_tags([WORDS] * 12, [TAGS] * 12))


def write_runs_with_corpus(folder: Path, vokenizer: Path, pool: Path) -> Path:
    """Runs on a corpus whose every word has a voken, one name repaired and one harmed."""
    nlp = spacy.load(vokenizer)
    docs = []
    for i in range(12):
        doc = Doc(nlp.vocab, words=["Bonn", "<saw>", "Ann", "Lee", f"dog{i}"])
        for token in doc:
            token._.voken = "dog"
        docs.append(doc)
    save_docs(docs, folder / "test.spacy")
    dataset = GRID["datasets"]["twitter2017"] | {
        **dict.fromkeys(("train", "dev", "test"), str(folder / "test.spacy")),
        "vokenizer": str(vokenizer),
        "pool": str(pool),
    }
    grid = GRID | {"datasets": {"twitter2017": dataset}}
    runs = write_runs(folder / "runs", make_gold(sha256=hash_docs(docs)), grid=grid)
    cell = Cell("twitter2017", "gated", "retrieved", 0)
    data_sha256 = hash_data(read_grid(runs / GRID_FILE), cell)
    for path in (runs / "twitter2017").glob("gated-retrieved-*.json"):
        srsly.write_json(path, srsly.read_json(path) | {"data_sha256": data_sha256})
    # Text-only finds what the tagger with pictures misses, and the other way round.
    path = runs / "twitter2017" / "text-only-none-0.json"
    run = srsly.read_json(path)
    for doc in range(4):
        run["spans"][doc] = [[0, 1, "LOC"], [2, 4, "PER"]]
    run["spans"][0][1] = [2, 3, "LOC"]
    srsly.write_json(path, run)
    return runs
