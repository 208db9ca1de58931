from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_vokens.files import VokensError, array_to_bytes
from spacy_vokens.names import NAME, ImageNames

# Stems of the texts of images. Some hashes are as large as they get.
STEMS = st.sampled_from([0, 1, 2, 2**63, 2**64 - 1])
TEXTS = st.lists(st.lists(st.lists(STEMS, max_size=4), max_size=3), max_size=5)


def make_names(*names: tuple[int, int, float]) -> Any:
    return np.array(list(names), NAME)


@given(TEXTS, st.lists(STEMS, min_size=1, max_size=4), st.data())
def test_each_value_is_that_of_the_best_text(
    texts: list[list[list[int]]], words: list[int], data: st.DataObject
) -> None:
    names = ImageNames.from_texts(texts)
    rows = data.draw(st.lists(st.integers(-1, len(texts) - 1), min_size=3, max_size=3))
    found = names.look_up(np.array(words, np.uint64), np.array([rows] * len(words)))
    for word, values in zip(words, found.tolist(), strict=True):
        for row, value in zip(rows, values, strict=True):
            of_image = [] if row < 0 else [set(text) for text in texts[row] if word in text]
            expected = max((0.5 + 0.5 / len(text) for text in of_image), default=0.0)
            assert value == pytest.approx(expected)
    again = ImageNames.from_bytes(names.to_bytes(), len(texts))
    np.testing.assert_array_equal(again.names, names.names)


def test_a_name_counts_more_than_a_caption() -> None:
    names = ImageNames.from_texts([[[7]], [[7, 8, 9, 10]], [[8]]])
    found = names.look_up(np.array([7], np.uint64), np.array([[0, 1, 2, -1]]))
    assert found.tolist() == [[1.0, 0.625, 0.0, 0.0]]


@pytest.mark.parametrize(
    "names",
    [
        make_names((1, 2, 0.5)),
        make_names((1, -1, 0.5)),
        make_names((1, 0, 0.0)),
        make_names((1, 0, np.nan)),
        make_names((1, 0, 1.5)),
        make_names((1, 0, 0.5), (1, 0, 0.5)),
        make_names((1, 1, 0.5), (1, 0, 0.5)),
        make_names((2, 0, 0.5), (1, 0, 0.5)),
        np.zeros(3, np.float32),
    ],
)
def test_what_cannot_be_is_an_error(names: Any) -> None:
    with pytest.raises(VokensError):
        ImageNames.from_bytes(array_to_bytes(names), 2)
