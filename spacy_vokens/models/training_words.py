"""The words in the texts of the training images, counted by image and by stem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from spacy.attrs import ORTH
from spacy.lexeme import Lexeme
from spacy.tokens import Doc

from ..stems import stemmer_of

# A word is about something that can be seen if texts of so many images have it.
MIN_IMAGES = 5


class TrainingWords:
    """The words in the texts of images.

    Args:
        words: The distinct forms in lower case. `set_vectors` adds their vectors.
        stems: The stem of each form, as a number, (n_words,).
        images: Rows of the images in the pool, sorted, (n_images,).
        words_of_image: For each image, the forms in its texts and in how many texts each is.
        stems_of_image: The same for stems.
    """

    def __init__(
        self,
        words: list[Lexeme],
        stems: NDArray[np.int64],
        images: NDArray[np.int64],
        words_of_image: Sequence[Counter[int]],
        stems_of_image: Sequence[Counter[int]],
    ) -> None:
        self.words = words
        self.stems = stems
        self.images = images
        self._words = _Rows(words_of_image)
        self._stems = _Rows(stems_of_image)
        self.counts = np.bincount(self._words.columns, self._words.values, len(words))
        self.vectors = np.zeros((len(words), 0), np.float32)
        self.has_vector: NDArray[np.bool_] = np.zeros(len(words), bool)

    @classmethod
    def from_docs(cls, docs: Sequence[Doc], rows: NDArray[np.integer]) -> TrainingWords:
        """Count the words of documents.

        Args:
            docs: Texts about images.
            rows: Row of each document's image in the pool, (n_docs,).

        Returns:
            The words.
        """
        images, image_of_doc = np.unique(rows, return_inverse=True)
        vocab, stem_of = docs[0].vocab, stemmer_of(docs[0].lang_)
        forms: list[Lexeme] = []
        number_of_form: dict[str, int] = {}
        number_of_stem: dict[str, int] = {}
        stems: list[int] = []

        @cache
        def number(orth: int) -> int:
            # -1 for what is not a word.
            lexeme = vocab[orth]
            if lexeme.is_punct or lexeme.is_space:
                return -1
            form = lexeme.lower_
            if form not in number_of_form:
                number_of_form[form] = len(forms)
                forms.append(vocab[form])
                stems.append(number_of_stem.setdefault(stem_of(form), len(number_of_stem)))
            return number_of_form[form]

        words_of_image: list[Counter[int]] = [Counter() for _ in images]
        stems_of_image: list[Counter[int]] = [Counter() for _ in images]
        for doc, image in zip(docs, image_of_doc, strict=True):
            found = {number(orth) for orth in doc.to_array(ORTH).tolist()} - {-1}
            words_of_image[image].update(found)
            stems_of_image[image].update({stems[form] for form in found})
        return cls(forms, np.array(stems, np.int64), images, words_of_image, stems_of_image)

    def set_vectors(self, vectors: NDArray[np.float32]) -> None:
        """Keep the vectors of the words, (n_words, width); those of words without one hold NaN."""
        self.has_vector = np.asarray(~np.isnan(vectors).any(axis=1))
        self.vectors = np.nan_to_num(vectors)

    def has_all(self, rows: NDArray[np.integer]) -> bool:
        """Tell whether all of some images, by their rows in the pool, have a text."""
        return bool(np.isin(rows, self.images).all())

    def stem_images(self) -> Iterable[NDArray[np.int64]]:
        """Return, for each stem, the places in `images` of those whose texts have it."""
        order = np.argsort(self._stems.columns, kind="stable")
        bounds = np.cumsum(np.bincount(self._stems.columns))[:-1]
        return np.split(self._stems.rows[order], bounds)

    def n_images(self) -> NDArray[np.int64]:
        """Return the number of images of each stem."""
        return np.bincount(self._stems.columns)

    def is_content(self) -> NDArray[np.bool_]:
        """Tell which words are no stop words and have a stem that enough images share."""
        is_word = [word.is_alpha and not word.is_stop for word in self.words]
        return np.array(is_word, bool) & (self.n_images()[self.stems] >= MIN_IMAGES)

    def batch(
        self, rows: NDArray[np.integer]
    ) -> tuple[NDArray[np.int64], NDArray, NDArray[np.float32], NDArray[np.float32]] | None:
        """Put together what a batch of images is about.

        Args:
            rows: Rows of images in the pool, with or without repetitions. Those without a text are
                ignored.

        Returns:
            The distinct images' rows; the vectors of the words in their texts, (n_words, width);
            how many texts of each image have each word's stem, (n_words, n_images); and how many
            texts have each word, (n_words,). None if no word has a vector.
        """
        places = np.flatnonzero(np.isin(self.images, rows))
        image, word, n_texts = self._words.select(places)
        counts = np.bincount(word, n_texts, len(self.words)).astype(np.float32)
        words = np.flatnonzero((counts > 0) & self.has_vector)
        if not len(words):
            return None
        image, stem, n_texts = self._stems.select(places)
        stems, column = np.unique(stem, return_inverse=True)
        by_stem = np.zeros((len(stems), len(places)), np.float32)
        by_stem[column, image] = n_texts
        positives = by_stem[np.searchsorted(stems, self.stems[words])]
        return self.images[places], self.vectors[words], positives, counts[words]


class _Rows:
    """Counters of numbers, one after the other, in arrays."""

    def __init__(self, counters: Sequence[Counter[int]]) -> None:
        sizes = [len(counter) for counter in counters]
        self.rows = np.repeat(np.arange(len(sizes)), sizes)
        self.columns = np.array([key for counter in counters for key in counter], np.int64)
        self.values = np.array([n for c in counters for n in c.values()], np.float32)
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    def select(
        self, rows: NDArray[np.integer]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Return place in `rows`, number and count of everything that some counters hold."""
        starts, sizes = self._starts[rows], self._starts[rows + 1] - self._starts[rows]
        offsets = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        found = np.repeat(starts, sizes) + offsets
        return np.repeat(np.arange(len(rows)), sizes), self.columns[found], self.values[found]
