"""Scenes: what the pipeline's own transformer says about a text as a whole.

A scene is the mean of a span that the transformer has read at once, which is a whole post or
caption, or a part of a long document. Every token belongs to the scene of the span that it is read
in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc
from spacy.util import minibatch
from spacy_transformers.data_classes import TransformerData

from ..images.pool import ImagePool

# Documents whose scenes are read at once.
BATCH = 128


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


def get_transformer_data(doc: Doc) -> TransformerData | None:
    """Return what a component `transformer` has said about a document; None if none has read it.

    `Doc._.trf_data` is an error in a process in which no such component has been made, for instance
    after `spacy.load(..., exclude=["transformer"])`.

    Args:
        doc: The document.
    """
    # Its stub says that the keys are strings.
    user_data: dict[Any, Any] = doc.user_data
    data = user_data.get(("._.", "trf_data", None, None))
    return data if isinstance(data, TransformerData) else None


def read_scenes(docs: Sequence[Doc]) -> Scenes | None:
    """Read the scenes of documents that a component `transformer` has processed.

    Args:
        docs: The documents. They may be empty.

    Returns:
        The scenes, or None if a transformer has read none of the documents.
    """
    vectors, of_token, n_scenes = [], [], 0
    for doc in docs:
        data = get_transformer_data(doc)
        hidden = None
        # Otherwise, tokens were merged or split after they were read.
        if data is not None and len(data.align.lengths) == len(doc):
            hidden = data.model_output.get("last_hidden_state")
        if data is None or hidden is None or not len(hidden):
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


def collect_scenes(
    docs: Iterable[Doc], pool: ImagePool
) -> tuple[NDArray[np.float32], NDArray[np.int64]] | None:
    """Read the scenes of texts about images of a pool.

    Args:
        docs: The texts, which name their image (`Doc._.visual_image_id`). Those that no transformer
            has read, or whose image is not in the pool, are ignored.
        pool: The pool.

    Returns:
        The scenes, (n_scenes, width), and the row of each one's image in the pool, (n_scenes,);
        None if there are no scenes.
    """
    vectors: list[NDArray[np.float32]] = []
    rows: list[NDArray[np.int64]] = []
    # Some at a time, since what a transformer says about a text takes a lot of memory.
    for batch in minibatch(docs, BATCH):
        named = [doc for doc in batch if len(doc) and doc._.visual_image_id in pool]
        scenes = read_scenes(named) if named else None
        if scenes is None:
            continue
        # A long text is in several scenes, all of its image. It can be that no token belongs to one
        # of them, for instance if its own words have no pieces.
        used, firsts = np.unique(scenes.of_token, return_index=True)
        used, firsts = used[used >= 0], firsts[used >= 0]
        rows_of_docs = pool.rows(doc._.visual_image_id for doc in named)
        vectors.append(scenes.vectors[used])
        rows.append(np.repeat(rows_of_docs, [len(doc) for doc in named])[firsts])
    return (np.concatenate(vectors), np.concatenate(rows)) if vectors else None


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
