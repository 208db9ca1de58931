from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, Span
from spacy_transformers.span_getters import get_strided_spans
from transformers import AutoTokenizer

from spacy_vokens.models.piece_spans import (
    MAX_PADDED,
    PieceSpans,
    _batches,
    count_pieces,
    max_pieces,
    piece_limit,
)
from spacy_vokens.models.transformer import build_transformer_model_v1
from tests.conftest import LANG

VOCAB = spacy.blank(LANG).vocab
# Words with 10 and 31 pieces.
LONG, GIANT = "apple" + 9 * "s", "cat" + 30 * "s"
TOKENS = ["a", "cats", "paris", "\n", "\u200b", "ésééé", LONG, GIANT, "x" * 150]


@pytest.fixture(scope="module")
def tokenizer(text_encoder: str):
    return AutoTokenizer.from_pretrained(text_encoder, model_max_length=16)


@pytest.fixture(scope="module")
def model(text_encoder: str):
    """A transformer that takes 16 word pieces, [CLS] and [SEP] included."""
    model = build_transformer_model_v1(
        text_encoder, PieceSpans(6, 4), {"use_fast": True, "model_max_length": 16}
    )
    model.initialize(X=[Doc(VOCAB, words=["a", "cat"])])
    return model


def bounds(spans: list[Span]) -> list[tuple[int, int]]:
    return [(span.start, span.end) for span in spans]


@given(tokens=st.lists(st.sampled_from(TOKENS), max_size=40), window=st.integers(1, 8))
@settings(max_examples=150)
@pytest.mark.parametrize("fitted", [True, False])
def test_every_word_is_in_a_span_that_fits(model, fitted: bool, tokens, window: int) -> None:
    get_spans = PieceSpans(window, max(1, window - 2))
    if fitted:
        get_spans.fit(model.layers[0].shims[0])
    doc = Doc(VOCAB, words=tokens)
    (spans,) = get_spans([doc])
    assert {token for start, end in bounds(spans) for token in range(start, end)} == set(
        range(len(doc))
    )
    for span in spans:
        words = [token for token in span if not token.is_space]
        (n_pieces,) = count_pieces([span.text], model.tokenizer if fitted else None)
        assert len(words) <= window
        assert len(words) <= 1 or n_pieces <= (14 if fitted else 504)


@given(
    tokens=st.lists(st.sampled_from(["a", "cat", "in"]), max_size=60),
    window=st.integers(1, 12),
    data=st.data(),
)
def test_short_words_are_split_as_by_spacy_transformers(tokens, window: int, data) -> None:
    stride = data.draw(st.integers(1, window))
    docs = [Doc(VOCAB, words=tokens)]
    expected = get_strided_spans(docs, window, stride)
    assert list(map(bounds, PieceSpans(window, stride)(docs))) == list(map(bounds, expected))


@given(data=st.data())
def test_spans_do_not_depend_on_white_space(model, data) -> None:
    words = data.draw(st.lists(st.sampled_from(["a", "cats", LONG, GIANT]), min_size=1))
    spaced: list[str] = []
    for word in words:
        spaced += [*data.draw(st.lists(st.sampled_from(["\n", "  "]), max_size=3)), word]
    get_spans = model.attrs["get_spans"]
    texts = []
    for tokens in (words, spaced):
        (spans,) = get_spans([Doc(VOCAB, words=tokens)])
        texts.append([[token.text for token in span if not token.is_space] for span in spans])
    assert texts[0] == texts[1]


def test_only_white_space_and_nothing(model) -> None:
    docs = [Doc(VOCAB), Doc(VOCAB, words=["\n"] * 30)]
    assert list(map(bounds, model.attrs["get_spans"](docs))) == [[], [(0, 30)]]


def test_no_word_loses_its_vector(model) -> None:
    """Unlike with spans of a number of tokens."""
    words = [LONG, GIANT] * 3 + ["a", "cat", "in", "paris"]
    doc = Doc(VOCAB, words=words)
    batch = model.predict([doc])
    lengths = np.asarray(batch.doc_data[0].align.lengths)
    assert lengths.shape == (len(words),)
    assert lengths.all()
    model.attrs["get_spans"], get_spans = (
        lambda docs: get_strided_spans(docs, 128, 96),
        model.attrs["get_spans"],
    )
    lost = np.asarray(model.predict([doc]).doc_data[0].align.lengths) == 0
    model.attrs["get_spans"] = get_spans
    assert lost.tolist() == [False] * 2 + [True] * 8


@given(st.text(max_size=30))
def test_a_text_has_at_most_so_many_pieces(tokenizer, text: str) -> None:
    assert count_pieces([text], tokenizer)[0] <= max_pieces(text)


@pytest.mark.parametrize("text", ["\ufdfa", "한국", "Straße", "ﬃ", "😀"])
def test_characters_that_tokenizers_take_apart(text: str) -> None:
    import unicodedata

    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert max_pieces(text) >= len(unicodedata.normalize(form, text).encode())


def test_the_limit(tokenizer, text_encoder: str) -> None:
    assert piece_limit(tokenizer) == 16
    unbounded = AutoTokenizer.from_pretrained(text_encoder, model_max_length=10**30)
    assert piece_limit(unbounded) >= 1_000_000

    class Config:
        max_position_embeddings = 514

    assert piece_limit(unbounded, Config) == 512
    assert piece_limit(tokenizer, Config) == 16


def test_counting_leaves_the_padding_of_a_tokenizer_alone(model) -> None:
    """Another thread may be using it."""
    padding = model.tokenizer._tokenizer.padding
    assert padding is not None
    count_pieces(["a", "cats in paris"], model.tokenizer)
    assert model.tokenizer._tokenizer.padding == padding


def test_copies(model) -> None:
    """A copy counts with the tokenizer of the copied transformer."""
    doc = Doc(VOCAB, words=[LONG, "a", "cat"] * 9)
    expected = bounds(model.attrs["get_spans"]([doc])[0])
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.copy()):
        get_spans = other.attrs["get_spans"]
        assert get_spans._shim._hfmodel.tokenizer is not None
        assert bounds(get_spans([doc])[0]) == expected


def test_white_space_does_not_break_up_the_other_spans() -> None:
    words = ["a"] * 300
    doc = Doc(VOCAB, words=[*words, " " * 600, *words])
    assert len(PieceSpans(128, 96)([doc])[0]) < 12


@given(lengths=st.lists(st.sampled_from([0, 1, 9, 5000, 70_000, 200_000]), max_size=60))
def test_texts_are_not_padded_to_a_long_one(lengths: list[int]) -> None:
    batches = list(_batches(["x" * length for length in lengths]))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        assert len(batch) == 1 or len(batch) * longest <= MAX_PADDED


def test_texts_of_all_lengths_are_counted(model) -> None:
    texts = ["a", " ".join(["cats"] * 15_000), "", "in paris"]
    assert count_pieces(texts, model.tokenizer) == [1, 30_000, 0, 2]


@pytest.mark.parametrize(("window", "stride"), [(4, 5), (4, 0), (0, 0)])
def test_a_stride_that_skips_words_is_an_error(window: int, stride: int) -> None:
    with pytest.raises(ValueError, match=f"stride is {stride} and window {window}"):
        PieceSpans(window, stride)
