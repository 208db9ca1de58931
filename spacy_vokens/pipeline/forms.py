"""What depends on the form of a word alone, so that it is computed once."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.lexeme import Lexeme
from spacy.vocab import Vocab

MAX_FORMS = 1 << 17

# Computes arrays for words, with one row per word each.
Compute = Callable[[list[Lexeme]], tuple[NDArray[Any], ...]]


class FormTable:
    """Arrays with one row for each form of a word that was asked for.

    Several threads may ask at once. A full table is emptied.

    Args:
        compute: Computes the arrays' rows for words.
        max_forms: How many forms to remember.
    """

    def __init__(self, compute: Compute, max_forms: int = MAX_FORMS) -> None:
        self._compute = compute
        self._max_forms = max_forms
        self._lock = Lock()
        self._table = _Table()

    def look_up(self, forms: NDArray[np.uint64], vocab: Vocab) -> tuple[NDArray[Any], ...]:
        """Return the rows of forms, and compute those of new ones.

        Args:
            forms: The forms as hashes of strings, (n,), with repetitions.
            vocab: The vocabulary that has the strings.

        Returns:
            The arrays, each with n rows.
        """
        distinct, inverse = np.unique(forms, return_inverse=True)
        keys = distinct.tolist()
        # Only this table is read below, even if another thread begins a new one.
        table = self._table
        # A new table has no arrays, which are needed even for no forms at all.
        if not table.arrays or any(key not in table.rows for key in keys):
            with self._lock:
                table = self._table
                if len(table.rows) + len(keys) > self._max_forms:
                    table = self._table = _Table()
                new = [key for key in keys if key not in table.rows]
                if new or not table.arrays:
                    table.add(new, self._compute([vocab[key] for key in new]))
        rows = np.array([table.rows[key] for key in keys], np.int64)[inverse]
        return tuple(array[rows] for array in table.arrays)


class _Table:
    """Rows by form. What a reader has seen stays where it is: rows are only added."""

    def __init__(self) -> None:
        self.rows: dict[int, int] = {}
        self.arrays: tuple[NDArray[Any], ...] = ()

    def add(self, forms: list[int], arrays: tuple[NDArray[Any], ...]) -> None:
        start, end = len(self.rows), len(self.rows) + len(forms)
        if not self.arrays or end > len(self.arrays[0]):
            capacity = max(end, 2 * start)
            larger = [np.empty((capacity, *array.shape[1:]), array.dtype) for array in arrays]
            for new, old in zip(larger, self.arrays, strict=False):
                new[:start] = old[:start]
            self.arrays = tuple(larger)
        for array, rows in zip(self.arrays, arrays, strict=True):
            array[start:end] = rows
        # Last, since it is what tells other threads that the rows are there.
        self.rows.update(zip(forms, range(start, end), strict=True))
