"""What was found for the forms of words, so that it is found once."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from spacy.lexeme import Lexeme
from spacy.vocab import Vocab

# Images and scores for forms, (n_forms, k) each.
Found = tuple[NDArray[np.object_], NDArray[np.float32]]

MAX_FORMS = 1 << 17


class FormTable:
    """Ids and scores of the images of each form of a word.

    Several threads may ask at once. A full table is emptied.

    Args:
        find: Finds images for words.
        max_forms: How many forms to remember.
    """

    def __init__(self, find: Callable[[list[Lexeme]], Found], max_forms: int = MAX_FORMS) -> None:
        self._find = find
        self._max_forms = max_forms
        self._lock = Lock()
        self._table = _Table()

    def __reduce__(self) -> tuple[type[FormTable], tuple[Callable[[list[Lexeme]], Found]]]:
        # What was found can be found again. A component that is copied makes a new table.
        return FormTable, (_find_nothing,)

    def look_up(self, forms: NDArray[np.uint64], vocab: Vocab) -> Found:
        """Return what was found for forms, and find it for new ones.

        Args:
            forms: The forms as hashes of strings, (n,), with repetitions.
            vocab: The vocabulary that has the strings.

        Returns:
            Ids and scores, (n, k) each.
        """
        distinct, inverse = np.unique(forms, return_inverse=True)
        keys = distinct.tolist()
        # Only this table is read below, even if another thread begins a new one.
        table = self._table
        if any(key not in table.rows for key in keys):
            with self._lock:
                table = self._table
                if len(table.rows) + len(keys) > self._max_forms:
                    table = self._table = _Table()
                new = [key for key in keys if key not in table.rows]
                if new:
                    table.add(new, *self._find([vocab[key] for key in new]))
        rows = np.array([table.rows[key] for key in keys], np.int64)[inverse]
        return table.ids[rows], table.scores[rows]


class _Table:
    """Rows by form. What a reader has seen stays where it is: rows are only added."""

    def __init__(self) -> None:
        self.rows: dict[int, int] = {}
        self.ids = np.empty((0, 1), dtype=object)
        self.scores = np.empty((0, 1), np.float32)

    def add(self, forms: list[int], ids: NDArray[np.object_], scores: NDArray[np.float32]) -> None:
        start, end = len(self.rows), len(self.rows) + len(forms)
        if end > len(self.ids):
            capacity = max(end, 2 * len(self.ids))
            self.ids = _grown(self.ids, start, (capacity, ids.shape[1]))
            self.scores = _grown(self.scores, start, (capacity, ids.shape[1]))
        self.ids[start:end], self.scores[start:end] = ids, scores
        # Last, since it is what tells other threads that the rows are there.
        self.rows.update(zip(forms, range(start, end), strict=True))


def _find_nothing(words: list[Lexeme]) -> Found:
    raise NotImplementedError("A copied table belongs to no component.")


def _grown(array: NDArray, n_rows: int, shape: tuple[int, int]) -> NDArray:
    larger = np.empty(shape, array.dtype)
    if n_rows:
        larger[:n_rows] = array[:n_rows]
    return larger
