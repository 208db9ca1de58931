"""The pipeline behind the app: one for all visitors, run with each visitor's own settings."""

from __future__ import annotations

import copy
import os
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import spacy
from spacy.tokens import Doc

from ..attributes import clear_values
from ..files import VokensError
from ..images.decode import EXTENSIONS, ImageError, open_image, read_image
from ..images.embed import EmbedOptions, embed_images
from ..images.encoders import DOWNLOADING, load_encoder
from ..index import VokenImage, VokenIndex
from ..models.image_features import ImageFeatures
from ..models.tagger import with_images
from ..pipeline.util import find_pipe
from ..pipeline.visual_ner import VisualNer
from ..pipeline.voken_retriever import VokenRetriever
from ..visualize.explain import Explanation, explain_doc

MAX_IMAGES = 200
# File systems allow 255 bytes; a character takes at most four.
MAX_NAME_CHARACTERS = 30


@dataclass(frozen=True)
class UploadedImages:
    """A visitor's images, which replace those of the pipeline.

    Attributes:
        index: The retriever's index of them.
        features: The tagger's table of their features; None if the tagger uses no images.
        rejected: Name and reason for each file that could not be used.
    """

    index: VokenIndex
    features: ImageFeatures | None
    rejected: list[tuple[str, str]]


@dataclass(frozen=True)
class Settings:
    """A visitor's settings.

    Attributes:
        top_k: Number of images to retrieve for each token.
        threshold: A token whose best score is below it has no voken; None keeps all.
        uploaded: Images to use in place of the pipeline's; None uses the pipeline's.
    """

    top_k: int = 5
    threshold: float | None = None
    uploaded: UploadedImages | None = None


class SharedPipeline:
    """A pipeline that several visitors use at once, each with their own settings.

    The pipeline itself never changes: a call copies the retriever and the tagger, without their
    weights, and applies its settings to the copies. Calls of several threads wait for each other.

    Attributes:
        nlp: The pipeline.
        retriever: Its `voken_retriever`, or None.
        tagger: Its `visual_ner`, or None.

    Args:
        model: Name of an installed pipeline, or its folder.
        weights: File with the weights of the image encoder; None if its package includes them.

    Raises:
        OSError: If there is no such pipeline.
        VokensError: If it has neither a `voken_retriever` nor a `visual_ner`.
    """

    def __init__(self, model: str | Path, weights: Path | None = None) -> None:
        self.nlp = spacy.load(model)
        self.retriever = find_pipe(self.nlp, VokenRetriever)
        self.tagger = find_pipe(self.nlp, VisualNer)
        if self.retriever is None and self.tagger is None:
            components = ", ".join(self.nlp.pipe_names) or "none"
            raise VokensError(
                f"{model} has neither a voken_retriever nor a visual_ner (its components: "
                f"{components})."
            )
        self._weights = weights
        # Layers cache the vectors of words, and are not made for several threads.
        self._lock = threading.Lock()

    @property
    def has_images(self) -> bool:
        """Whether the pipeline has an index to retrieve images from."""
        return self.retriever is not None and self.retriever.index is not None

    def find_image(self, voken: str, settings: Settings) -> VokenImage | None:
        """Return the image with an id, or None if the index has no such image."""
        index = self._index(settings)
        return index.image(voken) if index is not None and voken in index else None

    def annotate(self, text: str, settings: Settings) -> tuple[Doc, Doc]:
        """Run the whole pipeline on a text, with images and without.

        Returns:
            The document with images, and the document without; the same one if the pipeline has no
            images.

        Raises:
            ValueError: If the text is longer than `nlp.max_length`.
        """
        with self._lock:
            doc = self._run(self.nlp.make_doc(text), settings, set_attention=True)
            if not self.has_images:
                return doc, doc
            bare = self.nlp.make_doc(text)
            # The retriever skips documents that are marked with its own index.
            bare._.voken_index = doc._.voken_index
            return doc, self._run(bare, settings, set_attention=True)

    def explain(self, text: str, settings: Settings) -> Explanation:
        """Compare the entities of a text with what the tagger finds with other images.

        Raises:
            VokensError: If the pipeline has no `visual_ner`.
        """
        if self.tagger is None:
            raise VokensError("The pipeline has no visual_ner, so there is nothing to explain.")
        tagger = _copy_tagger(self.tagger, settings, set_attention=False)
        retriever = self.retriever and _copy_retriever(self.retriever, settings)
        with self._lock:
            doc = self._run(self.nlp.make_doc(text), settings)
            return explain_doc(doc, tagger, retriever, top_k=settings.top_k)

    def search(
        self, text: str, token: int | None, n: int, settings: Settings
    ) -> list[tuple[VokenImage, float]]:
        """Find the best images for a word of a text, or for a whole text.

        Args:
            text: The text.
            token: Index of the word's token. None searches for the whole text as one.
            n: Number of images to find.
            settings: The visitor's settings.

        Returns:
            Images and their relevance scores, best first; none if no word has anything to show.

        Raises:
            VokensError: If the text has no words, or if the pipeline has no index.
        """
        if self.retriever is None or self.retriever.index is None:
            raise VokensError("The pipeline has no index of images to search.")
        retriever = _copy_retriever(self.retriever, settings)
        assert retriever.index is not None
        with self._lock:
            doc = self._run(self.nlp.make_doc(text), settings)
            if not len(doc):
                raise VokensError("Type a word to search for.")
            found = retriever.search(doc if token is None else doc[token : token + 1], n)
        return [(retriever.index.image(image_id), score) for image_id, score in found]

    def pipe(self, texts: Iterable[str], settings: Settings) -> Iterator[Doc]:
        """Run the pipeline on many texts, one at a time, so that other visitors get their turn.

        Yields:
            The documents, without the transformer's output, which cannot be saved.
        """
        for text in texts:
            with self._lock:
                doc = self._run(self.nlp.make_doc(text), settings)
            clear_values(doc, "trf_data")
            yield doc

    def embed(self, files: Sequence[tuple[str, bytes]], folder: Path) -> UploadedImages:
        """Embed uploaded images with the encoder of the pipeline's own images.

        Args:
            files: Names and contents. Folders in a name are ignored.
            folder: An empty folder, for the images and their pool.

        Returns:
            The images, for `Settings.uploaded`.

        Raises:
            ImportError: If the encoder's package is not installed.
            VokensError: If there are more than `MAX_IMAGES` files or none of them can be used, if
                the encoder is not the one of the pipeline's images or would have to download its
                weights, or if the pipeline has no index.
        """
        if self.retriever is None or self.retriever.index is None:
            raise VokensError("The pipeline has no index, so there are no images to replace.")
        spec = self.retriever.index.encoder.name
        if self._weights is None and spec.partition(":")[0] in DOWNLOADING:
            raise VokensError(
                f"The image encoder {spec} would download its weights: start the app with "
                "'--weights FILE'."
            )
        if len(files) > MAX_IMAGES:
            raise VokensError(f"Upload at most {MAX_IMAGES} images at once, not {len(files)}.")
        images = folder / "images"
        images.mkdir()
        rejected = _write_images(files, images)
        if not any(images.iterdir()):
            reasons = "; ".join(f"{name}: {reason}" for name, reason in rejected)
            raise VokensError(f"None of the files can be used. {reasons}")
        encoder = load_encoder(spec, self._weights)
        options = EmbedOptions(source="uploaded", max_rejects=1.0)
        report = embed_images(images, folder / "pool", encoder, options)
        retriever = copy.copy(self.retriever)
        with self._lock:
            retriever.set_pool(report.pool)
        assert retriever.index is not None
        uses_images = self.tagger is not None and self.tagger.images is not None
        features = ImageFeatures.from_pool(report.pool) if uses_images else None
        return UploadedImages(retriever.index, features, rejected)

    def _index(self, settings: Settings) -> VokenIndex | None:
        if settings.uploaded is not None:
            return settings.uploaded.index
        return None if self.retriever is None else self.retriever.index

    def _run(self, doc: Doc, settings: Settings, *, set_attention: bool = False) -> Doc:
        """Run all components on a document, the retriever and the tagger with the settings."""
        for _, pipe in self.nlp.pipeline:
            if isinstance(pipe, VokenRetriever):
                doc = _copy_retriever(pipe, settings)(doc)
            elif isinstance(pipe, VisualNer):
                doc = _copy_tagger(pipe, settings, set_attention=set_attention)(doc)
            else:
                doc = pipe(doc)
        return doc


def _copy_retriever(retriever: VokenRetriever, settings: Settings) -> VokenRetriever:
    """Copy a retriever with other settings; the copy shares its weights."""
    retriever = copy.copy(retriever)
    retriever.top_k = settings.top_k
    retriever.threshold = settings.threshold
    # `annotate` marks a document that must not get vokens as done.
    retriever.overwrite = False
    if settings.uploaded is not None:
        retriever.index = settings.uploaded.index
    return retriever


def _copy_tagger(tagger: VisualNer, settings: Settings, *, set_attention: bool) -> VisualNer:
    """Copy a tagger with other settings; the copy shares its weights."""
    tagger = copy.copy(tagger)
    tagger.set_attention = set_attention
    images = tagger.images if settings.uploaded is None else settings.uploaded.features
    tagger.model = with_images(tagger.model, images)
    return tagger


def _write_images(files: Sequence[tuple[str, bytes]], folder: Path) -> list[tuple[str, str]]:
    """Write uploaded images to a folder, and return name and reason for each one rejected."""
    rejected: list[tuple[str, str]] = []
    ids: set[str] = set()
    for name, data in files:
        path = folder / _safe_name(name)
        try:
            if path.suffix.lower() not in EXTENSIONS:
                raise ImageError(f"its name must end in one of {', '.join(EXTENSIONS)}")
            if path.stem in ids:
                raise ImageError("another image has the same name")
            path.write_bytes(data)
            open_image(read_image(path))
            ids.add(path.stem)
        except ImageError as error:
            rejected.append((name, str(error)))
            if path.stem not in ids:
                path.unlink(missing_ok=True)
    return rejected


def _safe_name(name: str) -> str:
    """Make a name without folders that is not hidden, and that every file system allows."""
    stem, suffix = os.path.splitext(re.split(r"[/\\]", name)[-1].lstrip("."))
    stem = re.sub(r"[^\w.-]", "_", stem)[:MAX_NAME_CHARACTERS] or "unnamed"
    return stem + re.sub(r"[^\w.]", "_", suffix)[:MAX_NAME_CHARACTERS]
