"""Static vectors of words: the same for a word in every context.

A source of them is a Thinc model that takes lexemes and gives an array (n_words, width), with NaN
in the row of a word that it has no vector for. It is never trained.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

import numpy as np
from spacy.lexeme import Lexeme
from thinc.api import Model
from thinc.types import Floats2d
from tokenizers import Tokenizer
from transformers import AutoModel, AutoTokenizer

from ..files import VokensError
from .matching import as_floats
from .torch.eight_bits import to_eight_bits


def build_piece_vectors_v1(name: str) -> Model[list[Lexeme], Floats2d]:
    """Build `spacy-vokens.PieceVectors.v1`: word vectors from a text encoder's input.

    A word's vector is the mean of the encoder's input vectors for the word's pieces. A word with a
    piece that the encoder does not know has none. The table is stored in 8 bits per value, with one
    scale per piece.

    Args:
        name: Folder of the encoder, or its name on the hub. It is read when the model is
            initialized, and not needed later.

    Returns:
        The model, without vectors.
    """
    return Model(
        "piece_vectors",
        _piece_forward,
        init=_piece_init,
        dims={"nO": None},
        params={"pieces": None, "scales": None},
        attrs={"name": name, "tokenizer": "", "unknown": -1},
    )


def build_vocab_vectors_v1() -> Model[list[Lexeme], Floats2d]:
    """Build `spacy-vokens.VocabVectors.v1`: the word vectors of the pipeline's vocabulary.

    They are those of `[initialize] vectors`, for instance fastText's after `spacy init vectors`.

    Returns:
        The model. The vectors stay in the vocabulary.
    """
    return Model("vocab_vectors", _vocab_forward, init=_vocab_init, dims={"nO": None})


def _piece_init(model: Model, X: list[Lexeme] | None = None, Y: object = None) -> None:
    name = model.attrs["name"]
    tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True)
    if not tokenizer.is_fast:
        raise VokensError(
            f"{name} has no fast tokenizer, which spacy-vokens.PieceVectors.v1 needs. Save one "
            "with the encoder (tokenizer.json), or choose another encoder."
        )
    weight = AutoModel.from_pretrained(name).get_input_embeddings().weight
    pieces, scales = (array.cpu().numpy() for array in to_eight_bits(weight.detach()))
    # Thinc changes no width of a model that has weights.
    for param in ("pieces", "scales"):
        model.set_param(param, None)
    model.set_dim("nO", pieces.shape[1], force=True)
    model.set_param("pieces", cast(Any, model.ops).asarray(pieces))
    model.set_param("scales", as_floats(model.ops, scales))
    model.attrs["tokenizer"] = tokenizer.backend_tokenizer.to_str()
    unknown = tokenizer.unk_token_id
    model.attrs["unknown"] = -1 if unknown is None else unknown


def _piece_forward(
    model: Model, words: list[Lexeme], is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], list[Lexeme]]]:
    if not words:
        return model.ops.alloc2f(0, model.get_dim("nO")), _no_gradient
    ops, unknown = model.ops, model.attrs["unknown"]
    tokenizer = _parse_tokenizer(model.attrs["tokenizer"])
    # With a blank in front, as within a text: some encoders mark the beginning of a word by it.
    encoded = tokenizer.encode_batch([f" {word.text}" for word in words], add_special_tokens=False)
    ids = [[] if unknown in word.ids else word.ids for word in encoded]
    means: Any = ops.alloc2f(len(words), model.get_dim("nO"))
    means[:] = np.nan
    known = [row for row, pieces in enumerate(ids) if pieces]
    if known:
        flat = ops.asarray1i([piece for pieces in ids for piece in pieces])
        vectors: Any = model.get_param("pieces")[flat] * model.get_param("scales")[flat]
        lengths = ops.asarray1i([len(ids[row]) for row in known])
        means[known] = ops.reduce_mean(vectors, lengths)
    return means, _no_gradient


def _vocab_init(model: Model, X: list[Lexeme] | None = None, Y: object = None) -> None:
    # Its stub lacks the vocabulary.
    word: Any = X[0] if X else None
    width = word.vocab.vectors_length if X else 0
    if not width:
        raise VokensError(
            "The pipeline has no word vectors, which spacy-vokens.VocabVectors.v1 needs. Set "
            "paths.vectors to a pipeline that has them, for instance one made by 'spacy init "
            "vectors'."
        )
    model.set_dim("nO", width, force=True)


def _vocab_forward(
    model: Model, words: list[Lexeme], is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], list[Lexeme]]]:
    vectors = np.full((len(words), model.get_dim("nO")), np.nan, np.float32)
    for row, word in enumerate(words):
        if word.has_vector:
            vectors[row] = model.ops.to_numpy(word.vector)
    return as_floats(model.ops, vectors), _no_gradient


@lru_cache(maxsize=4)
def _parse_tokenizer(text: str) -> Tokenizer:
    tokenizer = Tokenizer.from_str(text)
    # Words are short, and no word is cut off or made longer.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _no_gradient(d_vectors: Floats2d) -> list[Lexeme]:
    return []
