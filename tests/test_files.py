from __future__ import annotations

import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

from spacy_vokens.files import (
    CHUNK_BYTES,
    VokensError,
    array_from_bytes,
    array_to_bytes,
    check_fields,
    check_replaceable,
    file_written_aside,
    folder_written_aside,
    read_object,
    remove_folder,
    sha256_file,
    sole_writer,
)


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_sha256(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "data").write_bytes(data)
    assert sha256_file(tmp_path / "data") == hashlib.sha256(data).hexdigest()


def test_a_file_takes_its_place_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folders" / "a.txt"
    with file_written_aside(path) as aside:
        aside.write_text("first")
        assert not path.exists()
    with file_written_aside(path) as aside:
        aside.write_text("second")
        assert path.read_text() == "first"
    assert contents(tmp_path) == {"new/folders/a.txt": "second"}


def test_a_failed_write_leaves_the_older_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half() -> None:
        with file_written_aside(path) as aside:
            aside.write_text("ne")
            raise RuntimeError("stopped half way")

    with pytest.raises(RuntimeError, match="half way"):
        write_half()
    assert contents(tmp_path) == {"a.txt": "old"}


def test_a_folder_takes_its_place_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "pool"
    for text in ("first", "second"):
        with folder_written_aside(path, marker="meta", overwrite=True) as aside:
            (aside / "meta").write_text(text)
            (aside / text).write_text("")
    assert contents(tmp_path) == {"new/pool/meta": "second", "new/pool/second": ""}
    assert [entry.name for entry in path.parent.iterdir()] == ["pool"]


def test_a_written_folder_is_as_readable_as_any(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with folder_written_aside(tmp_path / "pool", marker="meta", overwrite=False):
        pass
    assert (tmp_path / "pool").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_failed_folder_leaves_the_older_one_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pool"
    path.mkdir()
    (path / "meta").write_text("old")

    def write(*, fail: bool) -> None:
        with folder_written_aside(path, marker="meta", overwrite=True) as aside:
            (aside / "meta").write_text("new")
            if fail:
                raise RuntimeError("stopped half way")

    with pytest.raises(RuntimeError, match="half way"):
        write(fail=True)
    assert contents(tmp_path) == {"pool/meta": "old"}

    rename = os.rename

    def rename_but_the_new_one(source: Path, target: Path) -> None:
        if Path(source).name == "new":
            raise OSError("disk is gone")
        rename(source, target)

    monkeypatch.setattr(os, "rename", rename_but_the_new_one)
    with pytest.raises(OSError, match="disk is gone"):
        write(fail=False)
    assert contents(tmp_path) == {"pool/meta": "old"}
    assert list(tmp_path.iterdir()) == [path]


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with sole_writer(path), ThreadPoolExecutor() as other:

        def write() -> None:
            with file_written_aside(path) as aside:
                aside.write_text("other")

        with pytest.raises(BlockingIOError, match=r"a\.txt is being written by another process"):
            other.submit(write).result()
        with sole_writer(path), file_written_aside(path) as aside:
            aside.write_text("mine")
    assert contents(tmp_path) == {"a.txt": "mine"}
    other = ThreadPoolExecutor()
    other.submit(write).result()
    assert contents(tmp_path) == {"a.txt": "other"}


@pytest.mark.parametrize("is_replaced", [False, True])
def test_what_a_killed_writer_left_is_put_right(tmp_path: Path, is_replaced: bool) -> None:
    path, aside = tmp_path / "pool", tmp_path / ".pool.aside"
    (aside / "new").mkdir(parents=True)
    (aside / "new" / "meta").write_text("half")
    old = path if not is_replaced else aside / "old"
    old.mkdir()
    (old / "meta").write_text("old")
    (tmp_path / ".pool.lock").touch()
    with sole_writer(path):
        assert (path / "meta").read_text() == "old"
    assert contents(tmp_path) == {"pool/meta": "old"}
    (tmp_path / ".a.txt.aside").write_text("half")
    with file_written_aside(tmp_path / "a.txt") as aside:
        assert not aside.exists()
        aside.write_text("whole")
    assert contents(tmp_path) == {"pool/meta": "old", "a.txt": "whole"}


def test_a_folder_is_removed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "a").write_text("")

    def stop(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", stop)
    with pytest.raises(KeyboardInterrupt):
        remove_folder(tmp_path / "work")
    assert not (tmp_path / "work").exists()
    monkeypatch.undo()
    with sole_writer(tmp_path / "work"):
        assert contents(tmp_path).keys() <= {".work.lock"}


def test_what_may_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pool"
    check_replaceable(path, marker="meta", overwrite=False)
    path.mkdir()
    check_replaceable(path, marker="meta", overwrite=False)
    (path / "meta").write_text("")
    check_replaceable(path, marker="meta", overwrite=True)
    with pytest.raises(FileExistsError, match="already exists"):
        check_replaceable(path, marker="meta", overwrite=False)
    with pytest.raises(FileExistsError, match="holds something else"):
        check_replaceable(path, marker="other", overwrite=True)
    with pytest.raises(FileExistsError, match="holds something else"):
        check_replaceable(path / "meta", marker="meta", overwrite=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a JSON file"),
        ("[" * 100_000, "is not a JSON file"),
        ("\x00", "is not a JSON file"),
        ("[]", "must hold a JSON object"),
    ],
    ids=["cut", "deep", "binary", "list"],
)
def test_a_file_that_is_not_an_object(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(VokensError, match=rf"a\.json {message}"):
        read_object(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "it must hold name, size"),
        ({"name": "a"}, "it must hold name, size"),
        ({"name": "a", "size": 1, "color": ""}, "it must hold name, size"),
        ({"name": "a", "size": "1"}, "'size' must be int, found '1'"),
    ],
)
def test_fields(value: object, message: str) -> None:
    kinds = {"name": str, "size": int}
    assert check_fields({"size": 1, "name": "a"}, kinds) == {"name": "a", "size": 1}
    with pytest.raises(VokensError, match=message):
        check_fields(value, kinds)


ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)
DATA = array_to_bytes(ARRAY)


@given(st_np.arrays(np.float16, st_np.array_shapes(min_dims=2, max_dims=2, min_side=0)))
def test_arrays_round_trip(array: np.ndarray) -> None:
    loaded = array_from_bytes(array_to_bytes(array), dtype=np.float16, ndim=2)
    np.testing.assert_array_equal(loaded, array)


def claiming(shape: str) -> bytes:
    return DATA.replace(b"(2, 3), }" + b" " * (len(shape) + 3 - 9), f"{shape}, }}".encode())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an array"),
        (DATA[:50], "not an array"),
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
def test_bytes_of_something_else_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        array_from_bytes(data, dtype=np.float32, ndim=2)


@given(st.binary(max_size=200), st.integers(0, len(DATA)))
def test_any_bytes_give_an_array_or_an_error(noise: bytes, position: int) -> None:
    data = DATA[:position] + noise + DATA[position + len(noise) :]
    try:
        assert array_from_bytes(data, dtype=np.float32, ndim=2).nbytes <= len(data)
    except ValueError:
        assert data != DATA
