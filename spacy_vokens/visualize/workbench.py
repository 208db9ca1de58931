"""What the app does, without its widgets: one pipeline, tried out with settings and pictures."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import spacy
from spacy.tokens import Doc

from ..extensions import clear_values
from ..images.decode import EXTENSIONS, PictureError, open_picture, read_picture
from ..images.embed import embed_pictures
from ..images.encoders import DOWNLOADING, load_encoder
from ..images.pool import ImagePool
from ..layers.image_features import ImageFeatures
from ..pipeline.loading import find_retriever, find_tagger
from ..retrieval.index import VokenIndex
from ..retrieval.picture import Picture
from .explanation import Explanation, explain

MAX_PICTURES = 200
# Characters, of at most four bytes; a file system takes 255 bytes.
MAX_NAME = 30


@dataclass(frozen=True)
class OwnPictures:
    """A temporary pool in the place of the pipeline's own.

    rejected: names of the files that could not be used, each with the reason.
    """

    index: VokenIndex
    images: ImageFeatures | None
    rejected: list[tuple[str, str]]


@dataclass(frozen=True)
class Settings:
    """How a text is read.

    top_k, threshold: as `VokenRetriever` has them.
    own: pictures in the place of the pipeline's.
    """

    top_k: int = 5
    threshold: float | None = None
    own: OwnPictures | None = None


class Workbench:
    """A loaded pipeline that may be asked by several people at once, each with settings of theirs.

    weights: file for the image encoder of the pipeline's pool, where its package has none.
    raises OSError: when there is no such pipeline.
    raises ValueError: when it has neither a `voken_retriever` nor a `visual_ner`.
    """

    def __init__(self, model: str | Path, weights: Path | None = None) -> None:
        self.nlp = spacy.load(model)
        self.weights = weights
        self.retriever = find_retriever(self.nlp)
        self.tagger = find_tagger(self.nlp)
        if self.retriever is None and self.tagger is None:
            raise ValueError(f"{model} has neither a voken_retriever nor a visual_ner to show.")
        # The pipeline's own, whatever the retriever has while somebody is served.
        self.index = None if self.retriever is None else self.retriever.index
        self.threshold = None if self.retriever is None else self.retriever.threshold
        self._lock = threading.Lock()

    @property
    def has_pictures(self) -> bool:
        """Whether there is an index to retrieve from."""
        return self.index is not None

    def annotate(self, text: str, settings: Settings) -> tuple[Doc, Doc]:
        """A text read by the whole pipeline with pictures, and without.

        raises ValueError: for a text that is too long, and whatever the components refuse.
        """
        with self._set_to(settings, attention=True):
            doc = self.nlp(text)
            if not self.has_pictures:
                return doc, doc
            bare = self.nlp.make_doc(text)
            # As one that the retriever has seen, and found nothing for.
            bare._.voken_index = doc._.voken_index
            return doc, self.nlp(bare)

    def explain(self, text: str, settings: Settings) -> Explanation:
        """Whether the pictures mattered; as `explain`, with `top_k` pictures of each word."""
        with self._set_to(settings):
            return explain(self.nlp, text, top_k=settings.top_k)

    def search(
        self, text: str, token: int | None, n: int, settings: Settings
    ) -> list[tuple[Picture, float]]:
        """The best pictures for a word in its text, or for the whole text, with their scores.

        token: number of the word; None for the text, whose score is the mean of its words'.
        raises ValueError: for a text without words, or where there is no index.
        """
        with self._set_to(settings):
            if self.retriever is None or self.retriever.index is None:
                raise ValueError("The pipeline has no index of pictures to search.")
            (queries,) = self.retriever.queries([self.nlp.make_doc(text)])
            if not len(queries):
                raise ValueError("Type a word to search for.")
            query = queries.mean(axis=0) if token is None else queries[token]
            index = self.retriever.index
            ids, scores = index.search(query[np.newaxis], n)
            return [
                (index.picture(image_id), float(score))
                for image_id, score in zip(ids[0], scores[0], strict=True)
                if image_id is not None
            ]

    def process(self, texts: Iterable[str], settings: Settings) -> Iterator[Doc]:
        """Read many texts, one after the other, so that others are served in between.

        The documents hold what a file can: not what a transformer left with them.
        """
        for text in texts:
            with self._set_to(settings):
                doc = self.nlp(text)
            clear_values(doc, "trf_data")
            yield doc

    def embed(self, files: Sequence[tuple[str, bytes]], folder: Path) -> OwnPictures:
        """Make a temporary pool of pictures, with the encoder of the pipeline's own.

        files: names and contents; a name is nothing but a name here, whatever folders it has.
        folder: an empty one, for the pictures and the pool.
        raises ValueError: where there are more than `MAX_PICTURES`, none can be used, or the
            encoder is not that of the pipeline, or would download its weights.
        raises ImportError: where the encoder's package is missing.
        """
        if self.retriever is None or self.retriever.index is None:
            raise ValueError("The pipeline has no index that pictures could take the place of.")
        spec = self.retriever.index.meta["encoder"]
        if self.weights is None and spec.partition(":")[0] in DOWNLOADING:
            raise ValueError(
                f"The image encoder {spec} would download its weights: start the app with "
                "'--weights FILE'."
            )
        if len(files) > MAX_PICTURES:
            raise ValueError(f"At most {MAX_PICTURES} pictures at once, found {len(files)}.")
        pictures = folder / "pictures"
        pictures.mkdir()
        rejected: list[tuple[str, str]] = []
        taken: set[str] = set()
        for name, data in files:
            path = pictures / _safe_name(name)
            try:
                if path.suffix.lower() not in EXTENSIONS:
                    raise PictureError(f"its name must end in one of {', '.join(EXTENSIONS)}")
                if path.stem in taken:
                    raise PictureError("another picture has its name")
                path.write_bytes(data)
                open_picture(read_picture(path))
                taken.add(path.stem)
            except PictureError as error:
                rejected.append((name, str(error)))
                if path.stem not in taken:
                    path.unlink(missing_ok=True)
        if not any(pictures.iterdir()):
            reasons = "; ".join(f"{name}: {reason}" for name, reason in rejected)
            raise ValueError(f"None of the files can be used. {reasons}")
        encoder = load_encoder(spec, self.weights)
        report = embed_pictures(
            pictures, folder / "pool", encoder, source="uploaded", max_rejects=1.0
        )
        with self._lock:
            before = self.retriever.index
            try:
                self.retriever.set_pool(report.pool)
                index = self.retriever.index
            finally:
                self.retriever.index = before
        return OwnPictures(index, self._features(report.pool), rejected)

    def _features(self, pool: ImagePool) -> ImageFeatures | None:
        if self.tagger is None or self.tagger.images is None:
            return None
        return ImageFeatures.from_pool(pool)

    @contextmanager
    def _set_to(self, settings: Settings, *, attention: bool = False) -> Iterator[None]:
        """Settings hold while the lock does: the pipeline is everybody's."""
        with self._lock:
            retriever, tagger = self.retriever, self.tagger
            if retriever is not None:
                before = (
                    retriever.index,
                    retriever.top_k,
                    retriever.threshold,
                    retriever.overwrite,
                )
                retriever.top_k, retriever.threshold = settings.top_k, settings.threshold
                # A document that says that it has no vokens keeps none.
                retriever.overwrite = False
                if settings.own is not None:
                    retriever.index = settings.own.index
            if tagger is not None:
                images, attended = tagger.images, tagger.attention
                tagger.attention = attention
                if settings.own is not None:
                    tagger.model.attrs["images"] = settings.own.images
            try:
                yield
            finally:
                if retriever is not None:
                    (
                        retriever.index,
                        retriever.top_k,
                        retriever.threshold,
                        retriever.overwrite,
                    ) = before
                if tagger is not None:
                    tagger.model.attrs["images"], tagger.attention = images, attended


def _safe_name(name: str) -> str:
    """A file name that leads nowhere, is not hidden, and that every file system takes."""
    stem, suffix = os.path.splitext(re.split(r"[/\\]", name)[-1].lstrip("."))
    stem = re.sub(r"[^\w.-]", "_", stem)[:MAX_NAME] or "unnamed"
    return stem + re.sub(r"[^\w.]", "_", suffix)[:MAX_NAME]
