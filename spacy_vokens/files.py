"""Hash files, write them safely, and convert arrays to bytes and back.

Files and folders are written under a temporary name and then renamed, by one writer at a time. If a
writer is killed, its hidden temporary file stays behind. The next writer deletes it, and restores
the older folder if that had already been moved away.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.lib import format as npy
from numpy.typing import DTypeLike

CHUNK_BYTES = 1024 * 1024
# A folder is written to NEW inside its temporary folder; the folder that it replaces waits in OLD.
NEW, OLD = "new", "old"


class VokensError(ValueError):
    """An expected error: the input, not the code, is wrong; the message names the file, the value
    and the fix."""


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def read_object(path: Path) -> dict[str, Any]:
    """Read a UTF-8 file that contains one JSON object.

    Raises:
        VokensError: If the file contains something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    # Deeply nested brackets raise a RecursionError.
    except (ValueError, RecursionError) as error:
        raise VokensError(f"{path} is not a JSON file: {error}") from error
    if not isinstance(found, dict):
        raise VokensError(f"{path} must hold a JSON object.")
    return found


def check_fields(value: object, kinds: Mapping[str, type]) -> dict[str, Any]:
    """Return a value read from JSON if it is an object with exactly these fields.

    Args:
        value: The value.
        kinds: The type of each field.

    Raises:
        VokensError: If a field is missing, unknown or of another type.
    """
    if not isinstance(value, dict) or value.keys() != kinds.keys():
        raise VokensError(f"it must hold {', '.join(kinds)}")
    for name, kind in kinds.items():
        if not isinstance(value[name], kind):
            raise VokensError(f"{name!r} must be {kind.__name__}, found {value[name]!r}")
    return value


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Keep other processes and threads from writing a file or folder until the block ends.

    Missing parent folders are created. The same thread may enter again, so a long job can take the
    lock before it starts to work.

    Raises:
        BlockingIOError: If another process or thread is writing it.
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
            _clean_up(path)
        yield
    finally:
        if lock.lock_counter == 1:
            # Windows cannot delete an open file; there, filelock deletes it on release.
            with suppress(OSError):
                os.unlink(lock.lock_file)
        lock.release()


@contextmanager
def file_written_aside(path: Path) -> Iterator[Path]:
    """Yield a temporary path, which is renamed to `path` if the block ends without an error.

    Missing parent folders are created.

    Raises:
        BlockingIOError: If another process or thread is writing it.
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
    """Yield an empty temporary folder, which is renamed to `path` if the block ends without an
    error.

    Args:
        path: The folder to write. Missing parent folders are created.
        marker: Name of a file that every folder of this kind contains. A folder without it belongs
            to the user and is never replaced.
        overwrite: Replace an existing folder.

    Raises:
        FileExistsError: If `path` may not be replaced.
        BlockingIOError: If another process or thread is writing it.
    """
    with sole_writer(path):
        check_replaceable(path, marker=marker, overwrite=overwrite)
        aside = _aside(path)
        new, old = aside / NEW, aside / OLD
        new.mkdir(parents=True)
        try:
            yield new
            if path.exists():
                os.rename(path, old)
            try:
                os.rename(new, path)
            except OSError:
                if old.exists():
                    os.rename(old, path)
                raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Delete a folder. If this is interrupted, the folder is either still complete or gone."""
    with sole_writer(path):
        aside = _aside(path)
        os.rename(path, aside)
        shutil.rmtree(aside)


def check_replaceable(path: Path, *, marker: str, overwrite: bool) -> None:
    """Check that a folder may be written to a path.

    Args:
        path: The folder to write.
        marker: Name of a file that every folder of this kind contains.
        overwrite: Whether an existing folder may be replaced.

    Raises:
        FileExistsError: If `path` exists, is not empty, and may not be replaced.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / marker).is_file():
        raise FileExistsError(f"{path} holds something else (no {marker}): choose another folder.")
    if not overwrite:
        raise FileExistsError(
            f"{path} already exists: use --overwrite to replace it, or remove it first."
        )


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.aside")


def _clean_up(path: Path) -> None:
    """Delete what a killed writer left, after restoring the folder that it was replacing."""
    aside = _aside(path)
    if (aside / OLD).exists() and not path.exists():
        os.rename(aside / OLD, path)
    if aside.is_dir():
        shutil.rmtree(aside)
    else:
        aside.unlink(missing_ok=True)


def array_to_bytes(array: np.ndarray) -> bytes:
    """Return an array as the bytes of a `.npy` file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def array_from_bytes(data: bytes, *, dtype: DTypeLike, ndim: int) -> np.ndarray:
    """Return the array in the bytes of a `.npy` file, as a read-only view of them.

    Args:
        data: The bytes.
        dtype: The type that the array must have.
        ndim: The number of dimensions that it must have.

    Raises:
        VokensError: If the bytes are not such a file, are longer or shorter than their header says,
            or contain an array of another type or number of dimensions.
    """
    buffer = io.BytesIO(data)
    try:
        npy.read_magic(buffer)
        shape, is_fortran, found = npy.read_array_header_1_0(buffer)
    # NumPy parses the header as Python source, which can raise any error.
    except Exception as error:
        raise VokensError(f"it is not an array in NumPy's format: {error}") from error
    if found != np.dtype(dtype) or len(shape) != ndim or is_fortran:
        raise VokensError(f"it holds {found} of shape {shape}, not {ndim}-d {np.dtype(dtype)}")
    values = np.frombuffer(data, dtype=np.uint8, offset=buffer.tell())
    # Python's integers do not overflow, whatever shape the header claims.
    n_bytes = found.itemsize
    for length in shape:
        n_bytes *= length
    if len(values) != n_bytes:
        raise VokensError(f"it has {len(values)} bytes of values for an array of shape {shape}")
    try:
        return values.view(found).reshape(shape)
    except (OverflowError, ValueError) as error:
        raise VokensError(f"no array has the shape {shape}: {error}") from error
