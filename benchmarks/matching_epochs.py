"""How long does an epoch of the vokenizer's training take?

Peer: a bare torch loop over cached features. Both train the same towers with the same loss,
dropout, batch size and number of pairs, in one process and on one thread. The bare loop holds all
token vectors in one tensor before its clock starts. The loop of `spacy train` is timed from its
second epoch on, when the text encoder's outputs are cached.

    python benchmarks/matching_epochs.py PAIRS.spacy POOL TEXT_ENCODER --output matching.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from spacy.training.initialize import init_nlp
from spacy.util import load_config, resolve_dot_names
from spacy_loop import spacy_epochs

from spacy_vokens.images.pool import ImagePool
from spacy_vokens.models.torch.losses import InfoNCE
from spacy_vokens.models.torch.towers import Tower

CONFIG = Path(__file__).parents[1] / "configs" / "vokenizer.cfg"


def bare_epochs(
    vectors: list[np.ndarray],
    rows: np.ndarray,
    features: np.ndarray,
    n: int,
    size: int,
    dropout: float,
) -> list[float]:
    """Return the seconds of n epochs of a plain loop over token vectors and image features.

    Args:
        vectors: Token vectors of each pair, (n_tokens, width).
        rows: Row of each pair's image in `features`.
        features: Image features, (n_images, width).
        n: Number of epochs.
        size: Pairs per batch.
        dropout: Dropout rate of both towers.
    """
    text, image, loss_of = (
        Tower(vectors[0].shape[1], 256, 64),
        Tower(features.shape[1], 256, 64, standardize=True),
        InfoNCE(),
    )
    for module in (*text.modules(), *image.modules()):
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
    parameters = [*text.parameters(), *image.parameters(), *loss_of.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)
    lengths = np.array([len(v) for v in vectors])
    starts = np.concatenate([[0], lengths.cumsum()[:-1]])
    flat, table = torch.from_numpy(np.concatenate(vectors)), torch.from_numpy(features)
    seconds = []
    for _ in range(n):
        start = time.perf_counter()
        order = np.random.permutation(len(lengths))
        for batch in np.split(order, range(size, len(order), size)):
            tokens = np.concatenate([np.arange(starts[i], starts[i] + lengths[i]) for i in batch])
            ids, image_of_pair = np.unique(rows[batch], return_inverse=True)
            targets = torch.from_numpy(np.repeat(image_of_pair, lengths[batch]))
            loss = loss_of(text(flat[tokens].float()), image(table[ids].float()), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        seconds.append(time.perf_counter() - start)
    return seconds


def main() -> None:
    """Run the benchmark, print the result and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("pool", type=Path)
    parser.add_argument("text_encoder", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=3500)
    parser.add_argument("--epochs", type=int, default=6)
    args = parser.parse_args()
    torch.set_num_threads(1)
    config = load_config(
        CONFIG,
        overrides={
            "paths.train": str(args.pairs),
            "paths.dev": str(args.pairs),
            "paths.pool": str(args.pool),
            "paths.text_encoder": str(args.text_encoder),
            "corpora.train.limit": args.limit,
        },
        interpolate=False,
    )
    nlp = init_nlp(config)
    resolved = nlp.config.interpolate()
    ours = spacy_epochs(nlp, args.epochs)
    retriever = nlp.get_pipe("voken_retriever")
    (corpus,) = resolve_dot_names(resolved, ["corpora.train"])
    examples = list(corpus(nlp))
    vectors = retriever.model.get_ref("tok2vec").predict([eg.predicted for eg in examples])
    pool = ImagePool.open(args.pool)
    rows = pool.rows([eg.reference._.visual_image_id for eg in examples])
    size, dropout = resolved["training"]["batcher"]["size"], resolved["training"]["dropout"]
    bare = bare_epochs(vectors, rows, np.array(pool.features), args.epochs, size, dropout)
    result = {
        "pairs": len(examples),
        "threads": 1,
        "seconds_first_epoch": ours[0],
        "seconds_later_epochs": ours[1:],
        "seconds_bare_epochs": bare[1:],
        "ratio": statistics.median(ours[1:]) / statistics.median(bare[1:]),
    }
    args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
