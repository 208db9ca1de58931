"""The texts that a pool keeps with its images: captions, names and keywords, within limits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from ..files import VokensError
from ..identity import CONTROL_CHARACTERS

MAX_TEXTS = 64
MAX_CHARACTERS = 1000
_QUOTED_CHARACTERS = 20


def check_texts(texts: object) -> tuple[str, ...]:
    """Check the texts of an image.

    Args:
        texts: A list or tuple, for instance read from JSON.

    Returns:
        The texts.

    Raises:
        VokensError: If it is something else, there are too many texts, or one is empty, too long,
            or contains control characters.
    """
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise VokensError(f"'texts' must be a list of strings, found {texts!r:.80}")
    if len(texts) > MAX_TEXTS:
        raise VokensError(f"an image has {len(texts)} texts, more than {MAX_TEXTS}")
    for text in texts:
        if not text.strip():
            raise VokensError("a text is empty")
        if len(text) > MAX_CHARACTERS:
            raise VokensError(
                f"the text {text[:_QUOTED_CHARACTERS]!r}… has {len(text):,} characters, more than "
                f"{MAX_CHARACTERS:,}"
            )
        if CONTROL_CHARACTERS.search(text):
            raise VokensError(
                f"the text {text[:_QUOTED_CHARACTERS]!r}… holds control characters, or is not "
                "valid Unicode"
            )
    return tuple(texts)


def join_texts(texts: Iterable[str]) -> tuple[tuple[str, ...], bool]:
    """Turn any texts of an image into texts that a pool can keep.

    White space and control characters become single blanks. Empty and repeated texts are left out.

    Args:
        texts: The texts, the most important ones first.

    Returns:
        The first `MAX_TEXTS` texts, each cut at `MAX_CHARACTERS`, and whether something was cut.
    """
    clean = (" ".join(CONTROL_CHARACTERS.sub(" ", text).split()) for text in texts)
    distinct = list(dict.fromkeys(text for text in clean if text))
    # Cutting can make two texts equal, or leave a blank at the end.
    short = dict.fromkeys(text[:MAX_CHARACTERS].rstrip() for text in distinct)
    kept = tuple(short)[:MAX_TEXTS]
    return kept, list(kept) != distinct


def hash_texts(texts: Iterable[tuple[str, ...]]) -> str:
    """Return a hash of the texts of all images.

    Args:
        texts: The texts of each image, in the order of the pool.

    Returns:
        SHA-256 over each text followed by NUL, and each image's texts followed by another NUL. No
        text is empty or contains one. If no image has texts, the empty string.
    """
    digest = hashlib.sha256()
    has_texts = False
    for of_image in texts:
        for text in of_image:
            digest.update(text.encode("utf-8") + b"\0")
            has_texts = True
        digest.update(b"\0")
    return digest.hexdigest() if has_texts else ""
