"""Arrays as bytes in NumPy's own format; reading them allocates nothing the bytes do not hold."""

from __future__ import annotations

import io

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike


def array_to_bytes(array: np.ndarray) -> bytes:
    """A `.npy` file of an array."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def array_from_bytes(data: bytes, *, dtype: DTypeLike, ndim: int) -> np.ndarray:
    """The array of a `.npy` file, read-only: a view of `data`.

    raises ValueError: where the bytes are no such file, hold more or less than their header says,
        or hold another type or number of dimensions than expected.
    """
    buffer = io.BytesIO(data)
    try:
        npy.read_magic(buffer)
        shape, is_fortran, found = npy.read_array_header_1_0(buffer)
    # NumPy parses the header as Python source, with whatever error that gives.
    except Exception as error:
        raise ValueError(f"it is no array in NumPy's format: {error}") from error
    if found != np.dtype(dtype) or len(shape) != ndim or is_fortran:
        raise ValueError(f"it holds {found} of shape {shape}, not {ndim}-d {np.dtype(dtype)}")
    values = np.frombuffer(data, dtype=np.uint8, offset=buffer.tell())
    # In Python's integers, which do not overflow.
    n_bytes = found.itemsize
    for length in shape:
        n_bytes *= length
    if len(values) != n_bytes:
        raise ValueError(f"it has {len(values)} bytes of values for an array of shape {shape}")
    try:
        return values.view(found).reshape(shape)
    except OverflowError as error:
        raise ValueError(f"no array has the shape {shape}") from error
