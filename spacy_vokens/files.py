"""Hash files, and write files and folders aside before they take their place."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

CHUNK_BYTES = 1024 * 1024


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def file_written_aside(path: Path) -> Iterator[Path]:
    """Yield a path beside `path`, whose file becomes `path` once the block ends without error.

    Missing folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def folder_written_aside(path: Path, *, marker: str, overwrite: bool) -> Iterator[Path]:
    """Yield an empty folder beside `path`, which becomes `path` once the block ends without error.

    path: where the folder is to be.
    marker: name of a file that every folder of this kind holds; a folder without it is the user's
        own and is never replaced.
    overwrite: replace a folder that is there.
    raises FileExistsError: where `path` may not be replaced.
    """
    check_replaceable(path, marker=marker, overwrite=overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as scratch:
        # A folder inside: the temporary one itself is readable by its owner only.
        written = Path(scratch) / "new"
        written.mkdir()
        yield written
        replaced = Path(scratch) / "old"
        if path.exists():
            os.rename(path, replaced)
        try:
            os.rename(written, path)
        except OSError:
            if replaced.exists():
                os.rename(replaced, path)
            raise


def check_replaceable(path: Path, *, marker: str, overwrite: bool) -> None:
    """Raise FileExistsError where `path` is there and may not be replaced."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / marker).is_file():
        raise FileExistsError(f"{path} holds something else (no {marker}): choose another folder.")
    if not overwrite:
        raise FileExistsError(f"{path} is there already: ask to overwrite it, or remove it first.")
