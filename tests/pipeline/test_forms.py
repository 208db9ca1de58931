from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from spacy.lexeme import Lexeme
from spacy.vocab import Vocab

from spacy_vokens.pipeline.forms import FormTable

WORDS = [f"word{number}" for number in range(30)]
Arrays = tuple[NDArray, NDArray]


def compute(words: list[Lexeme]) -> Arrays:
    """Arrays of two shapes and types that tell a word from all others."""
    numbers = [int(word.text.removeprefix("word")) for word in words]
    vectors = np.array([[n, -n, 0.5 * n] for n in numbers], np.float32).reshape(-1, 3)
    return vectors, np.array([f"of {n}" for n in numbers], object)


def hashes(vocab: Vocab, words: list[str]) -> NDArray[np.uint64]:
    return np.array([vocab.strings.add(word) for word in words], np.uint64)


def assert_rows_of(found: tuple[NDArray, ...], words: list[str], vocab: Vocab) -> None:
    expected = compute([vocab[word] for word in words])
    assert len(found) == len(expected)
    for array, other in zip(found, expected, strict=True):
        assert array.dtype == other.dtype
        np.testing.assert_array_equal(array, other)


@pytest.fixture(scope="module")
def vocab() -> Vocab:
    return Vocab()


@pytest.fixture
def counting() -> tuple[Callable[[list[Lexeme]], Arrays], Counter[str]]:
    """The computation, and how often each word was computed."""
    counts: Counter[str] = Counter()

    def count(words: list[Lexeme]) -> Arrays:
        counts.update(word.text for word in words)
        return compute(words)

    return count, counts


@given(
    batches=st.lists(st.lists(st.sampled_from(WORDS), max_size=12), max_size=12),
    max_forms=st.sampled_from([1, 3, 8, 1000]),
)
def test_rows_are_those_of_a_direct_computation(batches: list[list[str]], max_forms: int) -> None:
    """For any batches, with a table that is always, sometimes and never full."""
    vocab, table = Vocab(), FormTable(compute, max_forms)
    for batch in batches:
        assert_rows_of(table.look_up(hashes(vocab, batch), vocab), batch, vocab)


@given(batches=st.lists(st.lists(st.sampled_from(WORDS), max_size=12), max_size=12))
def test_a_form_is_computed_once(batches: list[list[str]]) -> None:
    vocab, counts = Vocab(), Counter[str]()

    def count(words: list[Lexeme]) -> Arrays:
        counts.update(word.text for word in words)
        return compute(words)

    table = FormTable(count)
    for batch in batches:
        table.look_up(hashes(vocab, batch), vocab)
    assert counts == Counter({word for batch in batches for word in batch})


def test_a_full_table_is_emptied(
    vocab: Vocab, counting: tuple[Callable[[list[Lexeme]], Arrays], Counter[str]]
) -> None:
    count, counts = counting
    table = FormTable(count, max_forms=4)
    for batch in (WORDS[:3], WORDS[:3], WORDS[2:5], WORDS[2:5], WORDS[:1]):
        assert_rows_of(table.look_up(hashes(vocab, batch), vocab), batch, vocab)
    # The third batch had no room, so all of its words were computed, and the others forgotten.
    assert counts == {"word0": 2, "word1": 1, "word2": 2, "word3": 1, "word4": 1}


def test_more_forms_at_once_than_a_table_keeps(vocab: Vocab) -> None:
    table = FormTable(compute, max_forms=2)
    for _ in range(2):
        assert_rows_of(table.look_up(hashes(vocab, WORDS), vocab), WORDS, vocab)


def test_no_forms(vocab: Vocab) -> None:
    """Empty documents, before and after others."""
    table = FormTable(compute)
    assert_rows_of(table.look_up(hashes(vocab, []), vocab), [], vocab)
    assert_rows_of(table.look_up(hashes(vocab, WORDS[:2]), vocab), WORDS[:2], vocab)
    assert_rows_of(table.look_up(hashes(vocab, []), vocab), [], vocab)


def test_callers_may_change_what_they_get(vocab: Vocab) -> None:
    table = FormTable(compute)
    forms = hashes(vocab, WORDS[:2])
    vectors, _ = table.look_up(forms, vocab)
    vectors[:] = np.nan
    assert_rows_of(table.look_up(forms, vocab), WORDS[:2], vocab)


def test_a_failed_computation_leaves_nothing(vocab: Vocab) -> None:
    is_broken = True

    def sometimes(words: list[Lexeme]) -> Arrays:
        if is_broken:
            raise OSError("out of memory")
        return compute(words)

    table = FormTable(sometimes)
    forms = hashes(vocab, WORDS)
    with pytest.raises(OSError, match="out of memory"):
        table.look_up(forms, vocab)
    is_broken = False
    assert_rows_of(table.look_up(forms, vocab), WORDS, vocab)


@pytest.mark.parametrize("max_forms", [5, 20, 1000])
def test_threads_get_the_right_rows(vocab: Vocab, max_forms: int) -> None:
    """Also while another thread empties the table, or makes room in it."""
    table = FormTable(compute, max_forms)
    hashes(vocab, WORDS)

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(300):
            batch = random.choice(WORDS, random.integers(0, 8)).tolist()
            assert_rows_of(table.look_up(hashes(vocab, batch), vocab), batch, vocab)

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(work, range(4))) == [None] * 4


def test_threads_that_ask_at_once_compute_a_form_once(
    vocab: Vocab, counting: tuple[Callable[[list[Lexeme]], Arrays], Counter[str]]
) -> None:
    count, counts = counting
    table = FormTable(count)
    forms = hashes(vocab, WORDS)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: table.look_up(forms, vocab), range(40)))
    assert set(counts.values()) == {1}


def test_strings_of_another_vocabulary(vocab: Vocab) -> None:
    """A form that is known already may lack its string in the vocabulary that asks for it."""
    first, second, neither = Vocab(), Vocab(), Vocab()
    table = FormTable(compute)
    assert_rows_of(table.look_up(hashes(first, WORDS[:2]), first), WORDS[:2], vocab)
    assert_rows_of(table.look_up(hashes(second, WORDS[1:4]), second), WORDS[1:4], vocab)
    assert WORDS[3] not in first.strings
    assert_rows_of(table.look_up(hashes(vocab, WORDS[:4]), neither), WORDS[:4], vocab)
    with pytest.raises(KeyError):
        table.look_up(hashes(vocab, WORDS[4:5]), neither)
