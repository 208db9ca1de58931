"""The registered model builders."""

from __future__ import annotations

from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d
from torch import nn

from .layers.frozen_tok2vec import FrozenTok2Vec
from .layers.matching import CrossModalMatching
from .layers.visual_tagger import TaggerOutput, VisualTagger
from .tagger.fusion import NoFusion


def frozen_tok2vec(
    tok2vec: Model[list[Doc], list[Floats2d]], cache_bytes: int = 2**31
) -> Model[list[Doc], list[Floats2d]]:
    """Build `spacy-vokens.FrozenTok2Vec.v1`: a tok2vec that is never trained.

    tok2vec: the layer to freeze.
    cache_bytes: bound of what is kept of its outputs during training.
    """
    return FrozenTok2Vec(tok2vec, cache_bytes)


def cross_modal_matching(
    tok2vec: Model[list[Doc], list[Floats2d]],
    loss: nn.Module,
    hidden_width: int = 256,
    width: int = 64,
) -> Model[list[Doc], list[Floats2d]]:
    """Build `spacy-vokens.CrossModalMatching.v1`, the model of `voken_retriever`.

    tok2vec: the text encoder, frozen or not.
    loss: a module of `matching.losses`, or one of the same signature.
    hidden_width: of the towers' hidden layer.
    width: of the shared space.
    """
    return CrossModalMatching(tok2vec, loss, hidden_width, width)


def visual_tagger(
    tok2vec: Model[list[Doc], list[Floats2d]],
    fusion: NoFusion,
    voken_dropout: float = 0.1,
    mixed_precision: bool = False,
) -> Model[list[Doc], TaggerOutput]:
    """Build `spacy-vokens.VisualTagger.v1`, the model of `visual_ner`.

    tok2vec: the words' encoder, usually a transformer listener.
    fusion: how image features enter.
    voken_dropout: how often training hides a sentence's images, and a word's.
    mixed_precision: half precision for the head, on a GPU.
    """
    return VisualTagger(tok2vec, fusion, voken_dropout, mixed_precision)
