"""A tok2vec layer that is run but never trained, so that what it computed can be kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from spacy.attrs import ORTH, SPACY
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d


class VectorCache:
    """Vectors of documents, by their token texts and spaces; in half precision.

    Off until `enabled` is set. Copies and pickles of it are empty and off, and Thinc does not
    serialise it: it belongs to one training run.

    max_bytes: when this much is held, further documents are computed anew each time.
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
        """The vectors kept under a key, float16 (n_tokens, width), or None."""
        return self._vectors.get(key)

    def add(self, key: bytes, vectors: np.ndarray) -> None:
        """Keep vectors, unless the bound is reached."""
        if self._n_bytes + vectors.nbytes <= self.max_bytes:
            self._vectors[key] = vectors
            self._n_bytes += vectors.nbytes


def FrozenTok2Vec(
    tok2vec: Model[list[Doc], list[Floats2d]], cache_bytes: int
) -> Model[list[Doc], list[Floats2d]]:
    """Run `tok2vec` in prediction mode always; its backprop returns nothing.

    cache_bytes: bound of the cache, which works only between `enable_cache` and serialisation.
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
    """Start keeping what the frozen layers inside a model compute."""
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
