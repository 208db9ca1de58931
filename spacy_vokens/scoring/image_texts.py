"""The texts of images: those that a pool records, and the captions in `.spacy` files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc

from ..corpus.docbin import load_docs
from ..images.pool import ImageRecord


def recorded_texts(records: Iterable[ImageRecord], nlp: Language) -> Iterator[tuple[str, Doc]]:
    """Read the texts that a pool or an index has of its images.

    Args:
        records: The images.
        nlp: A pipeline, for its tokenizer.

    Yields:
        The id of an image and one of its texts.
    """
    for record in records:
        for text in getattr(record, "texts", ()):
            yield record.id, nlp.make_doc(text)


def captions(paths: Iterable[Path], nlp: Language) -> Iterator[tuple[str, Doc]]:
    """Read the captions in corpora whose documents name their images.

    Args:
        paths: `.spacy` files, or folders of them.
        nlp: A pipeline, for its vocabulary.

    Yields:
        The id of an image and one of its captions. Documents without an image are left out.

    Raises:
        FileNotFoundError: If there is no such file, or no `.spacy` file in a folder.
        VokensError: If a file is not a `.spacy` corpus, or is damaged.
    """
    for path in paths:
        for doc in load_docs(path, nlp.vocab):
            if doc._.visual_image_id is not None:
                yield doc._.visual_image_id, doc
