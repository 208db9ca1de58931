"""Find the image files in a folder, and give each an id that is unique on every system."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from ..files import VokensError
from ..identity import caseless, check_id, image_id_of
from .decode import EXTENSIONS
from .pool import Reject


class FoundImage(NamedTuple):
    """A file with the extension of an image.

    Attributes:
        id: Its relative path without the extension.
        path: Its path relative to the folder, as a POSIX path.
        size: Size in bytes.
        modified_ns: Time of the last change, in nanoseconds.
    """

    id: str
    path: str
    size: int
    modified_ns: int


def scan_images(root: Path) -> tuple[list[FoundImage], list[Reject], int]:
    """Find the JPEG, PNG and WebP files in a folder and its subfolders, by their extensions.

    Hidden files and folders are ignored. Linked folders are rejected, and so are names that cannot
    be ids. Of several files whose ids differ only in case or Unicode normalization, which are one
    file on Windows and macOS, the first is kept.

    Args:
        root: The folder, resolved.

    Returns:
        The images sorted by id, the rejected files, and the number of files with other extensions.

    Raises:
        VokensError: If a folder cannot be read.
    """
    found: dict[str, FoundImage] = {}
    rejects: list[Reject] = []
    n_other = 0

    def reject(path: str, reason: str) -> None:
        # A file name may be invalid Unicode.
        rejects.append(Reject(path.encode("utf-8", "backslashreplace").decode("utf-8"), reason))

    # An unreadable folder may contain any number of images, so it cannot count as one reject.
    def fail(error: OSError) -> None:
        raise VokensError(f"{error.filename} cannot be read: {error.strerror}.") from error

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
            id = image_id_of(path)
            try:
                check_id(id)
                status = file.stat()
            except OSError as error:
                reject(path, f"cannot be read: {error.strerror}")
            except VokensError as error:
                reject(path, str(error))
            else:
                image = FoundImage(id, path, status.st_size, status.st_mtime_ns)
                first = found.setdefault(caseless(id), image)
                if first.id == id and first is not image:
                    reason = f"its id is that of {first.path}, as the extension does not count"
                    reject(path, f"{reason}: rename one of them")
                elif first is not image:
                    reason = f"its id {id!r} differs from that of {first.path} in case or Unicode"
                    reject(path, f"{reason} form only: rename one of them")
    return sorted(found.values()), rejects, n_other
