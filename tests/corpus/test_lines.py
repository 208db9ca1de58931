from __future__ import annotations

import pytest

from spacy_vokens.corpus import lines
from spacy_vokens.corpus.captions import read_captions
from spacy_vokens.corpus.conll import read_conll as read_conll_files
from spacy_vokens.corpus.lines import quote, read_lines


def read_conll(path):
    return read_conll_files([path]).sentences[path]


def _write(path, content):
    path.write_bytes(content)
    return path


def test_lines_end_with_any_systems_line_ends_and_nothing_else(tmp_path):
    path = _write(tmp_path / "a", "\ufeffa\r\nb\rc\n\n\x0b\x1c\x85\u2028d".encode())
    expected = ["a", "b", "c", "", "\x0b\x1c\x85\u2028d"]
    assert list(read_lines(path)) == [*enumerate(expected, start=1)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"a\nab\xe9\n",
            "line 2: byte 0xe9 after 2 characters is not UTF-8. Save the file",
        ),
        ("a\tO\n".encode("utf-16"), "line 1: byte 0xff after 0 characters is not UTF-8"),
        (b"a\n\xed\xa0\x80\n", "line 2: byte 0xed after 0"),
        ("a\tO\n".encode("utf-16-le"), "line 1: there is a NUL character, which text does not"),
        (b"a\nb\0\n", "line 2: there is a NUL character"),
    ],
)
def test_what_is_no_text_is_named_with_its_line_and_the_fix(tmp_path, content, message):
    path = _write(tmp_path / "a", content)
    with pytest.raises(ValueError, match=message) as error:
        list(read_lines(path))
    assert str(error.value).startswith(f"{path}, line")


def test_lines_of_the_bound_are_read_and_longer_ones_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MAX_CHARACTERS", 4)
    assert list(read_lines(_write(tmp_path / "a", b"abcd\nabcd"))) == [(1, "abcd"), (2, "abcd")]
    with pytest.raises(ValueError, match="line 2: more than 4 characters without a line end"):
        list(read_lines(_write(tmp_path / "a", b"abcd\nabcde")))


@pytest.mark.parametrize("read", [read_conll, read_captions])
def test_an_endless_line_is_an_error_long_before_its_end(tmp_path, read):
    path = tmp_path / "a"
    path.write_bytes(b"a" * 100_000_000)
    with pytest.raises(ValueError, match="line 1: more than 1,000,000 characters") as error:
        list(read(path))
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("read", [read_conll, read_captions])
def test_files_that_cannot_be_opened_are_named(tmp_path, read):
    for path, kind in ((tmp_path / "missing", FileNotFoundError), (tmp_path, IsADirectoryError)):
        with pytest.raises(kind, match=str(path)):
            list(read(path))


def test_files_without_permission_are_named(tmp_path, as_ordinary_user):
    path = _write(tmp_path / "a", b"a\tO\n")
    path.chmod(0)
    with as_ordinary_user(), pytest.raises(PermissionError, match=str(path)):
        list(read_conll(path))


def test_long_texts_are_quoted_by_their_beginning():
    assert quote("a'b") == repr("a'b")
    assert quote("x" * 81) == repr("x" * 80) + "…"
