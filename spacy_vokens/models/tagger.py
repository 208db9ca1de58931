"""The visual tagger as one Thinc model: documents in, a `Tagged` for each of them out.

It tags words: the tokens that the text encoder has a vector for, without white space. Other tokens
have only zeros for a vector, about which nothing can be said. They have no gate and no tag, so that
no entity begins or ends with one, but an entity may span one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import Model, PyTorchShim, torch2xp, xp2torch
from thinc.types import ArgsKwargs, ArrayXd, Floats2d, Floats3d

from ..files import VokensError

# Adds the registries that configs name.
from . import registry as registry
from .image_features import ImageFeatures
from .torch.crf import BioCrf
from .torch.fusion import NoFusion, TaggerHead
from .torch_layer import get_module, torch_layer


@dataclass
class Tagged:
    """What the tagger says about one document.

    The model sets emissions, gates and attention. `VisualNer.predict` adds spans and confidences.

    Attributes:
        emissions: Score of each tag for each word, (n_words, n_tags), on the model's device.
        words: The token that each word is, (n_words,), in order.
        gates: Weight of the image in each word, 0 to 1, (n_words,). None in training, and if the
            fusion uses no images.
        attention: How much each word attends to the image of each word, (n_words, n_words); rows
            sum to 1. None unless asked for.
        spans: Entities of the best valid tag sequence, integers (n_spans, 3): first token, the one
            after the last token, and label index.
        confidences: Probability that each span is an entity, (n_spans,). None unless asked for.
    """

    emissions: Floats2d
    words: np.ndarray
    gates: np.ndarray | None = None
    attention: np.ndarray | None = None
    spans: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), dtype=np.int64))
    confidences: np.ndarray | None = None


def build_visual_tagger_v1(
    tok2vec: Model[list[Doc], list[Floats2d]],
    fusion: NoFusion,
    voken_dropout: float = 0.1,
    mixed_precision: bool = False,
) -> Model[list[Doc], list[Tagged]]:
    """Build `spacy-vokens.VisualTagger.v1`, the model of `visual_ner`.

    `build_head` adds its head once widths and labels are known. The table of image features is
    `model.attrs["images"]`, an `ImageFeatures` or None. Attention weights are computed if
    `model.attrs["need_attention"]` is set and the fusion attends.

    Args:
        tok2vec: Encoder of the words, usually a transformer listener.
        fusion: How image features enter.
        voken_dropout: In training, the probability that a sentence loses all its images, and that a
            word of the other sentences loses its own.
        mixed_precision: Whether the head runs in half precision, on a GPU.

    Returns:
        The model, without head.
    """
    return Model(
        "visual_tagger",
        _forward,
        init=_init,
        layers=[tok2vec],
        dims={"nI": None, "nO": None},
        attrs={
            "images": None,
            "fusion": fusion,
            "voken_dropout": voken_dropout,
            "mixed_precision": mixed_precision,
            "need_attention": False,
        },
        refs={"tok2vec": tok2vec, "head": None, "crf": None},
    )


def build_head(model: Model, width: int, image_width: int, n_labels: int) -> None:
    """Add the head and the CRF to a model made by `build_visual_tagger_v1`.

    Args:
        model: The model.
        width: Width of the token vectors.
        image_width: Width of the image features; 0 if there are none.
        n_labels: Number of entity types.
    """
    # Remove what an earlier call added, but keep the encoder of the words.
    del model.layers[1:]
    fusion = model.attrs["fusion"]
    fusion.initialize(width, image_width)
    n_tags = 2 * n_labels + 1
    model.set_dim("nI", width, force=True)
    model.set_dim("nO", n_tags, force=True)
    head = TaggerHead(fusion, width, n_tags, model.attrs["voken_dropout"])
    layers = {
        "head": torch_layer(
            head,
            convert_inputs=_to_torch,
            convert_outputs=_from_torch,
            mixed_precision=model.attrs["mixed_precision"],
        ),
        "crf": torch_layer(BioCrf(n_labels)),
    }
    for name, layer in layers.items():
        model.layers.append(layer)
        model.set_ref(name, layer)


def with_images(model: Model, images: ImageFeatures | None) -> Model:
    """Return a tagger with another table of image features that shares all layers with a tagger.

    Args:
        model: A model made by `build_visual_tagger_v1`. It is not changed.
        images: The table of image features.

    Returns:
        The other tagger. Training it trains both.
    """
    return Model(
        model.name,
        _forward,
        init=_init,
        dims={name: model.maybe_get_dim(name) for name in model.dim_names},
        layers=model.layers,
        attrs={**model.attrs, "images": images},
        refs={name: model.maybe_get_ref(name) for name in model.ref_names},
        ops=model.ops,
    )


def fit_fusion(model: Model) -> None:
    """Fit the fusion's statistics to the pool's features."""
    if model.attrs["images"] is not None:
        features = model.attrs["images"].features.astype(np.float32)
        get_module(model.get_ref("head")).fusion.fit(torch.from_numpy(features))


def _init(model: Model, X: list[Doc] | None = None, Y: object = None) -> None:
    model.get_ref("tok2vec").initialize(X=X)


def _forward(
    model: Model, docs: list[Doc], is_train: bool
) -> tuple[list[Tagged], Callable[[list[Floats2d]], list[Doc]]]:
    ops, width = model.ops, model.get_dim("nI")
    # A listener answers for the whole batch, so empty documents can only be left out after it.
    vectors, backprop_vectors = model.get_ref("tok2vec")(docs, is_train)
    words: list[Any] = _find_words(model, docs, vectors)
    filled = [row for row, tokens in enumerate(words) if len(tokens)]
    tagged = [Tagged(ops.alloc2f(0, model.get_dim("nO")), tokens) for tokens in words]
    if not filled:
        return tagged, lambda d_emissions: backprop_vectors(list(map(ops.xp.zeros_like, vectors)))
    lengths = [len(words[row]) for row in filled]
    rows_of = {row: ops.asarray1i(words[row]) for row in filled}
    padded: Any = ops.pad([vectors[row][rows_of[row]] for row in filled])
    if padded.shape[2] != width:
        raise VokensError(
            f"The tagger was trained on word vectors of width {width}, but gets "
            f"vectors of width {padded.shape[2]}: another transformer ran last. Put the "
            "transformer that it was trained with right before it."
        )
    mask = np.arange(padded.shape[1]) < np.array(lengths)[:, None]
    rows = np.full(mask.shape, -1)
    images: ImageFeatures | None = model.attrs["images"]
    features = np.zeros((0, 0), dtype=np.float32)
    if images is not None:
        features, row_of_token = images.lookup([docs[row] for row in filled])
        rows[mask] = np.concatenate(
            [found[words[row]] for found, row in zip(row_of_token, filled, strict=True)]
        )
    need_attention = model.attrs["need_attention"] and not is_train
    arrays: list[Any] = [features, rows, mask]
    (emissions, gates, attention), backprop_head = model.get_ref("head")(
        (padded, *map(ops.asarray, arrays), need_attention), is_train
    )
    if not is_train:
        gates, attention = (None if x is None else ops.to_numpy(x) for x in (gates, attention))
    for place, (row, n) in enumerate(zip(filled, lengths, strict=True)):
        tagged[row] = Tagged(
            emissions[place, :n],
            words[row],
            None if gates is None or is_train else gates[place, :n],
            None if attention is None else attention[place, :n, :n],
        )

    def backprop(d_emissions: list[Floats2d]) -> list[Doc]:
        d_padded = ops.pad([d_emissions[row] for row in filled])
        d_vectors: list[Any] = list(map(ops.xp.zeros_like, vectors))
        for row, d_words in zip(filled, ops.unpad(backprop_head(d_padded), lengths), strict=True):
            d_vectors[row][rows_of[row]] = d_words
        return backprop_vectors(d_vectors)

    return tagged, backprop


def _find_words(model: Model, docs: list[Doc], vectors: list[Floats2d]) -> list[np.ndarray]:
    """Find the tokens that have a vector and are not white space.

    Returns:
        Per document, the indices of these tokens, (n_words,).
    """
    # All at once, because each answer of a GPU has to be waited for.
    has_vector = model.ops.xp.concatenate([v.any(axis=1) for v in vectors])
    bounds = np.cumsum([len(doc) for doc in docs])[:-1]
    found = np.split(model.ops.to_numpy(has_vector), bounds)
    return [
        np.flatnonzero(seen & (doc.to_array("IS_SPACE") == 0))
        for doc, seen in zip(docs, found, strict=True)
    ]


def _to_torch(
    model: Model, inputs: tuple[Any, ...], is_train: bool
) -> tuple[ArgsKwargs, Callable[[ArgsKwargs], ArrayXd]]:
    device = cast(PyTorchShim, model.shims[0]).device
    words, *arrays, need_attention = inputs
    args = (
        xp2torch(words, requires_grad=is_train, device=device),
        *(xp2torch(array, device=device) for array in arrays),
        need_attention,
    )
    return ArgsKwargs(args=args, kwargs={}), lambda d_inputs: torch2xp(d_inputs.args[0])


def _from_torch(
    model: Model, inputs_outputs: tuple[Any, tuple[torch.Tensor | None, ...]], is_train: bool
) -> tuple[tuple[Any, ...], Callable[[Floats3d], ArgsKwargs]]:
    _, outputs = inputs_outputs
    emissions = cast(torch.Tensor, outputs[0])

    def backprop(d_emissions: Floats3d) -> ArgsKwargs:
        gradient = xp2torch(d_emissions, device=emissions.device)
        return ArgsKwargs(args=((emissions,),), kwargs={"grad_tensors": (gradient,)})

    return tuple(None if x is None else torch2xp(x) for x in outputs), backprop
