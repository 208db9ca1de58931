"""Make a smaller image pool of the images that a corpus names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spacy.vocab import Vocab

from ..images.pool import ImagePool
from .docbin import load_docs


@dataclass(frozen=True)
class Selection:
    """What `select_images` selected.

    Attributes:
        n_named: Number of different images that the corpus names.
        n_selected: How many of these are in the pool, and so in the new one.
        n_pool: Number of images in the pool.
    """

    n_named: int
    n_selected: int
    n_pool: int


def select_images(pool: Path, corpus: Path, output: Path, *, overwrite: bool = False) -> Selection:
    """Write a pool of the images that a corpus names, such as the training images only.

    The features are copied, so no image is embedded again.

    Args:
        pool: Folder of an image pool.
        corpus: A `.spacy` file, or a folder of them, whose documents name images.
        output: Folder for the smaller pool.
        overwrite: Whether to replace an existing pool.

    Returns:
        How many images were named and selected.

    Raises:
        VokensError: If the pool or the corpus is damaged, or none of the images is in the pool.
        OSError: If a file is missing, or `output` exists and may not be replaced.
    """
    opened = ImagePool.open(pool)
    named = {doc._.visual_image_id for doc in load_docs(corpus, Vocab())} - {None}
    selected = opened.select(named, output, overwrite=overwrite)
    return Selection(len(named), len(selected), len(opened))
