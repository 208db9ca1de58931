from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

from spacy_vokens.arrays import array_from_bytes, array_to_bytes

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)
DATA = array_to_bytes(ARRAY)


@given(st_np.arrays(np.float16, st_np.array_shapes(min_dims=2, max_dims=2, min_side=0)))
def test_round_trip(array: np.ndarray) -> None:
    loaded = array_from_bytes(array_to_bytes(array), dtype=np.float16, ndim=2)
    np.testing.assert_array_equal(loaded, array)


def claiming(shape: str) -> bytes:
    return DATA.replace(b"(2, 3), }" + b" " * (len(shape) + 3 - 9), f"{shape}, }}".encode())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no array"),
        (DATA[:50], "no array"),
        (DATA[:-1], "23 bytes of values for an array of shape"),
        (DATA + b"x", "25 bytes of values"),
        (array_to_bytes(ARRAY.astype(np.float64)), "holds float64 of shape"),
        (array_to_bytes(ARRAY.T), "holds float32 of shape"),
        (array_to_bytes(ARRAY[0]), "not 2-d float32"),
        (claiming("(99999999, 9999999999999)"), "24 bytes of values for an array of shape"),
        (claiming(f"(0, {10**30})")[:-24], "Maximum allowed dimension|no array has the shape"),
        (claiming("(-2, -3)"), "dimension"),
    ],
)
def test_other_bytes_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        array_from_bytes(data, dtype=np.float32, ndim=2)


@given(st.binary(max_size=200), st.integers(0, len(DATA)))
def test_any_bytes_give_an_array_or_an_error(noise: bytes, position: int) -> None:
    data = DATA[:position] + noise + DATA[position + len(noise) :]
    try:
        assert array_from_bytes(data, dtype=np.float32, ndim=2).nbytes <= len(data)
    except ValueError:
        assert data != DATA
