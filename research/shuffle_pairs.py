"""Shuffle the images of a corpus of pairs over its captions.

A matching model trained on the result cannot learn which image fits which text, so its scores show
what the model reaches without that.

    python research/shuffle_pairs.py PAIRS.spacy SHUFFLED.spacy
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from spacy.vocab import Vocab

from spacy_vokens.corpus.docbin import load_docs, save_docs


def shuffle_pairs(pairs: Path, output: Path, *, seed: int = 0) -> None:
    """Write a corpus with the same texts and a permutation of its image IDs.

    Args:
        pairs: `.spacy` file of captions with image IDs.
        output: `.spacy` file to write.
        seed: Seed of the permutation.
    """
    docs = load_docs(pairs, Vocab())
    ids = [doc._.visual_image_id for doc in docs]
    order = np.random.default_rng(seed).permutation(len(ids))
    for doc, row in zip(docs, order, strict=True):
        doc._.visual_image_id = ids[row]
    save_docs(docs, output)


if __name__ == "__main__":
    shuffle_pairs(Path(sys.argv[1]), Path(sys.argv[2]))
