"""How well the texts of images name words, found for many words and images at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .files import VokensError, array_from_bytes, array_to_bytes

# A stem's hash, the row of an image whose texts have it, and how well the best of them names it.
NAME = np.dtype([("stem", "<u8"), ("row", "<i4"), ("value", "<f4")])


class ImageNames:
    """The stems of words in the texts of an index's images.

    Args:
        names: (n,) `NAME`, in order of stems and rows, each pair once.
        n_images: Number of images.

    Raises:
        VokensError: If the names are not in order, or one has no image or no value.
    """

    def __init__(self, names: NDArray[Any], n_images: int) -> None:
        self.names = names
        self.n_images = n_images
        self._stems, places = np.unique(names["stem"], return_inverse=True)
        # One number per stem and row, in order as the names are.
        self._pairs = places * np.int64(n_images) + names["row"]
        is_row = (names["row"] >= 0) & (names["row"] < n_images)
        is_value = (names["value"] > 0) & (names["value"] <= 1)
        if not is_row.all() or not is_value.all() or (np.diff(self._pairs) <= 0).any():
            raise VokensError("it must hold stems and rows in order, and values above 0 up to 1")

    @classmethod
    def from_texts(cls, stems: Sequence[Iterable[Iterable[int]]]) -> ImageNames:
        """Find how well texts name words: 0.5 to 1, the more the fewer words a text has.

        An image's name says more about it than a long caption. Of its texts, the best one counts.

        Args:
            stems: For each image, for each of its texts, the hashes of its words' stems.

        Returns:
            The names of the images.
        """
        found: dict[tuple[int, int], float] = {}
        for row, of_image in enumerate(stems):
            for of_text in map(set, of_image):
                for stem in of_text:
                    value = 0.5 + 0.5 / len(of_text)
                    found[stem, row] = max(value, found.get((stem, row), 0.0))
        names = np.array([(*pair, value) for pair, value in sorted(found.items())], NAME)
        return cls(names, len(stems))

    def look_up(self, stems: NDArray[np.uint64], rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return how well images are named by words.

        Args:
            stems: Hashes of the words' stems, (n,).
            rows: Images for each of them, (n, k); -1 for none.

        Returns:
            An array (n, k): 0 if no text of the image has the word, else 0.5 to 1.
        """
        if not len(self.names):
            return np.zeros(rows.shape, np.float32)
        places = np.minimum(np.searchsorted(self._stems, stems), len(self._stems) - 1)
        is_named = (self._stems[places] == stems)[:, None] & (rows >= 0)
        pairs = places[:, None] * np.int64(self.n_images) + rows
        names = np.minimum(np.searchsorted(self._pairs, pairs), len(self._pairs) - 1)
        is_named &= self._pairs[names] == pairs
        return np.where(is_named, self.names["value"][names], np.float32(0))

    def to_bytes(self) -> bytes:
        """Return the names as bytes."""
        return array_to_bytes(self.names)

    @classmethod
    def from_bytes(cls, data: bytes, n_images: int) -> ImageNames:
        """Restore names from what `to_bytes` returned.

        Args:
            data: The bytes.
            n_images: Number of images.

        Raises:
            VokensError: If they are something else.
        """
        return cls(array_from_bytes(data, dtype=NAME, ndim=1), n_images)
