"""Find the pictures under a folder, each under an id that names no other file on any system."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

from .decode import EXTENSIONS, PictureError, picture_id
from .ids import check_id
from .pool import Reject


class FoundPicture(NamedTuple):
    """A file that may be a picture.

    id: see `check_id`.
    path: relative to the folder, as a POSIX path.
    size: in bytes.
    modified_ns: when it was changed last, in nanoseconds.
    """

    id: str
    path: str
    size: int
    modified_ns: int


def scan_pictures(root: Path) -> tuple[list[FoundPicture], list[Reject], int]:
    """The pictures under a folder sorted by id, the rejects, how many other files.

    root: the folder, resolved.
    raises ValueError: where a folder cannot be read.
    """
    found: dict[str, FoundPicture] = {}
    rejects: list[Reject] = []
    n_other = 0

    def reject(path: str, reason: str) -> None:
        # A file name need not be valid Unicode.
        rejects.append(Reject(path.encode("utf-8", "backslashreplace").decode("utf-8"), reason))

    # No reject, which would count as one picture: a folder may hold any number of them.
    def fail(error: OSError) -> None:
        raise ValueError(f"{error.filename} cannot be read: {error.strerror}.") from error

    for folder, subfolders, names in os.walk(root, onerror=fail):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in subfolders:
            if (link := Path(folder, name)).is_symlink():
                reject(link.relative_to(root).as_posix(), "a linked folder")
        for name in sorted(names):
            if name.startswith("."):
                continue
            if not name.lower().endswith(EXTENSIONS):
                n_other += 1
                continue
            file = Path(folder, name)
            path = file.relative_to(root).as_posix()
            id = picture_id(path)
            try:
                check_id(id)
                status = file.stat()
            except OSError as error:
                reject(path, f"cannot be read: {error.strerror}")
            except ValueError as error:
                reject(path, str(error))
            else:
                item = FoundPicture(id, path, status.st_size, status.st_mtime_ns)
                first = found.setdefault(_caseless(id), item)
                if first is not item:
                    taken = f"its id {id!r} is that of {first.path}"
                    reject(path, f"{taken}: case and Unicode form do not count")
    return sorted(found.values()), rejects, n_other


def follow_links(file: Path, root: Path) -> Path:
    """Where a path under a resolved folder leads.

    Called right before the file is read: the folder may have changed since it was scanned. Against
    somebody who swaps links between this and the reading, it is no defence.

    raises PictureError: where it leads out of the folder, or nowhere.
    """
    try:
        target = Path(os.path.realpath(file, strict=True))
    except OSError as error:
        raise PictureError(f"cannot be read: {error.strerror}") from error
    if not target.is_relative_to(root):
        raise PictureError("a link that leads out of the folder")
    return target


def _caseless(id: str) -> str:
    """Equal for ids that are canonical caseless matches, as the Unicode standard calls it."""
    return normalize("NFD", normalize("NFD", id).casefold())
