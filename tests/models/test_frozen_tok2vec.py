from __future__ import annotations

import copy
import pickle

import numpy as np
import spacy
from spacy.tokens import Doc
from thinc.api import Model

from spacy_vokens.models.frozen_tok2vec import VectorCache, build_frozen_tok2vec_v1, enable_cache
from tests.conftest import LANG

NLP = spacy.blank(LANG)


def make(max_bytes: int = 10_000) -> tuple[Model, list[int]]:
    """A layer over one that gives a token its length, and counts the documents it is asked for."""
    calls: list[int] = []

    def forward(model: Model, docs: list[Doc], is_train: bool):
        calls.append(len(docs))
        assert not is_train
        return [
            np.array([[len(t)] * 4 for t in doc], dtype="f").reshape(-1, 4) for doc in docs
        ], None

    return build_frozen_tok2vec_v1(Model("lengths", forward), max_bytes), calls


def test_nothing_flows_back() -> None:
    model, _ = make()
    vectors, backprop = model([NLP("a bb")], is_train=True)
    assert backprop(vectors) == []


def test_cache_is_off_until_enabled() -> None:
    model, calls = make()
    for _ in range(2):
        model.predict([NLP("a bb")])
    assert calls == [1, 1]


def test_cache_asks_once_for_equal_documents() -> None:
    model, calls = make()
    docs = [NLP("a bb"), NLP("ccc"), NLP("a bb")]
    plain = model.predict(docs)
    enable_cache(model)
    for _ in range(2):
        for ours, theirs in zip(model.predict(docs), plain, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert calls == [3, 2]


def test_key_is_words_and_spaces() -> None:
    model, calls = make()
    enable_cache(model)
    for spaces in ([True, False], [False, False]):
        model.predict([Doc(NLP.vocab, words=["a", "b"], spaces=spaces)])
    assert calls == [1, 1]


def test_bound() -> None:
    model, calls = make(max_bytes=2 * 4 * 2)  # two tokens of width 4 in half precision
    enable_cache(model)
    docs = [NLP("a b"), NLP("c d")]
    for _ in range(2):
        assert [v.shape for v in model.predict(docs)] == [(2, 4), (2, 4)]
    assert calls == [2, 1]
    assert len(model.attrs["cache"]) == 1


def test_copies_and_pickles_are_empty_and_off() -> None:
    cache = VectorCache(100)
    cache.enabled = True
    cache.add(b"key", np.zeros(3, np.float16))
    for other in (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))):
        assert not other.enabled
        assert len(other) == 0
        assert other.max_bytes == 100


def test_cache_is_not_serialised() -> None:
    model, _ = make()
    before = len(model.to_bytes())
    enable_cache(model)
    model.predict([NLP("a b c d e f")])
    assert len(model.to_bytes()) == before
