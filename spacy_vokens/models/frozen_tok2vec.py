"""A tok2vec layer that is never trained, so that its vectors can be cached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from spacy.attrs import ORTH, SPACY
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d


class VectorCache:
    """Cache of the vectors of documents in half precision, by their token texts and spaces.

    It is off until `enabled` is set. It belongs to one training run: copies and pickles of it are
    empty and off, and Thinc does not serialize it.

    Args:
        max_bytes: Upper bound of its size. If it is full, the vectors of further documents are
            computed again each time.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.enabled = False
        self._vectors: dict[bytes, np.ndarray] = {}
        self._n_bytes = 0

    def __reduce__(self) -> tuple[type[VectorCache], tuple[int]]:
        return VectorCache, (self.max_bytes,)

    def __len__(self) -> int:
        return len(self._vectors)

    def get(self, key: bytes) -> np.ndarray | None:
        """Return the vectors cached under a key, float16 (n_tokens, width), or None."""
        return self._vectors.get(key)

    def add(self, key: bytes, vectors: np.ndarray) -> None:
        """Cache vectors, unless the cache is full."""
        if self._n_bytes + vectors.nbytes <= self.max_bytes:
            self._vectors[key] = vectors
            self._n_bytes += vectors.nbytes


def build_frozen_tok2vec_v1(
    tok2vec: Model[list[Doc], list[Floats2d]], cache_bytes: int = 2**31
) -> Model[list[Doc], list[Floats2d]]:
    """Build `spacy-vokens.FrozenTok2Vec.v1`: a tok2vec that is never trained.

    Args:
        tok2vec: The layer to freeze.
        cache_bytes: Upper bound of the size of the vectors that are cached during training.

    Returns:
        The layer. Its cache is off.
    """
    return Model(
        "frozen_tok2vec",
        _forward,
        init=_init,
        layers=[tok2vec],
        dims={"nO": None},
        attrs={"cache": VectorCache(cache_bytes)},
    )


def enable_cache(model: Model) -> None:
    """Turn on the caches of all frozen layers in a model."""
    for node in model.walk():
        if isinstance(node.attrs.get("cache"), VectorCache):
            node.attrs["cache"].enabled = True


def _init(model: Model, X: list[Doc] | None = None, Y: object = None) -> None:
    model.layers[0].initialize(X=X)
    if X:
        widths = [vectors.shape[1] for vectors in model.layers[0].predict(X) if len(vectors)]
        model.set_dim("nO", widths[0])


def _forward(
    model: Model, docs: list[Doc], is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], list[Doc]]]:
    tok2vec, cache = model.layers[0], model.attrs["cache"]
    if not cache.enabled:
        return tok2vec.predict(docs), _no_gradient
    keys = [doc.to_array([ORTH, SPACY]).tobytes() for doc in docs]
    new = {key: doc for key, doc in zip(keys, docs, strict=True) if cache.get(key) is None}
    computed: dict[bytes, np.ndarray] = {}
    if new:
        for key, vectors in zip(new, tok2vec.predict(list(new.values())), strict=True):
            computed[key] = model.ops.to_numpy(vectors).astype(np.float16)
            cache.add(key, computed[key])
    halves: list[Any] = [computed[key] if key in computed else cache.get(key) for key in keys]
    return [model.ops.asarray2f(half) for half in halves], _no_gradient


def _no_gradient(d_vectors: list[Floats2d]) -> list[Doc]:
    return []
