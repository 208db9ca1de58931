"""Hash files, and write files and folders aside before they take their place, one writer at a time.

A writer that is killed leaves what it had written beside its output, hidden; the next one removes
it, and puts back what had already been moved out of the way.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

CHUNK_BYTES = 1024 * 1024


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def read_object(path: Path) -> dict[str, Any]:
    """Read a UTF-8 file that holds one JSON object.

    raises ValueError: naming the file, where it holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON file: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold a JSON object.")
    return found


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Let nobody else write a file or folder until the block ends; missing parents are made.

    The same thread may enter again. Jobs that work for long before they write enter at their start.

    raises BlockingIOError: where another process, or thread, is writing it.
    """
    path = Path(os.path.abspath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0, is_singleton=True)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(
            f"{path} is being written by another process: wait for it, or choose another place."
        ) from None
    try:
        if lock.lock_counter == 1:
            _clear_up(path)
        yield
    finally:
        if lock.lock_counter == 1:
            # Windows does not remove what is open, and filelock does it there.
            with suppress(OSError):
                os.unlink(lock.lock_file)
        lock.release()


@contextmanager
def file_written_aside(path: Path) -> Iterator[Path]:
    """Yield a path beside `path`, whose file becomes `path` once the block ends without error.

    Missing folders are made.

    raises BlockingIOError: as `sole_writer` does.
    """
    with sole_writer(path):
        aside = _aside(path)
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
    raises BlockingIOError: as `sole_writer` does.
    """
    with sole_writer(path):
        check_replaceable(path, marker=marker, overwrite=overwrite)
        scratch = _aside(path)
        written = scratch / "new"
        written.mkdir(parents=True)
        try:
            yield written
            replaced = _replaced(scratch)
            if path.exists():
                os.rename(path, replaced)
            try:
                os.rename(written, path)
            except OSError:
                if replaced.exists():
                    os.rename(replaced, path)
                raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Remove a folder: whenever that is interrupted, it is there whole, or not at all."""
    with sole_writer(path):
        aside = _aside(path)
        os.rename(path, aside)
        shutil.rmtree(aside)


def check_replaceable(path: Path, *, marker: str, overwrite: bool) -> None:
    """Raise FileExistsError where `path` is there and may not be replaced."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / marker).is_file():
        raise FileExistsError(f"{path} holds something else (no {marker}): choose another folder.")
    if not overwrite:
        raise FileExistsError(f"{path} is there already: ask to overwrite it, or remove it first.")


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.aside")


def _replaced(scratch: Path) -> Path:
    return scratch / "old"


def _clear_up(path: Path) -> None:
    """Remove what a killed writer left, after putting back the folder that it was replacing."""
    aside = _aside(path)
    if _replaced(aside).exists() and not path.exists():
        os.rename(_replaced(aside), path)
    if aside.is_dir():
        shutil.rmtree(aside)
    else:
        aside.unlink(missing_ok=True)
