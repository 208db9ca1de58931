"""How a retriever asks its index: by words in context, or by the forms of words and their scene."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.attrs import ORTH
from spacy.lexeme import Lexeme
from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Model

from ..files import VokensError
from ..index import VokenIndex
from ..models.matching import apply_tower, matching_of
from ..models.scenes import read_scenes
from ..models.word_matching import SCENE_KEY_WIDTH, WordMatching, hash_stems
from ..names import ImageNames
from .forms import Compute, FormTable
from .util import batches_by_length
from .words import LostWords

# Rows of images in an index.
Rows = NDArray[np.integer]

# How many images that fit a word best are its candidates, among which texts and scenes choose.
CANDIDATES = 64
# How much worse than the best image for a word another may be for the scene to prefer it.
MARGIN = 0.05
# Pairs of a scene and an image that are compared at once.
PAIRS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class SearchSettings:
    """What a search depends on beside the model and the index.

    Models of words in context know none of them.

    Attributes:
        scene_weight: How much the scene counts beside the word.
        min_visualness: A word whose visualness is below this has no image; None keeps all.
        min_images: A word that texts of fewer training images have has no image, unless a text of
            the pool has it.
    """

    scene_weight: float
    min_visualness: float | None
    min_images: int


@dataclass(frozen=True)
class Phrases:
    """Phrases of documents.

    Attributes:
        docs: The documents, with at least one token among them.
        bounds: First token of each phrase and the one after its last, (n_phrases, 2), counted
            through all documents.
        is_counted: Whether a token may count, (n_tokens,).
    """

    docs: Sequence[Doc]
    bounds: NDArray[np.integer]
    is_counted: NDArray[np.bool_]


class Search(ABC):
    """A search for the words of documents.

    It belongs to one state of a model and to one index, so that what it remembers stays true. A new
    one is made if either of them changes.

    Args:
        model: The matching model, with its layers.
        index: The index; None to compute queries only.
    """

    def __init__(self, model: Model, index: VokenIndex | None) -> None:
        self._model = model
        self._index = index

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        # A component that is copied makes a new one.
        return object, ()

    @property
    def index(self) -> VokenIndex:
        """The index that is searched."""
        assert self._index is not None
        return self._index

    @property
    @abstractmethod
    def width(self) -> int:
        """Width of the queries."""

    @abstractmethod
    def _queries(self, docs: Sequence[Doc], settings: SearchSettings) -> list[NDArray[np.float32]]:
        """Compute the queries of documents that all have tokens."""

    def queries(self, docs: Sequence[Doc], settings: SearchSettings) -> list[NDArray[np.float32]]:
        """Compute the query of each token.

        Args:
            docs: The documents.
            settings: The settings. Words below `min_visualness` have queries too.

        Returns:
            An array (n_tokens, width) per document, with NaN for tokens without a query.
        """
        filled = [doc for doc in docs if len(doc)]
        found = iter(self._queries(filled, settings) if filled else ())
        return [next(found) if len(doc) else np.zeros((0, self.width), np.float32) for doc in docs]

    def is_shown(self, docs: Sequence[Doc], settings: SearchSettings) -> NDArray[np.bool_]:
        """Tell which tokens of all documents, (n_tokens,), have something to show."""
        return np.ones(sum(map(len, docs)), bool)

    def find(
        self, docs: Sequence[Doc], k: int, settings: SearchSettings
    ) -> tuple[NDArray[np.object_], NDArray[np.float32]]:
        """Find the best images of the tokens of all documents.

        Args:
            docs: The documents.
            k: How many images to find per token.
            settings: The settings.

        Returns:
            Ids and relevance scores, (n_tokens, k) each, best first. The id is None if there is no
            image.
        """
        return self.index.search(np.concatenate(self.queries(docs, settings)), k)

    def find_phrases(
        self, phrases: Phrases, k: int, settings: SearchSettings
    ) -> tuple[NDArray[np.object_], NDArray[np.float32]]:
        """Find the best images of phrases, by the mean of their words' queries.

        Args:
            phrases: The phrases. Words without a query or without anything to show do not count.
            k: How many images to find per phrase.
            settings: The settings.

        Returns:
            Ids and relevance scores, (n_phrases, k) each, best first. The id is None if there is no
            image.
        """
        return self.index.search(self._phrase_queries(phrases, settings)[0], k)

    def _phrase_queries(
        self, phrases: Phrases, settings: SearchSettings
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Compute the queries of phrases, and tell which tokens count, (n_tokens,).

        The word part of a query has unit length. It is NaN if no word of the phrase counts.
        """
        docs, bounds = phrases.docs, phrases.bounds
        queries = np.concatenate(self.queries(docs, settings))
        counts = ~np.isnan(queries).any(axis=1) & self.is_shown(docs, settings)
        counts &= phrases.is_counted
        queries[~counts] = 0
        sums, n_words = (
            np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])
            for values in (queries.astype(np.float64), counts.astype(np.int64))
        )
        starts, ends = bounds[:, 0], bounds[:, 1]
        n_counted = (n_words[ends] - n_words[starts])[:, None]
        means = (sums[ends] - sums[starts]) / np.maximum(n_counted, 1)
        # The scene of each word has its weight already.
        word_part = means[:, : self._model.get_dim("nO")]
        word_part /= np.maximum(np.linalg.norm(word_part, axis=1, keepdims=True), 1e-12)
        return np.where(n_counted, means, np.nan).astype(np.float32), counts


class ContextSearch(Search):
    """A search for words in context: the text encoder reads every document.

    Args:
        model: The matching model, with its layers.
        index: The index; None to compute queries only.
        lost_words: Is told of words that the text encoder has no vector for.
    """

    def __init__(self, model: Model, index: VokenIndex | None, lost_words: LostWords) -> None:
        super().__init__(model, index)
        self._lost_words = lost_words

    @property
    def width(self) -> int:
        """Width of the queries."""
        return self._model.get_dim("nO")

    def _queries(self, docs: Sequence[Doc], settings: SearchSettings) -> list[NDArray[np.float32]]:
        """Compute the query of each token, and report words that have none."""
        queries = [np.zeros((0, 0), np.float32)] * len(docs)
        for batch in batches_by_length(docs):
            computed = self._model.predict([docs[i] for i in batch])
            for i, query in zip(batch, computed, strict=True):
                queries[i] = self._model.ops.to_numpy(query)
        self._lost_words.check(docs, [np.flatnonzero(~np.isnan(q[:, 0])) for q in queries])
        return queries


class WordSearch(Search):
    """A search for words whatever their context, among whose best images the scene chooses.

    The images that fit a word best are its candidates. They are searched for once per form and
    remembered. The relevance of a candidate is

        r(w, v; s) = f_word(w) . g_word(v) + t(w, v) + scene_weight f_scene(s) . g_scene(v),

    where t is how well a text of the image names the word (see `ImageNames`), or 0. The scene must
    choose among images that show the word, and not replace them. So it counts for images whose
    texts have the word, if the best one by the first two terms is such an image, or else for those
    that are at most `MARGIN` below the best. Others, and images beyond the candidates, get the
    lowest value that a scene can give.

    Args:
        model: The matching model, with its layers.
        index: The index; None to compute queries only.
        stem_of: Returns the stem of a word.
    """

    def __init__(
        self, model: Model, index: VokenIndex | None, stem_of: Callable[[str], str]
    ) -> None:
        super().__init__(model, index)
        matching = matching_of(model)
        assert isinstance(matching, WordMatching)
        self._matching = matching
        self._forms: dict[Any, FormTable] = {}
        self._names = None if index is None else index.names
        self._stem_of = stem_of

    @property
    def width(self) -> int:
        """Width of the queries: of the word part, and of the scene part if there is one."""
        has_scene_part = self._matching.scene_width(self._model) is not None
        return self._model.get_dim("nO") + SCENE_KEY_WIDTH * has_scene_part

    def _queries(self, docs: Sequence[Doc], settings: SearchSettings) -> list[NDArray[np.float32]]:
        """Compute the query of each token: the word, then the weighted scene."""
        words, _ = self._look_up(docs)
        joined = np.zeros((len(words), self.width), np.float32)
        joined[:, : words.shape[1]] = words
        scenes = self._scene_queries(docs, settings)
        if scenes is not None:
            queries, of_token = scenes
            joined[:, words.shape[1] :] = queries[of_token]
        return np.split(joined, np.cumsum([len(doc) for doc in docs])[:-1])

    def is_shown(self, docs: Sequence[Doc], settings: SearchSettings) -> NDArray[np.bool_]:
        """Tell which tokens of all documents, (n_tokens,), have something to show."""
        rows, *_ = self._image_table(1, settings).look_up(*_forms_of(docs))
        return np.asarray(rows[:, 0] >= 0)

    def find(
        self, docs: Sequence[Doc], k: int, settings: SearchSettings
    ) -> tuple[NDArray[np.object_], NDArray[np.float32]]:
        """Find the best images of the tokens of all documents."""
        forms, vocab = _forms_of(docs)
        scenes = self._scene_queries(docs, settings)
        if scenes is None:
            rows, scores, _ = self._image_table(k, settings).look_up(forms, vocab)
        else:
            table = self._image_table(max(k, CANDIDATES), settings)
            # A word that is twice in a scene is searched for once.
            queries, of_token = scenes
            pairs = np.unique(forms, return_inverse=True)[1] * len(queries) + of_token
            _, firsts, inverse = np.unique(pairs, return_index=True, return_inverse=True)
            rows, scores, is_near = table.look_up(forms[firsts], vocab)
            rows, scores = self._add_scenes(rows, scores, is_near, queries[of_token[firsts]])
            rows, scores = rows[inverse], scores[inverse]
        return self.index.ids_of(rows[:, :k]), scores[:, :k]

    def find_phrases(
        self, phrases: Phrases, k: int, settings: SearchSettings
    ) -> tuple[NDArray[np.object_], NDArray[np.float32]]:
        """Find the best images of phrases, by the mean of their words' queries."""
        queries, counts = self._phrase_queries(phrases, settings)
        width = self._model.get_dim("nO")
        rows: Rows
        rows, scores = self.index.search_rows(queries[:, :width], max(k, CANDIDATES))
        named = None
        if self._names is not None:
            texts = [token.text for doc in phrases.docs for token in doc]
            words = [
                (texts[i], phrase)
                for phrase, (start, end) in enumerate(phrases.bounds.tolist())
                for i in range(start, end)
                if counts[i]
            ]
            stems = hash_stems([word for word, _ in words], self._stem_of)
            of_stems = np.array([phrase for _, phrase in words], np.int64)
            named = _mean_names(self._names, stems, of_stems, rows)
        rows, scores, is_near = _rank_words(rows, scores, named)
        scene_part = np.nan_to_num(queries[:, width:])
        if scene_part.any():
            rows, scores = self._add_scenes(rows, scores, is_near, scene_part)
        return self.index.ids_of(rows[:, :k]), scores[:, :k]

    def _add_scenes(
        self,
        rows: Rows,
        scores: NDArray[np.float32],
        is_near: NDArray[np.bool_],
        queries: NDArray[np.float32],
    ) -> tuple[Rows, NDArray[np.float32]]:
        """Add the relevance of scenes with queries (n, width) to that of words, and rank again."""
        keys = self.index.keys[:, -queries.shape[1] :]
        lowest = -np.linalg.norm(queries, axis=1, keepdims=True)
        of_scenes = np.repeat(lowest, rows.shape[1], axis=1)
        # Usually few of the candidates.
        word, place = np.nonzero(is_near)
        for start in range(0, len(word), PAIRS_AT_ONCE):
            w, p = word[start : start + PAIRS_AT_ONCE], place[start : start + PAIRS_AT_ONCE]
            # One by one, so that a score does not depend on the other words.
            of_scenes[w, p] = np.einsum("pw,pw->p", queries[w], keys[rows[w, p]])
        scores = scores + of_scenes
        order = _order(scores)
        return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)

    def _look_up(self, docs: Sequence[Doc]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the word part of all tokens' queries, and their visualness."""
        queries, visualness = self._table(None, self._form_queries).look_up(*_forms_of(docs))
        return queries, visualness

    def _image_table(self, n: int, settings: SearchSettings) -> FormTable:
        """Return the table of the best `n` images of forms, whatever their scene."""
        key = (n, settings.min_visualness, settings.min_images)
        return self._table(key, partial(self._find_forms, n, settings))

    def _scene_queries(
        self, docs: Sequence[Doc], settings: SearchSettings
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]] | None:
        """Return weighted queries of scenes, and each token's scene; None if they don't count.

        The last query, 0, is that of tokens without a scene, -1.
        """
        width = self._matching.scene_width(self._model)
        if width is None or not settings.scene_weight:
            return None
        scenes = read_scenes(docs)
        if scenes is None:
            return None
        if scenes.vectors.shape[1] != width:
            raise VokensError(
                f"The scene part of the matching model is for a transformer of width {width}, but "
                f"this one has width {scenes.vectors.shape[1]}. Run 'spacy vokens align' with this "
                "transformer, or set scene_weight to 0."
            )
        queries = apply_tower(self._model.get_ref("scene_tower"), scenes.vectors)
        blank = np.zeros((1, queries.shape[1]), np.float32)
        return np.concatenate([settings.scene_weight * queries, blank]), scenes.of_token

    def _table(self, key: Any, compute: Compute) -> FormTable:
        """Return a table of forms. Without an index nothing is kept, as the model is trained."""
        if self._index is None:
            return FormTable(compute)
        if (table := self._forms.get(key)) is None:
            # Another thread may have been first.
            table = self._forms.setdefault(key, FormTable(compute))
        return table

    def _form_queries(self, words: list[Lexeme]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return self._matching.form_queries(self._model, words)

    def _find_forms(
        self, k: int, settings: SearchSettings, words: list[Lexeme]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.bool_]]:
        """Find the best `k` images of words; none for those with nothing to show.

        Which one is the best does not depend on `k`: with texts, all candidates are compared.
        """
        queries, visualness = self._form_queries(words)
        if settings.min_visualness is not None:
            queries[visualness < settings.min_visualness] = np.nan
        stems = hash_stems((word.text for word in words), self._stem_of)
        is_known = self._matching.n_images(self._model, stems) >= settings.min_images
        n = k if self._names is None else max(k, CANDIDATES)
        found, scores = self.index.search_rows(queries, n)
        named = None
        if self._names is not None:
            named = _mean_names(self._names, stems, np.arange(len(words)), found)
            is_known |= named.any(axis=1)
        found[~is_known], scores[~is_known] = -1, -np.inf
        rows, scores, is_near = _rank_words(found, scores, named)
        # They are remembered, so they should be small.
        return rows[:, :k].astype(np.int32), scores[:, :k].copy(), is_near[:, :k].copy()


def _forms_of(docs: Sequence[Doc]) -> tuple[NDArray[np.uint64], Vocab]:
    """Return the forms of all tokens, and a vocabulary that has their strings."""
    vocab = docs[0].vocab
    for doc in docs[1:]:
        if doc.vocab is not vocab:
            for token in doc:
                vocab.strings.add(token.text)
    return np.concatenate([doc.to_array(ORTH) for doc in docs]), vocab


def _mean_names(
    names: ImageNames, stems: NDArray[np.uint64], of_stems: NDArray[np.int64], rows: Rows
) -> NDArray[np.float32]:
    """Return how well images are named by several words, as a mean.

    Args:
        names: The names of images.
        stems: Hashes of the words' stems, (n_words,).
        of_stems: Which row of `rows` each word is for, (n_words,).
        rows: Images, (n, k).

    Returns:
        An array (n, k) with 0 for images beyond the candidates, and for rows without words.
    """
    sums = np.zeros(rows.shape, np.float32)
    candidates = rows[:, :CANDIDATES]
    np.add.at(sums[:, :CANDIDATES], of_stems, names.look_up(stems, candidates[of_stems]))
    sums /= np.maximum(np.bincount(of_stems, minlength=len(rows)), 1)[:, None]
    return sums


def _rank_words(
    rows: Rows, scores: NDArray[np.float32], named: NDArray[np.float32] | None
) -> tuple[Rows, NDArray[np.float32], NDArray[np.bool_]]:
    """Order candidates, (n, k), by word and texts, and tell which ones the scene may choose.

    Args:
        rows: The images, ordered by the word part; -1 for none.
        scores: The word part of their relevance.
        named: How well their texts name the word; None if there are no texts.
    """
    is_near = (rows >= 0) & (scores >= scores[:, :1] - MARGIN)
    if named is not None:
        scores = scores + named
        best = scores[:, :CANDIDATES].argmax(axis=1)[:, None]
        name_of_best = np.take_along_axis(named, best, axis=1)
        # The least that a text counts is half of the most.
        has_name = (rows >= 0) & (named >= name_of_best / 2)
        is_near = np.where(name_of_best > 0, has_name, is_near)
    is_near[:, CANDIDATES:] = False
    if named is None:
        # They have their order already.
        return rows, scores, is_near
    order = _order(scores)
    is_near = np.take_along_axis(is_near, order, axis=1)
    return (
        np.take_along_axis(rows, order, axis=1),
        np.take_along_axis(scores, order, axis=1),
        is_near,
    )


def _order(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the order of candidates, (n, k). Images beyond the candidates stay where they are."""
    order = np.tile(np.arange(scores.shape[1]), (len(scores), 1))
    # A stable sort, as of images with equal scores the first one is the best.
    order[:, :CANDIDATES] = np.argsort(-scores[:, :CANDIDATES], axis=1, kind="stable")
    return order
