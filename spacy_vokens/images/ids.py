"""Image ids: relative paths that name the same file on every system, and their hash."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import PureWindowsPath

MAX_ID_LENGTH = 255
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# Windows reads these as separators, streams and devices, and drops dots and spaces at the end.
_ELSEWHERE_ON_WINDOWS = re.compile(
    r"[\\:]|[. ](/|$)|(^|/)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *([./]|$)",
    re.IGNORECASE,
)


def check_id(id: str) -> None:
    """Raise ValueError where a string cannot be an image id.

    An id is a relative path that stays in its folder and names the same file on every system,
    without control characters, of at most 255 characters.
    """
    if len(id) > MAX_ID_LENGTH:
        raise ValueError(f"the id {id[:20]!r}… has {len(id)} characters, more than {MAX_ID_LENGTH}")
    check_relative(id)


def check_ids(ids: Sequence[str]) -> None:
    """Raise ValueError unless there are ids, each is one, and they are sorted and unique."""
    if not ids:
        raise ValueError("there is no image")
    for id in ids:
        check_id(id)
    for one, other in pairwise(ids):
        if one >= other:
            problem = "appears twice" if one == other else f"stands after {one!r}"
            raise ValueError(f"ids must be sorted and unique, but {other!r} {problem}")


def hash_ids(ids: Iterable[str]) -> str:
    """SHA-256 over the ids in their order, each ended by a NUL, which no id holds."""
    digest = hashlib.sha256()
    for id in ids:
        digest.update(id.encode("utf-8") + b"\0")
    return digest.hexdigest()


def check_relative(path: str) -> None:
    """Raise ValueError where a relative path leads elsewhere, here or on another system."""
    # The Windows flavour knows both separators, drives and roots, so it covers every system.
    parsed = PureWindowsPath(path)
    if not path.strip():
        raise ValueError("an id or path is empty")
    if parsed.anchor or ".." in parsed.parts:
        raise ValueError(f"{path!r} leads out of its folder")
    if _ELSEWHERE_ON_WINDOWS.search(path):
        raise ValueError(f"{path!r} would name something else on Windows")
    if _CONTROL.search(path):
        raise ValueError(f"{path!r} holds control characters, or is not valid Unicode")
