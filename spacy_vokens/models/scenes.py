"""Scenes: what the pipeline's own transformer says about a text as a whole.

A scene is the mean of a span that the transformer has read at once, which is a whole post or
caption, or a part of a long document. Every token belongs to the scene of the span that it is read
in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc
from spacy_transformers.data_classes import TransformerData


@dataclass(frozen=True)
class Scenes:
    """The scenes of some documents.

    Attributes:
        vectors: Their vectors, (n_scenes, width).
        of_token: The scene of each token of all documents, (n_tokens,); -1 for the tokens of a
            document that no transformer has read.
    """

    vectors: NDArray[np.float32]
    of_token: NDArray[np.int64]


def read_scenes(docs: Sequence[Doc]) -> Scenes | None:
    """Read the scenes of documents that a component `transformer` has processed.

    Args:
        docs: The documents. They may be empty.

    Returns:
        The scenes, or None if a transformer has read none of the documents.
    """
    vectors, of_token, n_scenes = [], [], 0
    for doc in docs:
        data = doc._.trf_data
        hidden = None
        # Otherwise, tokens were merged or split after they were read.
        if isinstance(data, TransformerData) and len(data.align.lengths) == len(doc):
            hidden = data.model_output.get("last_hidden_state")
        if hidden is None or not len(hidden):
            # Whatever the other documents are: none may change what its neighbors get.
            of_token.append(np.full(len(doc), -1))
            continue
        # Arrays may be on a GPU.
        is_piece = data.wordpieces.attention_mask[:, :, None].astype(hidden.dtype)
        means = (hidden * is_piece).sum(axis=1) / is_piece.sum(axis=1)
        vectors.append(means.get() if hasattr(means, "get") else means)
        of_token.append(n_scenes + _spans_of_tokens(data, hidden.shape[1]))
        n_scenes += len(hidden)
    return Scenes(np.concatenate(vectors), np.concatenate(of_token)) if vectors else None


def _spans_of_tokens(data: TransformerData, n_pieces: int) -> NDArray[np.int64]:
    """Return the first span that has a piece of each token; 0 for a token without pieces."""
    lengths, pieces = (
        np.asarray(array.get() if hasattr(array, "get") else array, np.int64)
        for array in (data.align.lengths, data.align.dataXd.ravel())
    )
    firsts = np.minimum(np.cumsum(lengths) - lengths, max(len(pieces) - 1, 0))
    if not len(pieces):
        return np.zeros(len(lengths), np.int64)
    return np.where(lengths > 0, pieces[firsts] // n_pieces, 0)
