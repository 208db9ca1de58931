"""The cross-modal matching model as one Thinc model: documents in, query vectors out.

The text encoder has no vector, only zeros, for a token without word pieces. Such a token has no
query either, nor has white space: their places hold NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d
from torch import nn

# Adds the registries that configs name.
from . import registry as registry
from .torch.towers import Tower
from .torch_layer import get_module, loss_and_gradients, torch_layer


def build_cross_modal_matching_v1(
    tok2vec: Model[list[Doc], list[Floats2d]],
    loss: nn.Module,
    hidden_width: int = 256,
    width: int = 64,
) -> Model[list[Doc], list[Floats2d]]:
    """Build `spacy-vokens.CrossModalMatching.v1`, the model of `voken_retriever`.

    It gives every token its query vector: an array (n_tokens, width) per document, with NaN for
    white space and for tokens that the text encoder has no vector for. `build_towers` adds the
    towers once the encoders' widths are known.

    Args:
        tok2vec: The text encoder, frozen or not.
        loss: A registered matching loss.
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
        attrs={"hidden_width": hidden_width},
        refs={"tok2vec": tok2vec, "loss": loss_node, "text_tower": None, "image_tower": None},
    )


def build_towers(model: Model, text_width: int, image_width: int) -> None:
    """Add the two towers to a model made by `build_cross_modal_matching_v1`.

    Args:
        model: The model.
        text_width: Width of the token vectors.
        image_width: Width of the image features.
    """
    # Remove what an earlier call added, but keep text encoder and loss.
    del model.layers[2:]
    hidden, width = model.attrs["hidden_width"], model.get_dim("nO")
    towers = {
        "text_tower": Tower(text_width, hidden, width),
        "image_tower": Tower(image_width, hidden, width, standardize=True),
    }
    for name, tower in towers.items():
        layer = torch_layer(tower)
        model.layers.append(layer)
        model.set_ref(name, layer)


def fit_image_statistics(model: Model, features: np.ndarray) -> None:
    """Let the image tower standardize images by the statistics of features, (n, image_width)."""
    tower = get_module(model.get_ref("image_tower"))
    tower.standardize.fit(torch.from_numpy(features.astype(np.float32)))


def matching_loss(
    model: Model, queries: Floats2d, keys: Floats2d, targets: np.ndarray
) -> tuple[float, Floats2d, Floats2d]:
    """Compute the model's loss, and its gradients with respect to queries and keys.

    Args:
        model: The model.
        queries: Vectors of tokens, (n_tokens, width). Those with NaN do not count; at least one
            must have none.
        keys: Vectors of images, (n_images, width).
        targets: Row in `keys` of each token's image, (n_tokens,).

    Returns:
        The loss, and its gradients with respect to the queries and to the keys.
    """
    ops = model.ops
    d_queries: Any = ops.alloc2f(*queries.shape)
    counts = ~ops.xp.isnan(queries[:, 0])
    device = next(get_module(model.get_ref("text_tower")).parameters()).device
    rows = torch.as_tensor(targets[ops.to_numpy(counts)], dtype=torch.long, device=device)
    loss, (d_queries[counts], d_keys) = loss_and_gradients(
        model.get_ref("loss"), [queries[counts], keys], rows
    )
    return loss, d_queries, d_keys


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
