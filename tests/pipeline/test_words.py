from __future__ import annotations

import numpy as np
import pytest

from spacy_vokens.pipeline.words import spans_of_tokens, tags_of_words


@pytest.mark.parametrize(
    ("tags", "words", "expected"),
    [
        ([1, 2, 2], [0, 1, 2], [1, 2, 2]),
        ([1, 2, 2], [1, 2], [1, 2]),
        ([1, 2, 2], [0, 2], [1, 2]),
        # Two entities of one type, whose second begins with a token that is no word.
        ([1, 1, 2], [0, 2], [1, 1]),
        ([0, 3, 4, 0], [0, 2, 3], [0, 3, 0]),
        ([3, -1, 4], [1, 2], [-1, 3]),
        ([1, 0], [1], [0]),
        ([1], [], []),
    ],
)
def test_tags_of_words(tags: list[int], words: list[int], expected: list[int]) -> None:
    assert tags_of_words(tags, np.array(words, dtype=np.int64)) == expected


def test_spans_of_tokens() -> None:
    # Words are the tokens 1, 2 and 4.
    found = spans_of_tokens(np.array([[0, 1, 5], [1, 3, 6]]), np.array([1, 2, 4]))
    assert found.tolist() == [[1, 2, 5], [2, 5, 6]]
    assert spans_of_tokens(np.zeros((0, 3), dtype=np.int64), np.zeros(0, dtype=np.int64)).size == 0
