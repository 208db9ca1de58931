"""The texts of images: those that a pool records, and the captions in `.spacy` files."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc

from ..corpus.docbin import load_docs
from ..files import VokensError
from ..images.pool import ImageRecord

logger = logging.getLogger(__name__)


def find_texts(
    nlp: Language, records: Iterable[ImageRecord], corpus: Path, captions: Sequence[Path] = ()
) -> list[tuple[str, Doc]]:
    """Find the texts of images: the given captions, or the recorded texts, or other captions.

    Args:
        nlp: A pipeline, for its tokenizer and vocabulary.
        records: The images.
        corpus: If neither captions nor recorded texts are given, the captions are those in the
            `.spacy` files of this file's folder. One that is damaged is left out with a warning.
        captions: `.spacy` files whose documents name their images, or folders of them.

    Returns:
        Ids of images, each with a text. An image may have several texts, or none.

    Raises:
        FileNotFoundError: If there are no such captions.
        VokensError: If captions that are given are damaged.
    """
    if captions:
        return [pair for path in captions for pair in captions_in(path, nlp)]
    if texts := list(recorded_texts(records, nlp)):
        return texts
    for path in sorted(corpus.parent.glob("*.spacy")):
        try:
            texts += captions_in(path, nlp)
        except VokensError as error:
            logger.warning("Captions of images were not read: %s", error)
    return texts


def recorded_texts(records: Iterable[ImageRecord], nlp: Language) -> Iterator[tuple[str, Doc]]:
    """Read the texts that a pool or an index records.

    Args:
        records: The images.
        nlp: A pipeline, for its tokenizer.

    Yields:
        The id of an image and one of its texts.
    """
    for record in records:
        for text in record.texts:
            yield record.id, nlp.make_doc(text)


def captions_in(path: Path, nlp: Language) -> list[tuple[str, Doc]]:
    """Read the captions in a corpus whose documents name their images.

    Args:
        path: A `.spacy` file, or a folder of them.
        nlp: A pipeline, for its vocabulary.

    Returns:
        Ids of images, each with a caption. Documents without an image are left out.

    Raises:
        FileNotFoundError: If there is no such file, or no `.spacy` file in the folder.
        VokensError: If a file is not a `.spacy` corpus, or is damaged.
    """
    docs = load_docs(path, nlp.vocab)
    named = ((doc._.visual_image_id, doc) for doc in docs)
    return [(image_id, doc) for image_id, doc in named if image_id is not None]
