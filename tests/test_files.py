from __future__ import annotations

import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from spacy_vokens.files import (
    CHUNK_BYTES,
    check_replaceable,
    file_written_aside,
    folder_written_aside,
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
    with pytest.raises(FileExistsError, match="is there already"):
        check_replaceable(path, marker="meta", overwrite=False)
    with pytest.raises(FileExistsError, match="holds something else"):
        check_replaceable(path, marker="other", overwrite=True)
    with pytest.raises(FileExistsError, match="holds something else"):
        check_replaceable(path / "meta", marker="meta", overwrite=True)
