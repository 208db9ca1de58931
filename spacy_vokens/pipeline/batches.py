"""Batches for prediction, whose documents may be of very different lengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from spacy.tokens import Doc
from spacy_transformers.util import batch_by_length

# Tokens of a batch, padding included.
MAX_TOKENS = 4096


def batches_by_length(docs: Sequence[Doc]) -> Iterator[list[int]]:
    """Yield the positions of the documents that have tokens, those of like length together.

    So little of a batch is padding, and no batch exceeds `MAX_TOKENS` unless it is one document.
    """
    filled = [i for i, doc in enumerate(docs) if len(doc)]
    for batch in batch_by_length([docs[i] for i in filled], MAX_TOKENS):
        yield [filled[i] for i in batch]
