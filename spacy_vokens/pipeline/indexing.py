"""Index an image pool for a pipeline, and search the index."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import spacy

from ..files import VokensError, sole_writer
from ..images.pool import ImagePool
from .serialize import save_pipeline
from .util import load_with_pipe
from .visual_ner import VisualNer
from .voken_retriever import VokenRetriever


@dataclass(frozen=True)
class IndexReport:
    """What `index` did.

    Attributes:
        n_images: How many images the pool has.
        components: Names of the components that took the pool.
    """

    n_images: int
    components: tuple[str, ...]


@dataclass(frozen=True)
class WordImages:
    """The best images of a word.

    Attributes:
        word: Its text.
        images: Id and relevance score of each image, best first.
    """

    word: str
    images: tuple[tuple[str, float], ...]


def index(model: str | Path, pool: Path, output: Path) -> IndexReport:
    """Give a pipeline another image pool, and save it.

    Every component that holds images takes them from the new pool, disabled ones too: the retriever
    its keys, the tagger its image features.

    Args:
        model: Name of an installed pipeline, or its folder.
        pool: Folder of the pool.
        output: Folder for the pipeline. It may be the same folder.

    Returns:
        The size of the pool, and the components that took it.

    Raises:
        OSError: If there is no such pipeline.
        FileExistsError: If `output` holds anything other than a pipeline.
        BlockingIOError: If another process is writing `output`.
        VokensError: If the pipeline has no component that takes images, or if the pool cannot be
            used or comes from another image encoder.
    """
    with sole_writer(output):
        nlp = spacy.load(model)
        opened = ImagePool.open(pool)
        names = []
        for name, pipe in nlp.components:
            if isinstance(pipe, VokenRetriever | VisualNer):
                pipe.set_pool(opened)
                names.append(name)
        if not names:
            components = ", ".join(nlp.component_names) or "none"
            raise VokensError(
                f"{model} has no component that takes images (its components: {components})."
            )
        save_pipeline(nlp, output)
    return IndexReport(len(opened), tuple(names))


def search(model: str | Path, text: str, top_k: int = 3) -> list[WordImages]:
    """Find the best images of each word of a text.

    Args:
        model: Name of an installed pipeline with an indexed `voken_retriever`, or its folder.
        text: The text.
        top_k: How many images to find per word.

    Returns:
        The words in order. Those that the retriever skips have no images.

    Raises:
        OSError: If there is no such pipeline.
        VokensError: If it has no `voken_retriever`, or if that has no index.
    """
    nlp, retriever = load_with_pipe(model, VokenRetriever)
    retriever.top_k = top_k
    doc = nlp.make_doc(text)
    (retrieved,) = retriever.predict([doc])
    return [
        WordImages(
            token.text,
            tuple((i, float(s)) for i, s in zip(ids, scores, strict=True) if i is not None),
        )
        for token, ids, scores in zip(doc, retrieved.ids, retrieved.scores, strict=True)
    ]
