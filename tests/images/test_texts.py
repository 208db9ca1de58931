from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_vokens.images.texts import (
    MAX_CHARACTERS,
    MAX_TEXTS,
    check_texts,
    hash_texts,
    join_texts,
)

LONG = "x" * MAX_CHARACTERS


@pytest.mark.parametrize("texts", [[], ["a dog"], ("a dog", "ein Hund 犬 🐕"), [LONG] * MAX_TEXTS])
def test_texts_that_a_pool_keeps(texts: list[str]) -> None:
    assert check_texts(texts) == tuple(texts)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("a dog", "must be a list of strings, found 'a dog'"),
        (None, "must be a list of strings, found None"),
        ({"a": "dog"}, "must be a list of strings"),
        (["a dog", 7], "must be a list of strings"),
        (["a"] * (MAX_TEXTS + 1), "65 texts, more than 64"),
        ([LONG + "x"], "'x{20}'… has 1,001 characters, more than 1,000"),
        (["a dog", " "], "a text is empty"),
        ([""], "a text is empty"),
        *[([f"a{c}b"], "holds control characters") for c in "\0\n\x1b\x85\u2028\ud800"],
    ],
)
def test_texts_that_are_refused(texts: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_texts(texts)


def test_texts_are_cleaned() -> None:
    given = ["  a\tdog \n", "", "a dog", "\0", "the\u2028cat\x07s"]
    assert join_texts(given) == (("a dog", "the cat s"), False)


def test_what_is_too_much_is_cut() -> None:
    assert join_texts([LONG]) == ((LONG,), False)
    assert join_texts([LONG + "y", LONG + "z"]) == ((LONG,), True)
    assert join_texts(["x" * (MAX_CHARACTERS - 1) + " y"]) == ((LONG[:-1],), True)
    many = [str(number) for number in range(MAX_TEXTS + 1)]
    assert join_texts(many[:-1] * 2) == (tuple(many[:-1]), False)
    assert join_texts(many) == (tuple(many[:-1]), True)


@given(st.lists(st.text(max_size=8) | st.text().map(lambda text: text * 300), max_size=80))
def test_joined_texts_are_those_that_a_pool_keeps(texts: list[str]) -> None:
    joined, _ = join_texts(texts)
    assert check_texts(joined) == joined
    assert join_texts(joined) == (joined, False)
    assert len(set(joined)) == len(joined)


def test_the_hash_tells_all_texts_apart() -> None:
    pools: list[list[tuple[str, ...]]] = [
        [("a", "b"), ()],
        [("a",), ("b",)],
        [(), ("a", "b")],
        [("b", "a"), ()],
        [("ab",), ()],
        [("a", "b"), (), ()],
    ]
    hashes = {hash_texts(texts) for texts in pools}
    assert len(hashes) == len(pools)
    assert all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256 in hashes)
    assert hash_texts([]) == hash_texts([(), ()]) == ""
