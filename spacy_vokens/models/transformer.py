"""Transformers that read every word, and that several threads can ask at once.

The models are those of spacy-transformers, whose configs and weights they take. Four things are
added. Their spans are fitted to the encoder (see `piece_spans`), prediction leaves the network in
evaluation mode (see `torch_layer`), control characters between words are read as blanks, and
`spacy vokens shrink` stores the word embeddings, half of a small encoder, in 8 bits per value.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from spacy.tokens import Doc
from spacy.util import SimpleFrozenDict
from spacy_transformers.data_classes import FullTransformerBatch, HFObjects
from spacy_transformers.layers import TransformerModel, split_trf_batch, trfs2arrays
from spacy_transformers.layers.hf_shim import HFShim
from spacy_transformers.layers.transformer_model import (
    huggingface_tokenize,
    set_pytorch_transformer,
)
from spacy_transformers.span_getters import SpannerT
from thinc.api import Model, chain
from thinc.types import Floats2d, Ragged
from tokenizers import Regex
from tokenizers.normalizers import Replace, Sequence
from torch import nn
from transformers import AutoModel, PretrainedConfig, PreTrainedModel

from .piece_spans import PieceSpans
from .torch.eight_bits import save_in_eight_bits
from .torch_layer import EvaluationMode

# Control characters that are white space. BERT's tokenizer deletes them, so that the words on both
# sides become one.
_CONTROL_SPACES = Replace(Regex("[\x0b\x0c\x1c-\x1f\x85]"), " ")


def read_control_spaces(tokenizer: Any) -> None:
    """Have a tokenizer read control characters that are white space, such as form feeds, as blanks.

    Args:
        tokenizer: The tokenizer. A slow one stays as it is.
    """
    if not tokenizer.is_fast:
        return
    backend = tokenizer.backend_tokenizer
    normalizer = backend.normalizer
    first = normalizer[0] if isinstance(normalizer, Sequence) else None
    # A saved tokenizer keeps it.
    if first is None or first.__getstate__() != _CONTROL_SPACES.__getstate__():
        rest = [] if normalizer is None else [normalizer]
        backend.normalizer = Sequence([_CONTROL_SPACES, *rest])


class Encoder:
    """What the shim makes an encoder by before it loads the weights."""

    @staticmethod
    def from_config(config: PretrainedConfig) -> PreTrainedModel:
        """Make an encoder whose word embeddings take 8 bits per value in a shrunk pipeline."""
        encoder: PreTrainedModel = AutoModel.from_config(config)
        # Encoders that read characters by hashes have no such table.
        with contextlib.suppress(NotImplementedError):
            if isinstance(embeddings := encoder.get_input_embeddings(), nn.Embedding):
                save_in_eight_bits(embeddings)
        return encoder


class TransformerShim(EvaluationMode, HFShim):
    """The shim of spacy-transformers, for several threads that predict at once."""

    def from_bytes(self, bytes_data: bytes) -> TransformerShim:
        """Load tokenizer and weights.

        Args:
            bytes_data: What `to_bytes` returned.

        Returns:
            The shim itself.
        """
        super().from_bytes(bytes_data)
        if (tokenizer := self._hfmodel.tokenizer) is not None:
            read_control_spaces(tokenizer)
            # A tokenizer's first call sets how it pads, which fails while another thread uses it.
            huggingface_tokenize(tokenizer, ["a"])
        return self


def build_transformer_model_v1(
    name: str,
    get_spans: SpannerT,
    tokenizer_config: Mapping[str, Any] = SimpleFrozenDict(),
    transformer_config: Mapping[str, Any] = SimpleFrozenDict(),
    mixed_precision: bool = False,
    grad_scaler_config: Mapping[str, Any] = SimpleFrozenDict(),
) -> Model[list[Doc], FullTransformerBatch]:
    """Build `spacy-vokens.TransformerModel.v1`, for the component `transformer`.

    It takes the arguments of `spacy-transformers.TransformerModel.v3`.

    Args:
        name: Folder of the encoder, or its name on the hub.
        get_spans: Splits documents into spans, which are encoded one by one.
        tokenizer_config: Settings of the tokenizer.
        transformer_config: Settings of the encoder.
        mixed_precision: Whether to use half precision where PyTorch can, on a GPU.
        grad_scaler_config: Settings of the gradient scaler that mixed precision needs.

    Returns:
        The model, without weights.
    """
    model = TransformerModel(
        name,
        get_spans,
        dict(tokenizer_config),
        dict(transformer_config),
        mixed_precision,
        # spacy-transformers changes it.
        dict(grad_scaler_config),
    )
    wrapper = model.layers[0]
    shim = TransformerShim(
        wrapper.shims[0]._hfmodel,
        mixed_precision=mixed_precision,
        grad_scaler_config=dict(grad_scaler_config),
        model_cls=Encoder,
    )
    wrapper.shims[0] = shim
    model.attrs["set_transformer"] = _set_transformer
    model.attrs["replace_listener_cfg"] = _replace_listener_config
    if isinstance(get_spans, PieceSpans):
        get_spans.fit(shim)
    return model


def build_tok2vec_transformer_v1(
    name: str,
    get_spans: SpannerT,
    pooling: Model[Ragged, Floats2d],
    tokenizer_config: Mapping[str, Any] = SimpleFrozenDict(),
    transformer_config: Mapping[str, Any] = SimpleFrozenDict(),
    grad_factor: float = 1.0,
    mixed_precision: bool = False,
    grad_scaler_config: Mapping[str, Any] = SimpleFrozenDict(),
) -> Model[list[Doc], list[Floats2d]]:
    """Build `spacy-vokens.Tok2VecTransformer.v1`: a transformer that one component has to itself.

    It takes the arguments of `spacy-transformers.Tok2VecTransformer.v3`.

    Args:
        name: Folder of the encoder, or its name on the hub.
        get_spans: Splits documents into spans, which are encoded one by one.
        pooling: Makes one vector of the vectors of a token's word pieces.
        tokenizer_config: Settings of the tokenizer.
        transformer_config: Settings of the encoder.
        grad_factor: Multiplies the gradients. 0 freezes the encoder.
        mixed_precision: Whether to use half precision where PyTorch can, on a GPU.
        grad_scaler_config: Settings of the gradient scaler that mixed precision needs.

    Returns:
        The model, without weights. It gives each document an array (n_tokens, width).
    """
    model: Any = build_transformer_model_v1(
        name,
        get_spans,
        tokenizer_config,
        transformer_config,
        mixed_precision,
        grad_scaler_config,
    )
    # Nested as in spacy-transformers, so that the same weights can be loaded.
    return chain(chain(model, split_trf_batch()), trfs2arrays(pooling, grad_factor))


def _set_transformer(model: TransformerModel, objects: HFObjects) -> None:
    """Give a model a transformer that was loaded by its name."""
    read_control_spaces(objects.tokenizer)
    set_pytorch_transformer(model, objects)


def _replace_listener_config(
    transformer: dict[str, Any], listener: dict[str, Any]
) -> dict[str, Any]:
    """Return the config of what `nlp.replace_listeners` puts in a listener's place."""
    if "TransformerListener" not in listener["@architectures"]:
        return dict(transformer)
    shared: dict[str, Any] = {
        key: listener[key] for key in ("pooling", "grad_factor") if key in listener
    }
    return {**shared, **transformer, "@architectures": "spacy-vokens.Tok2VecTransformer.v1"}
