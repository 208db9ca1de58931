"""The visual tagger as one Thinc model: documents in, emissions and gates out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import Model, PyTorchShim, torch2xp, xp2torch
from thinc.types import ArgsKwargs, ArrayXd, Floats2d, Floats3d

from ..tagger.fusion import NoFusion, TaggerHead
from .crf import crf_layer
from .image_features import ImageFeatures
from .torch_module import get_module, torch_layer


@dataclass
class TaggerOutput:
    """What the tagger says of the documents that have tokens.

    emissions: (docs, tokens, tags), padded.
    gates: (docs, tokens), padded.
    rows: which documents of the batch these are.
    lengths: their numbers of tokens.
    """

    emissions: Floats3d
    gates: Floats2d
    rows: list[int]
    lengths: list[int]


def VisualTagger(
    tok2vec: Model[list[Doc], list[Floats2d]],
    fusion: NoFusion,
    voken_dropout: float,
    mixed_precision: bool,
) -> Model[list[Doc], TaggerOutput]:
    """A tagger whose head is made by `build_head`, once widths and labels are known.

    The table of image features is `model.attrs["images"]`, an `ImageFeatures` or None.
    """
    return Model(
        "visual_tagger",
        _forward,
        init=_init,
        layers=[tok2vec],
        attrs={
            "images": None,
            "fusion": fusion,
            "voken_dropout": voken_dropout,
            "mixed_precision": mixed_precision,
        },
        refs={"tok2vec": tok2vec, "head": None, "crf": None},
    )


def build_head(model: Model, width: int, image_width: int, n_labels: int) -> None:
    """Add the head and the CRF to a model made by `VisualTagger`.

    width: of the token vectors; image_width: of the image features; n_labels: entity types.
    """
    # What an earlier call added; the words' encoder stays.
    del model.layers[1:]
    fusion = model.attrs["fusion"]
    fusion.initialize(width, image_width)
    head = TaggerHead(fusion, width, 2 * n_labels + 1, model.attrs["voken_dropout"])
    layers = {
        "head": torch_layer(
            head,
            convert_inputs=_to_torch,
            convert_outputs=_from_torch,
            mixed_precision=model.attrs["mixed_precision"],
        ),
        "crf": crf_layer(n_labels),
    }
    for name, layer in layers.items():
        model.layers.append(layer)
        model.set_ref(name, layer)


def fit_fusion(model: Model) -> None:
    """Show the fusion the table of image features."""
    if model.attrs["images"] is not None:
        features = model.attrs["images"].features.astype(np.float32)
        get_module(model.get_ref("head")).fusion.fit(torch.from_numpy(features))


def attention_weights(model: Model, docs: list[Doc]) -> list[np.ndarray]:
    """How much each word attends to the image of each word, of a fusion that attends.

    docs: each with at least one token.
    returns: (n_tokens, n_tokens) a document, of which every row sums to 1.
    """
    head = model.get_ref("head")
    inputs = _head_inputs(model, docs, model.get_ref("tok2vec").predict(docs))
    fusion = get_module(head).fusion.eval()
    with torch.no_grad():
        weights = fusion.attention_weights(*_to_torch(head.layers[0], inputs, False)[0].args)
    return [
        rows[: len(doc), : len(doc)] for doc, rows in zip(docs, weights.cpu().numpy(), strict=True)
    ]


def _init(model: Model, X: list[Doc] | None = None, Y: object = None) -> None:
    model.get_ref("tok2vec").initialize(X=X)


def _forward(
    model: Model, docs: list[Doc], is_train: bool
) -> tuple[TaggerOutput, Callable[[Floats3d], list[Doc]]]:
    ops = model.ops
    # A listener answers for the whole batch, so empty documents leave only after it.
    vectors, backprop_vectors = model.get_ref("tok2vec")(docs, is_train)
    rows = [row for row, doc in enumerate(docs) if len(doc)]
    lengths = [len(docs[row]) for row in rows]
    inputs = _head_inputs(model, [docs[row] for row in rows], [vectors[row] for row in rows])
    (emissions, gates), backprop_head = model.get_ref("head")(inputs, is_train)

    def backprop(d_emissions: Floats3d) -> list[Doc]:
        d_words: list[Any] = ops.unpad(backprop_head(d_emissions), lengths)
        d_vectors = [ops.alloc2f(0, vectors[0].shape[1]) for _ in docs]
        for row, d_word in zip(rows, d_words, strict=True):
            d_vectors[row] = d_word
        return backprop_vectors(d_vectors)

    return TaggerOutput(emissions, gates, rows, lengths), backprop


def _head_inputs(model: Model, docs: list[Doc], vectors: list[Floats2d]) -> tuple[Any, ...]:
    """What a fusion is called with: padded words, distinct images, rows of these, mask.

    docs: each with at least one token; vectors: of their tokens.
    """
    ops = model.ops
    words: Any = ops.pad(vectors)
    width = get_module(model.get_ref("head")).output.in_features
    if words.shape[2] != width:
        raise ValueError(
            f"visual_ner was trained on word vectors of {width} values, and is given "
            f"{words.shape[2]}: another transformer has run last. Put the one that it was trained "
            "with right before it."
        )
    mask = np.arange(words.shape[1]) < np.array([len(doc) for doc in docs])[:, None]
    images: ImageFeatures | None = model.attrs["images"]
    if images is not None:
        features, image_rows = images.lookup(docs)
    else:
        features = np.zeros((0, 0), dtype=np.float32)
        image_rows = np.full(mask.shape, -1)
    arrays: list[Any] = [features, image_rows, mask]
    return (words, *map(ops.asarray, arrays))


def _to_torch(
    model: Model, inputs: tuple[Any, ...], is_train: bool
) -> tuple[ArgsKwargs, Callable[[ArgsKwargs], ArrayXd]]:
    device = cast(PyTorchShim, model.shims[0]).device
    words, *rest = inputs
    args = (
        xp2torch(words, requires_grad=is_train, device=device),
        *(xp2torch(array, device=device) for array in rest),
    )
    return ArgsKwargs(args=args, kwargs={}), lambda d_inputs: torch2xp(d_inputs.args[0])


def _from_torch(
    model: Model, inputs_outputs: tuple[Any, tuple[torch.Tensor, torch.Tensor]], is_train: bool
) -> tuple[tuple[Any, Any], Callable[[Floats3d], ArgsKwargs]]:
    _, (emissions, gates) = inputs_outputs

    def backprop(d_emissions: Floats3d) -> ArgsKwargs:
        gradient = xp2torch(d_emissions, device=emissions.device)
        return ArgsKwargs(args=((emissions,),), kwargs={"grad_tensors": (gradient,)})

    return (torch2xp(emissions), torch2xp(gates)), backprop
