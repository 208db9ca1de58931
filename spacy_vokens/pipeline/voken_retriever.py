"""The component that finds an image for each word."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.attrs import IDS, IS_PUNCT, IS_SPACE, LOWER
from spacy.errors import Errors
from spacy.language import Language
from spacy.lexeme import Lexeme
from spacy.tokenizer import Tokenizer
from spacy.tokens import Doc, Span, Token
from spacy.training import Example, validate_examples
from spacy.util import ensure_path, minibatch
from spacy.vocab import Vocab
from thinc.api import Config, Model, Optimizer, set_dropout_rate

from ..attributes import PhraseVoken, register_index, set_vokens
from ..files import VokensError
from ..identity import EncoderId, describe_lookalike
from ..images.pool import ImagePool
from ..index import VokenImage, VokenIndex
from ..models.matching import matching_of
from ..models.scenes import collect_scenes
from ..models.word_matching import WordMatching, hash_stems
from ..names import ImageNames
from ..stems import stemmer_of
from .phrases import PHRASES
from .scorer import score_vokens
from .search import ContextSearch, Phrases, Search, SearchSettings, WordSearch
from .serialize import FilePipe
from .util import OwnImages
from .words import LostWords

logger = logging.getLogger(__name__)

DEFAULT_CONFIG = """
[model]
@architectures = "spacy-vokens.WordMatching.v1"
hidden_width = 512
width = 128

[model.words]
@architectures = "spacy-vokens.PieceVectors.v1"
name = "bert-base-cased"

[model.loss]
@voken_losses = "spacy-vokens.WordPositives.v1"
"""


@Language.factory(
    "voken_retriever",
    assigns=[
        "token._.voken",
        "token._.voken_score",
        "token._.vokens",
        "span._.voken",
        "span._.voken_score",
        "doc._.voken_index",
    ],
    default_config={
        "model": Config().from_str(DEFAULT_CONFIG)["model"],
        "top_k": 1,
        "threshold": None,
        "min_visualness": None,
        "min_images": 1,
        "scene_weight": 1.0,
        "skip": ["is_space", "is_punct"],
        "overwrite": False,
        "exclude_own": False,
        "phrases": [],
        "scorer": {"@scorers": "spacy-vokens.voken_scorer.v1"},
    },
)
def make_voken_retriever(
    nlp: Language,
    name: str,
    model: Model,
    top_k: int,
    threshold: float | None,
    min_visualness: float | None,
    min_images: int,
    scene_weight: float,
    skip: list[str],
    overwrite: bool,
    exclude_own: bool,
    phrases: list[str],
    scorer: Callable[..., dict[str, Any]] | None,
) -> VokenRetriever:
    """Make the component `voken_retriever`.

    Args:
        nlp: The pipeline.
        name: Name of the component.
        model: The matching model, for instance `spacy-vokens.WordMatching.v1`.
        top_k: How many images to find per token. More than one are kept in `Token._.vokens`.
        threshold: A token whose best score is below this has no voken; None keeps all.
        min_visualness: A word whose visualness is below this has no voken, because its pictures are
            like any others. None takes what was fitted in training; `-inf` keeps all. Only for
            matching models that know it, such as `spacy-vokens.WordMatching.v1`.
        min_images: A word has no voken if texts of fewer training images have it, in any form, and
            no text of the pool has it. 0 is for any word. Only for `WordMatching.v1`.
        scene_weight: How much the scene counts among the images that show a word about equally
            well, if the matching model has a scene part and a transformer has read the text. 0 is
            for the word alone.
        skip: Token flags such as "is_punct". Tokens with one of them have no voken.
        overwrite: Whether to retrieve again for documents that already have vokens from the same
            index.
        exclude_own: Whether never to give a document the image that came with it.
        phrases: Phrases that get a voken of their own as one (`Span._.voken`): any of "noun_chunks"
            and "ents". Their words keep their own vokens. An earlier component must find them.
        scorer: The scoring method.

    Returns:
        The component, without weights and index.

    Raises:
        VokensError: If `top_k` is below 1, `skip` has anything other than token flags, or `phrases`
            anything other than those two.
    """
    return VokenRetriever(
        nlp.vocab,
        model,
        name,
        top_k=top_k,
        threshold=threshold,
        # A config's -inf is a string, because JSON has no such number.
        min_visualness=None if min_visualness is None else float(min_visualness),
        min_images=min_images,
        scene_weight=scene_weight,
        skip=skip,
        overwrite=overwrite,
        exclude_own=exclude_own,
        phrases=phrases,
        scorer=scorer,
        tokenizer=nlp.tokenizer,
    )


@dataclass(frozen=True)
class Retrieved:
    """The best images of every token of a document.

    Attributes:
        ids: Image ids (n_tokens, k), best first; None if there is no voken.
        scores: Relevance scores (n_tokens, k).
        phrases: The best image of each phrase that has one.
    """

    ids: NDArray[np.object_]
    scores: NDArray[np.float32]
    phrases: list[PhraseVoken] = field(default_factory=list)


class VokenRetriever(FilePipe):
    """Find an image for each word: the one with the highest relevance score is `Token._.voken`.

    The component learns from pairs of a sentence and an image id, with the features of an
    `ImagePool`. It retrieves from an index. While it is being trained it has none, because each
    update makes its keys stale. Saving it also stores an index of the training pool, so the loaded
    pipeline can retrieve. `set_pool` indexes another pool.

    Args:
        vocab: The vocabulary.
        model: The matching model, for instance `spacy-vokens.WordMatching.v1`.
        name: Name of the component.
        top_k: How many images to find per token. More than one are kept in `Token._.vokens`.
        threshold: A token whose best score is below this has no voken; None keeps all.
        min_visualness: A word whose visualness is below this has no voken, because its pictures are
            like any others. None takes what was fitted in training; `-inf` keeps all. Only for
            matching models that know it, such as `spacy-vokens.WordMatching.v1`.
        min_images: A word has no voken if texts of fewer training images have it, in any form, and
            no text of the pool has it. 0 is for any word. Only for `WordMatching.v1`.
        scene_weight: How much the scene counts among the images that show a word about equally
            well, if the matching model has a scene part and a transformer has read the text. 0 is
            for the word alone.
        skip: Token flags such as "is_punct". Tokens with one of them have no voken.
        overwrite: Whether to retrieve again for documents that already have vokens from the same
            index.
        exclude_own: Whether never to give a document the image that came with it.
        phrases: Phrases that get a voken of their own as one (`Span._.voken`): any of "noun_chunks"
            and "ents". Their words keep their own vokens. An earlier component must find them.
        scorer: The scoring method. It gets the component as its argument `retriever`.
        tokenizer: Makes a document of a text about an image. Defaults to one that splits at blanks.

    Raises:
        VokensError: If `top_k` is below 1, `skip` has anything other than token flags, or `phrases`
            anything other than those two.
    """

    OPTIONAL_FILES = VokenIndex.FILES
    WIDTHS = ("text_width", "image_width", "scene_width")

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "voken_retriever",
        *,
        top_k: int = 1,
        threshold: float | None = None,
        min_visualness: float | None = None,
        min_images: int = 0,
        scene_weight: float = 0.0,
        skip: Iterable[str] = (),
        overwrite: bool = False,
        exclude_own: bool = False,
        phrases: Iterable[str] = (),
        scorer: Callable[..., dict[str, Any]] | None = score_vokens,
        tokenizer: Callable[[str], Doc] | None = None,
    ) -> None:
        super().__init__(vocab, model, name)
        if top_k < 1:
            raise VokensError(f"{name}: top_k must be at least 1, found {top_k}.")
        flags = {flag: IDS.get(flag.upper()) for flag in skip}
        for flag, attribute in flags.items():
            if attribute is None or not flag.startswith("is_"):
                raise VokensError(
                    f"{name}: skip takes token flags like 'is_punct', found {flag!r}."
                )
        if unknown := set(phrases := list(phrases)) - set(PHRASES):
            raise VokensError(
                f"{name}: phrases takes {' and '.join(map(repr, PHRASES))}, found {min(unknown)!r}."
            )
        self.top_k = top_k
        self.threshold = threshold
        self.min_visualness = min_visualness
        self.min_images = min_images
        self.scene_weight = scene_weight
        self.overwrite = overwrite
        self.exclude_own = exclude_own
        self.phrases = phrases
        self.scorer = scorer
        self._skip = [attribute for attribute in flags.values() if attribute is not None]
        self._tokenizer = tokenizer or Tokenizer(vocab)
        self._lost_words = LostWords(name)
        self.index = None
        # The training pool. It is never stored.
        self._pool: ImagePool | None = None
        # Whether there was anything to learn from at initialization.
        self._has_pairs = False
        self._warned = False
        self._has_warned_about_pool = False
        self._has_warned_about_texts = False
        self._own_images = OwnImages(name)

    @property
    def index(self) -> VokenIndex | None:
        """The images to retrieve from, and their keys; None before there are any."""
        return self._index

    @index.setter
    def index(self, index: VokenIndex | None) -> None:
        self._index = index
        # What documents get as `voken_index`: without and with `exclude_own`.
        self._marks: tuple[str, ...] = ()
        # It remembers what was found in this index.
        self._search: Search = (
            WordSearch(self.model, index, stemmer_of(self.vocab.lang))
            if isinstance(matching_of(self.model), WordMatching)
            else ContextSearch(self.model, index, self._lost_words)
        )
        if index is not None:
            self._marks = str(index.mark), str(replace(index.mark, exclude_own=True))
            # With n_process, this process gets documents back that it never gave to the component.
            register_index(self.vocab, index)

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        # A pickled vocabulary does not know its indexes.
        self.index = self._index

    # Training

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        pool: str | None = None,
    ) -> None:
        """Make the towers for the widths of the text encoder and of a pool's features.

        A retriever that is trained already, for instance a sourced one, stays as it is if no pool
        is given. Without examples that name an image, as in `spacy assemble`, there is nothing to
        learn from, which is said: the retriever can be stored, but not trained.

        Args:
            get_examples: Returns the training pairs. The image's id is `Doc._.visual_image_id` of
                the reference.
            nlp: The pipeline.
            pool: Folder of the `ImagePool` that has the pairs' images.

        Raises:
            VokensError: If there is no pool for a new retriever, if it cannot be used, or if it has
                none of the images that the examples name.
        """
        if pool is None and self.cfg:
            return
        if pool is None:
            raise VokensError(
                f"{self.name}: set 'pool' in [initialize.components.{self.name}] to a folder made "
                "by 'spacy vokens embed-images'."
            )
        self._pool = ImagePool.open(ensure_path(pool))
        # The old index belongs to the old towers.
        self.index = None
        self._warned = False
        examples = list(get_examples())
        validate_examples(examples, "VokenRetriever.initialize")
        pairs = self.select_pairs(examples)
        named = {eg.reference._.visual_image_id for eg in examples} - {None, *self._pool.ids}
        lookalike = describe_lookalike(named, self._pool.ids)
        # `spacy assemble` and `nlp.initialize()` have examples that say nothing.
        self._has_pairs = bool(pairs)
        if named and not pairs:
            raise VokensError(self._no_pairs() + lookalike)
        if not pairs:
            logger.warning("%s It cannot be trained, and finds no images.", self._no_pairs())
        elif len(pairs) < len(examples):
            logger.warning(
                "%s: ignored %d of %d training pairs, because pool %s does not have their image.%s",
                self.name,
                len(examples) - len(pairs),
                len(examples),
                pool,
                lookalike,
            )
        filled = [eg for eg in pairs or examples if len(eg.predicted)]
        if not filled:
            raise VokensError(f"{self.name}: the training examples have no tokens.")
        docs = [eg.predicted for eg in filled]
        # A scene part is added to a trained model.
        self.cfg.pop("scene_width", None)
        self.cfg.update(
            text_width=matching_of(self.model).text_width(self.model, docs[:10]),
            image_width=self._pool.dimension,
            encoder=str(self._pool.encoder),
        )
        self.build_layers()
        if pairs:
            rows = self._image_rows(filled)
            fitted = matching_of(self.model).fit(self.model, docs, rows, self._pool.features)
            self.cfg.update(fitted)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch of pairs, and drop the index.

        A retriever that was loaded has no features of images to learn from. It stays as it is, and
        says so once.

        Args:
            examples: The pairs. Those whose image is not in the training pool are ignored.
            drop: Dropout rate.
            sgd: The optimizer; None to keep the gradients for `finish_update`.
            losses: Losses by component, to which the loss is added.

        Returns:
            The losses.

        Raises:
            VokensError: If the component is not initialized, or was initialized without pairs.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "VokenRetriever.update")
        if not self.cfg:
            raise VokensError(Errors.E109.format(name=self.name))
        if self._pool is None:
            if not self._has_warned_about_pool:
                self._has_warned_about_pool = True
                logger.warning(
                    "%s has no image pool to learn from, so it stays as it is. To train it, call "
                    "nlp.initialize with a pool.",
                    self.name,
                )
            return losses
        if not self._has_pairs:
            raise VokensError(self._no_pairs())
        pairs = [eg for eg in self.select_pairs(examples) if len(eg.predicted)]
        if not pairs:
            return losses
        set_dropout_rate(self.model, drop)
        update = matching_of(self.model).begin_update(
            self.model,
            [eg.predicted for eg in pairs],
            self._image_rows(pairs),
            self._pool.features,
        )
        if update is None:
            return losses
        loss, backprop = update
        backprop()
        if sgd not in (None, False):
            self.finish_update(sgd)
        # Its keys belong to the weights before this step.
        self.index = None
        losses[self.name] += loss
        return losses

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """Score examples with the component's scorer.

        Args:
            examples: Documents, and references that name their images.
            **kwargs: Further arguments of the scorer.

        Returns:
            The scores; empty if there is no scorer.
        """
        examples = list(examples)
        if self.exclude_own and self._index is not None:
            self._own_images.check(examples)
        return super().score(examples, retriever=self, **kwargs)

    def select_pairs(self, examples: Iterable[Example]) -> list[Example]:
        """Select the examples whose image is in the training pool, or else in the index.

        Args:
            examples: The image's id is `Doc._.visual_image_id` of the reference.

        Returns:
            Those whose image is known; none if there is neither a pool nor an index.
        """
        images = self.index if self._pool is None else self._pool
        if images is None:
            return []
        return [eg for eg in examples if eg.reference._.visual_image_id in images]

    # Retrieval

    def set_pool(self, pool: ImagePool, *, use_texts: bool = True) -> None:
        """Retrieve from a pool: index its images under the keys that the model gives them.

        Args:
            pool: The pool.
            use_texts: Whether what the pool says about its images counts too, if the matching model
                takes texts.

        Raises:
            VokensError: If the component is not initialized, or if the pool's features come from
                another image encoder than those of the training pool.
        """
        if not self.cfg:
            raise VokensError(Errors.E109.format(name=self.name))
        pool.require_encoder(EncoderId.parse(self.cfg["encoder"]), self.cfg["image_width"])
        self.index = self._make_index(pool, use_texts=use_texts)

    def queries(self, docs: list[Doc]) -> list[NDArray[np.float32]]:
        """Compute the query vector of every token.

        Args:
            docs: The documents. They may be empty.

        Returns:
            An array (n_tokens, width) per document. Its rows have unit length, or hold NaN if the
            text encoder has no vector for the token. With a scene part, its weighted queries follow
            those of the words.

        Raises:
            VokensError: If the component is not initialized.
        """
        if not self.cfg:
            raise VokensError(Errors.E109.format(name=self.name))
        return self._search.queries(docs, self._settings)

    def add_scene_part(
        self,
        docs: Iterable[Doc],
        pool: ImagePool,
        *,
        steps: int,
        seed: int = 0,
    ) -> Iterator[float]:
        """Train a scene part for the transformer that has read some documents, and index a pool.

        An earlier scene part is replaced. The word part stays as it is.

        Args:
            docs: Texts about images of the pool (`Doc._.visual_image_id`). A component
                `transformer` has processed them.
            pool: The pool, which becomes the pool that is retrieved from.
            steps: Number of updates.
            seed: Decides which texts come when.

        Yields:
            The loss of each update.

        Raises:
            VokensError: If the matching model has no word part, if no transformer has read the
                documents, or if the pool cannot be used or has none of the images.
        """
        matching = matching_of(self.model)
        if not self.cfg or not isinstance(matching, WordMatching):
            raise VokensError(
                f"{self.name}: only a trained 'spacy-vokens.WordMatching.v1' takes a scene part."
            )
        pool.require_encoder(EncoderId.parse(self.cfg["encoder"]), self.cfg["image_width"])
        if not (scenes := collect_scenes(docs, pool)):
            raise VokensError(
                f"{self.name}: found no text about an image of pool {pool.path} that a transformer "
                "has read. Texts name their image in 'Doc._.visual_image_id', and scenes are read "
                f"from a component 'transformer' before {self.name} in the pipeline."
            )
        vectors, rows = scenes
        self.cfg["scene_width"] = vectors.shape[1]
        matching.add_scene_part(self.model, self.cfg["scene_width"], self.cfg["image_width"])
        # Its keys lack the new part.
        self.index = None
        yield from matching.fit_scenes(
            self.model,
            vectors,
            rows,
            pool.features,
            steps=steps,
            seed=seed,
        )
        self.set_pool(pool)

    def keys(self, ids: list[str]) -> NDArray[np.float32]:
        """Get the keys of images of the training pool, without texts, or else of the index.

        If texts are part of the index's keys, a warning says so once.

        Args:
            ids: Ids of images.

        Returns:
            The keys, (len(ids), width), of unit length.

        Raises:
            VokensError: If there is neither a pool nor an index, or an id is not in the pool.
            KeyError: If an id is not in the index.
        """
        if self._pool is not None:
            return self._compute_keys(self._pool.features[self._pool.rows(ids)])
        if self.index is None:
            raise VokensError(self._no_index())
        if matching_of(self.model).takes_texts and any(r.texts for r in self.index.records):
            self._warn_about_texts()
        return self.index.keys[[self.index.rows[i] for i in ids]]

    def __call__(self, doc: Doc) -> Doc:
        """Set the vokens of one document, unless it already has them from this index.

        Args:
            doc: The document.

        Returns:
            The same document.
        """
        return super().__call__(doc) if self._needs_vokens(doc) else doc

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Set the vokens of a stream of documents.

        Documents that already have vokens from this index pass unchanged, unless `overwrite` is
        set. So do all documents while the component is being trained and has no index.

        Args:
            stream: The documents.
            batch_size: How many documents to process at a time.

        Yields:
            The documents, in order.
        """
        handle_error = self.get_error_handler()
        for docs in minibatch(stream, batch_size):
            try:
                todo = [doc for doc in docs if self._needs_vokens(doc)]
                self.set_annotations(todo, self.predict(todo))
                yield from docs
            except Exception as error:
                handle_error(self.name, self, docs, error)

    def predict(self, docs: Iterable[Doc]) -> list[Retrieved]:
        """Find the best images of every token, with one search for all documents.

        Args:
            docs: The documents. They are not changed.

        Returns:
            The images and scores of each document.

        Raises:
            VokensError: If the component has no index.
        """
        docs = list(docs)
        if not docs:
            return []
        if self._index is None:
            raise VokensError(self._no_index())
        # Another thread may set another index meanwhile.
        search = self._search
        lengths = [len(doc) for doc in docs]
        ids, scores = search.find(docs, self.top_k + self.exclude_own, self._settings)
        ids, scores = self._select(ids, scores, docs, np.repeat(np.arange(len(docs)), lengths))
        ids[self._is_skipped(docs)] = None
        bounds = np.cumsum(lengths)[:-1]
        phrases = self._find_phrases(search, docs) if self.phrases else [[] for _ in docs]
        return list(map(Retrieved, np.split(ids, bounds), np.split(scores, bounds), phrases))

    def set_annotations(self, docs: Iterable[Doc], scores: list[Retrieved]) -> None:
        """Write the vokens to the documents, with the mark of the index.

        Args:
            docs: The documents.
            scores: What `predict` found for each of them.
        """
        for doc, retrieved in zip(docs, scores, strict=True):
            ids, values = retrieved.ids, retrieved.scores
            ranked = None
            if ids.shape[1] > 1:
                ranked = [
                    [[i, s] for i, s in zip(*row, strict=True) if i is not None] or None
                    for row in zip(ids.tolist(), values.tolist(), strict=True)
                ]
            set_vokens(doc, ids[:, 0].tolist(), values[:, 0].tolist(), ranked, retrieved.phrases)
            doc._.voken_index = self._marks[self.exclude_own]

    def search(self, target: Doc | Span | str, k: int = 5) -> list[tuple[str, float]]:
        """Find images for several words as one, such as "red football boots".

        The query is the mean of the words' queries, without the words that have no voken because of
        `skip` or `min_visualness`. The scene counts if the target is a document that a transformer
        has read, or a span of one.

        Args:
            target: A document, a span, or a text.
            k: How many images to find.

        Returns:
            Id and relevance score of each image, best first. Empty if no word counts.

        Raises:
            VokensError: If the component is not initialized or has no index.
        """
        if self._index is None:
            raise VokensError(self._no_index())
        part = self._tokenizer(target) if isinstance(target, str) else target
        doc = part.doc if isinstance(part, Span) else part
        bounds = (part.start, part.end) if isinstance(part, Span) else (0, len(doc))
        if not len(part):
            return []
        phrase = Phrases([doc], np.array([bounds]), ~self._is_skipped([doc]))
        search = self._search
        k = min(k, len(search.index.ids))
        ids, scores = search.find_phrases(phrase, k, self._settings)
        found = zip(ids[0].tolist(), scores[0].tolist(), strict=True)
        return [(image_id, score) for image_id, score in found if image_id is not None]

    def rank(self, doc: Doc, k: int) -> tuple[NDArray[np.object_], NDArray[np.float32]]:
        """Find the best images of each token, whatever its flags, the threshold and the own image.

        Args:
            doc: The document.
            k: How many images to find per token.

        Returns:
            Ids and relevance scores, (n_tokens, k) each, best first. The id is None if there is no
            image.

        Raises:
            VokensError: If the component has no index.
        """
        if self._index is None:
            raise VokensError(self._no_index())
        return self._search.find([doc], k, self._settings)

    def image(self, token: Token | str) -> VokenImage | None:
        """Look up the image of a token, or of an image id.

        Args:
            token: The token, or the id.

        Returns:
            The image; None if the token has no voken.

        Raises:
            KeyError: If the index does not have the image.
        """
        image_id = token if isinstance(token, str) else token._.voken
        if image_id is None:
            return None
        if self.index is None or image_id not in self.index:
            raise KeyError(f"{self.name}: no image {image_id!r} in the index.")
        return self.index.image(image_id)

    # Serialization

    def to_files(self) -> dict[str, bytes]:
        """Return the index as files.

        A component that is being trained has no index; one over its training pool is built and
        stored.

        Returns:
            The content of each file by name; empty if there is nothing to index.
        """
        index = self.index
        if index is None and self._pool is not None and self._has_pairs:
            try:
                index = self._make_index(self._pool)
            except (OSError, VokensError) as error:
                # A checkpoint without an index is better than none.
                logger.warning("%s: stored without an index: %s", self.name, error)
        return {} if index is None else index.to_files()

    def from_files(self, files: dict[str, bytes], exclude: Collection[str] = ()) -> None:
        """Restore the index.

        Args:
            files: All files of the component, by name.
            exclude: Names of files to ignore, without extensions.

        Raises:
            VokensError: If a file of the index cannot be used.
        """
        index = self._index
        if not {Path(name).stem for name in VokenIndex.FILES} & set(exclude):
            index = VokenIndex.from_files(files) if "meta.json" in files else None
        # Queries of the old towers must not be remembered, even if the index stays.
        self.index = index

    def build_layers(self) -> None:
        """Make the towers, if the component is initialized."""
        if self.cfg:
            matching_of(self.model).build(self.model, self.cfg)

    # Helpers

    def _needs_vokens(self, doc: Doc) -> bool:
        if self._index is None:
            if self._pool is None:
                # `predict` raises the error.
                return True
            # An evaluation during training passes pairs, which come with an image.
            if doc._.visual_image_id is None and not self._warned:
                self._warned = True
                logger.warning(
                    "%s is being trained and has no index, so it sets no vokens. Save the pipeline "
                    "with nlp.to_disk and load it, or call set_pool with an image pool.",
                    self.name,
                )
            return False
        if doc.vocab is not self.vocab:
            # The component was sourced from another pipeline.
            register_index(doc.vocab, self._index)
        return self.overwrite or doc._.voken_index != self._marks[self.exclude_own]

    def _no_pairs(self) -> str:
        assert self._pool is not None
        return (
            f"{self.name}: no training example names an image of pool {self._pool.path}. The id is "
            "read from 'Doc._.visual_image_id' of the reference."
        )

    def _no_index(self) -> str:
        return f"{self.name} has no index of images: run 'spacy vokens index MODEL POOL OUTPUT'."

    def _make_index(self, pool: ImagePool, *, use_texts: bool = True) -> VokenIndex:
        """Index a pool under the keys of its images, and of their texts if the model takes them."""
        takes_texts = matching_of(self.model).takes_texts
        texts = pool.texts if takes_texts and use_texts else []
        words = [[self._words_of(text) for text in of_image] for of_image in texts]
        names = None
        if any(texts):
            hash_words = partial(hash_stems, stem_of=stemmer_of(self.vocab.lang))
            names = ImageNames.from_texts(
                [[hash_words(w.text for w in text).tolist() for text in image] for image in words]
            )
        of_images = [[word for text in image for word in text] for image in words]
        keys = self._compute_keys(pool.features, of_images)
        with_texts = use_texts or not takes_texts
        return VokenIndex.from_pool(pool, keys, with_texts=with_texts, names=names)

    def _compute_keys(
        self,
        features: NDArray[np.floating],
        words: Sequence[list[Lexeme]] = (),
    ) -> NDArray[np.float32]:
        """Compute the keys of images, (n, width), from their features and the words of their texts.

        What is equal gets equal keys. Computed apart, they could differ in their last digits.
        """
        keys = matching_of(self.model).keys(self.model, features, words, self.vocab.lang)
        firsts: dict[tuple[bytes, tuple[int, ...]], int] = {}
        images = zip(np.ascontiguousarray(features), words or repeat([]), strict=False)
        rows = [
            firsts.setdefault((hashlib.blake2b(image).digest(), tuple(w.orth for w in its)), row)
            for row, (image, its) in enumerate(images)
        ]
        return keys[rows]

    def _words_of(self, text: str) -> list[Lexeme]:
        """Return the words of a text about an image, in lower case."""
        flags = self._tokenizer(text).to_array([LOWER, IS_PUNCT, IS_SPACE]).reshape(-1, 3)
        is_word = (flags[:, 1:] == 0).all(axis=1)
        return [self.vocab[lower] for lower in flags[is_word, 0].tolist()]

    def _warn_about_texts(self) -> None:
        if not self._has_warned_about_texts:
            self._has_warned_about_texts = True
            logger.warning(
                "%s: texts of the images are part of their keys. If what is scored is among these "
                "texts, voken_r1 and the other scores are too high: 'spacy vokens "
                "evaluate-retrieval' with --pool leaves them out.",
                self.name,
            )

    def _image_rows(self, pairs: Iterable[Example]) -> NDArray[np.int64]:
        """Return the row of each pair's image in the training pool."""
        assert self._pool is not None
        return self._pool.rows(eg.reference._.visual_image_id for eg in pairs)

    @property
    def _settings(self) -> SearchSettings:
        fitted = self.cfg.get("min_visualness")
        least = fitted if self.min_visualness is None else self.min_visualness
        return SearchSettings(self.scene_weight, least, self.min_images)

    def _is_skipped(self, docs: list[Doc]) -> NDArray[np.bool_]:
        """Tell which tokens of all documents have one of the flags to skip."""
        if not self._skip:
            return np.zeros(sum(map(len, docs)), bool)
        flags = [doc.to_array(self._skip).reshape(len(doc), len(self._skip)) for doc in docs]
        return np.asarray(np.concatenate(flags).any(axis=1))

    def _select(
        self,
        ids: NDArray[np.object_],
        scores: NDArray[np.float32],
        docs: Sequence[Doc],
        of_rows: NDArray[np.integer],
    ) -> tuple[NDArray[np.object_], NDArray[np.float32]]:
        """Keep the best `top_k` of the images found, by the component's settings.

        Args:
            ids: Ids, (n, k), best first.
            scores: Their scores, (n, k).
            docs: The documents.
            of_rows: Which of them each row is of, (n,).
        """
        if self.exclude_own:
            # None for documents that came without an image.
            images = np.array([doc._.visual_image_id for doc in docs], dtype=object)
            # A stable sort moves a row's own image, if it is there, behind the others.
            is_own = ids == images[of_rows][:, None]
            kept = np.argsort(is_own, axis=1, kind="stable")[:, : self.top_k]
            ids = np.take_along_axis(ids, kept, axis=1)
            scores = np.take_along_axis(scores, kept, axis=1)
        if self.threshold is not None:
            ids[scores < self.threshold] = None
        return ids, scores

    def _find_phrases(self, search: Search, docs: list[Doc]) -> list[list[PhraseVoken]]:
        """Find the image of each phrase that the setting `phrases` names."""
        found: list[list[PhraseVoken]] = [[] for _ in docs]
        spans = [
            (row, start, end)
            for row, doc in enumerate(docs)
            for start, end in sorted({b for kind in self.phrases for b in PHRASES[kind](doc)})
        ]
        if not spans:
            return found
        rows, bounds = np.array(spans)[:, 0], np.array(spans)[:, 1:]
        offsets = np.cumsum([0, *map(len, docs)])[rows][:, None]
        phrases = Phrases(docs, bounds + offsets, ~self._is_skipped(docs))
        k = self.top_k + self.exclude_own
        ids, scores = search.find_phrases(phrases, k, self._settings)
        ids, scores = self._select(ids, scores, docs, rows)
        best = zip(spans, ids[:, 0].tolist(), scores[:, 0].tolist(), strict=True)
        for (row, start, end), voken, score in best:
            if voken is not None:
                found[row].append((start, end, voken, score))
        return found
