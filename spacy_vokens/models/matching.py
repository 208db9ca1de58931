"""Matching models: what maps words and images into one space, and how it learns.

The retriever works with any of them through `Matching`. This file also has the paper's own form,
`CrossModalMatching`: a word's query is made of its vector in the context of its sentence, and the
image of a sentence is the positive of each of its tokens.

A token without a query has NaN in its place: white space, and what the text encoder has no vector
for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from spacy.lexeme import Lexeme
from spacy.tokens import Doc
from thinc.api import Model, Ops
from thinc.types import Floats2d
from torch import nn

# Adds the registries that configs name.
from . import registry as registry
from .frozen_tok2vec import enable_cache
from .torch.towers import Tower
from .torch_layer import get_module, loss_and_gradients, torch_layer

# Images whose keys are computed at a time.
KEY_BATCH = 4096


class Matching(ABC):
    """How a matching model is built, trained and asked; `model.attrs["matching"]` of such a model.

    A token's query is what the model predicts, unless it depends on the token's form alone, as in
    `WordMatching`.

    Attributes:
        takes_texts: Whether the texts of images can be part of their keys.
    """

    takes_texts: ClassVar[bool] = False

    @abstractmethod
    def text_width(self, model: Model, docs: list[Doc]) -> int:
        """Initialize the text encoder, and return the width of its vectors.

        Args:
            model: The model.
            docs: Some documents that have tokens.
        """

    @abstractmethod
    def build(self, model: Model, widths: Mapping[str, Any]) -> None:
        """Add the layers whose widths depend on the encoders, in place of earlier ones.

        Args:
            model: The model.
            widths: The widths by name: `text_width` of the text encoder's vectors, `image_width` of
                the image features.
        """

    @abstractmethod
    def fit(
        self, model: Model, docs: Sequence[Doc], rows: NDArray[np.integer], features: NDArray
    ) -> dict[str, Any]:
        """Fit what is not learned by gradients, before the first update.

        Args:
            model: The model, with its layers.
            docs: Texts about images.
            rows: Row in `features` of each document's image, (n_docs,).
            features: Features of all images of the training pool, (n_images, image_width).

        Returns:
            Settings to store with the component.
        """

    @abstractmethod
    def begin_update(
        self, model: Model, docs: list[Doc], rows: NDArray[np.integer], features: NDArray
    ) -> tuple[float, Callable[[], None]] | None:
        """Compute the loss of a batch.

        Args:
            model: The model.
            docs: Texts about images, all with tokens.
            rows: Row in `features` of each document's image, (n_docs,).
            features: Features of all images of the training pool, (n_images, image_width).

        Returns:
            The loss, and a function that adds its gradients to the model; None if there is nothing
            to learn from.
        """

    def keys(
        self,
        model: Model,
        features: NDArray,
        texts: Sequence[Sequence[Lexeme]] = (),
        lang: str = "xx",
    ) -> NDArray[np.float32]:
        """Compute the keys of images.

        Args:
            model: The model, with its layers.
            features: Features of images, (n_images, image_width).
            texts: The words in lower case that say what each image shows, for models that use them;
                none for all images, or one list per image.
            lang: Language of the texts.

        Returns:
            The keys, (n_images, width).
        """
        return apply_tower(model.get_ref("image_tower"), features)


class ContextMatching(Matching):
    """The paper's form: queries from words in context, and the sentence's image as the positive."""

    def text_width(self, model: Model, docs: list[Doc]) -> int:
        """Initialize the text encoder, and return the width of its vectors."""
        model.initialize(X=docs)
        tok2vec = model.get_ref("tok2vec")
        return next(v.shape[1] for v in tok2vec.predict(docs) if len(v))

    def build(self, model: Model, widths: Mapping[str, Any]) -> None:
        """Add the two towers."""
        hidden, width = model.attrs["hidden_width"], model.get_dim("nO")
        set_towers(
            model,
            text_tower=Tower(widths["text_width"], hidden, width),
            image_tower=Tower(widths["image_width"], hidden, width, standardize=True),
        )

    def fit(
        self, model: Model, docs: Sequence[Doc], rows: NDArray[np.integer], features: NDArray
    ) -> dict[str, Any]:
        """Let the image tower standardize images by the statistics of those with a text."""
        standardize(model.get_ref("image_tower"), features[np.unique(rows)])
        # From here on, the vectors of the same texts are asked for again and again.
        enable_cache(model)
        return {}

    def begin_update(
        self, model: Model, docs: list[Doc], rows: NDArray[np.integer], features: NDArray
    ) -> tuple[float, Callable[[], None]] | None:
        """Compute the loss of a batch: the image of a text is the positive of each token."""
        ops = model.ops
        used, image_of_doc = np.unique(rows, return_inverse=True)
        queries, backprop_queries = model.begin_update(docs)
        flat: Any = ops.flatten(queries)
        counts = ~ops.xp.isnan(flat[:, 0])
        if not counts.any():
            return None
        keys, backprop_keys = model.get_ref("image_tower").begin_update(
            as_floats(ops, features[used])
        )
        lengths = [len(query) for query in queries]
        targets = np.repeat(image_of_doc, lengths)[ops.to_numpy(counts)]
        device = next(get_module(model.get_ref("text_tower")).parameters()).device
        loss, (d_counted, d_keys) = loss_and_gradients(
            model.get_ref("loss"),
            [flat[counts], keys],
            torch.as_tensor(targets, dtype=torch.long, device=device),
        )
        d_queries: Any = ops.alloc2f(*flat.shape)
        d_queries[counts] = d_counted

        def backprop() -> None:
            backprop_queries(ops.unflatten(d_queries, ops.asarray1i(lengths)))
            backprop_keys(d_keys)

        return loss, backprop


def build_cross_modal_matching_v1(
    tok2vec: Model[list[Doc], list[Floats2d]],
    loss: nn.Module,
    hidden_width: int = 256,
    width: int = 64,
) -> Model[list[Doc], list[Floats2d]]:
    """Build `spacy-vokens.CrossModalMatching.v1`, the paper's matching model.

    It gives every token its query vector: an array (n_tokens, width) per document, with NaN for
    white space and for tokens that the text encoder has no vector for. The towers are added once
    the encoders' widths are known.

    Args:
        tok2vec: The text encoder, frozen or not.
        loss: A registered matching loss over tokens, such as `spacy-vokens.InfoNCE.v1`.
        hidden_width: Width of the towers' hidden layer.
        width: Width of the shared space.

    Returns:
        The model, without towers.
    """
    loss_node = torch_layer(loss)
    return Model(
        "cross_modal_matching",
        _forward,
        init=_init,
        layers=[tok2vec, loss_node],
        dims={"nO": width},
        attrs={"hidden_width": hidden_width, "matching": ContextMatching()},
        refs={"tok2vec": tok2vec, "loss": loss_node, "text_tower": None, "image_tower": None},
    )


def matching_of(model: Model) -> Matching:
    """Return how a matching model is built, trained and asked."""
    return model.attrs["matching"]


def set_towers(model: Model, **towers: nn.Module | None) -> None:
    """Give a matching model its towers, in place of earlier ones.

    Args:
        model: The model.
        **towers: The towers by the names of the model's refs; None for no such tower.
    """
    for name, tower in towers.items():
        if model.has_ref(name):
            model.layers.remove(model.get_ref(name))
        layer = None if tower is None else torch_layer(tower)
        if layer is not None:
            model.layers.append(layer)
        model.set_ref(name, layer)


def standardize(tower: Model, features: NDArray) -> None:
    """Let a tower standardize its inputs by the statistics of features, (n, width)."""
    get_module(tower).standardize.fit(torch.from_numpy(features.astype(np.float32)))


def apply_tower(tower: Model, vectors: NDArray) -> NDArray[np.float32]:
    """Map many vectors, (n, width), by a tower, some at a time."""
    ops = tower.ops
    batches = [vectors[i : i + KEY_BATCH] for i in range(0, len(vectors), KEY_BATCH)]
    return np.concatenate([ops.to_numpy(tower.predict(as_floats(ops, b))) for b in batches])


def as_floats(ops: Ops, array: NDArray) -> Floats2d:
    """Return an array (n, width) in single precision, on the device."""
    return ops.asarray2f(cast("Floats2d", array), dtype="float32")


def _init(model: Model, X: list[Doc] | None = None, Y: object = None) -> None:
    model.get_ref("tok2vec").initialize(X=X)


def _forward(
    model: Model, docs: list[Doc], is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], list[Doc]]]:
    ops = model.ops
    lengths = [len(doc) for doc in docs]
    vectors, backprop_vectors = model.get_ref("tok2vec")(docs, is_train)
    # An empty document's vectors have no width, so they cannot be concatenated.
    flat = ops.xp.concatenate([v for v in vectors if len(v)])
    queries, backprop_queries = model.get_ref("text_tower")(flat, is_train)
    is_word: Any = np.concatenate([doc.to_array("IS_SPACE") == 0 for doc in docs])
    counts = flat.any(axis=1) & ops.asarray(is_word)
    queries = ops.xp.where(counts[:, None], queries, ops.xp.float32(np.nan))

    def backprop(d_queries: list[Floats2d]) -> list[Doc]:
        d_flat = backprop_queries(ops.xp.concatenate(d_queries))
        return backprop_vectors(ops.unflatten(d_flat, ops.asarray1i(lengths)))

    return ops.unflatten(queries, ops.asarray1i(lengths)), backprop
