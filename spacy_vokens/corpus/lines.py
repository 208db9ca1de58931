"""Read the lines of a text file, and say where it is not the text that it should be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..images.decode import picture_id
from ..images.ids import check_id

# As much as spaCy takes for a text, `Language.max_length`.
MAX_CHARACTERS = 1_000_000
QUOTED_CHARACTERS = 80


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file with their numbers, from 1, without their line ends.

    A line ends with LF, CR LF or CR, and with nothing else: words may hold Unicode's separators.

    path: a UTF-8 file (a byte order mark is accepted).
    raises ValueError: naming the file and the line, where it is not UTF-8, holds a NUL character,
        or is longer than `MAX_CHARACTERS`.
    """
    # Undecodable bytes arrive as surrogates, so that the line that holds them can be named: Python
    # decodes ahead of the line that is read.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline=None) as file:
        number = 0
        # One more than the bound: a longer line is never in memory as a whole.
        while raw := file.readline(MAX_CHARACTERS + 1):
            number += 1
            line = raw.removesuffix("\n")
            _check_line(line, f"{path}, line {number}")
            yield number, line


def quote(text: str) -> str:
    """What a message says was found: the text in quotes, only its beginning where it is long."""
    kept = text[:QUOTED_CHARACTERS]
    return repr(kept) if kept == text else f"{kept!r}…"


def check_image_id(name: str, path: Path, number: int) -> None:
    """Raise ValueError, naming the file and the line, where a picture's name can be in no pool."""
    try:
        check_id(picture_id(name))
    except ValueError as error:
        raise ValueError(
            f"{path}, line {number}: no image pool can hold this picture: {error}."
        ) from None


def _check_line(line: str, place: str) -> None:
    if len(line) > MAX_CHARACTERS:
        raise ValueError(
            f"{place}: more than {MAX_CHARACTERS:,} characters without a line end. Break the line, "
            "or leave it out."
        )
    try:
        line.encode()
    except UnicodeEncodeError as error:
        byte = ord(line[error.start]) - 0xDC00
        raise ValueError(
            f"{place}: byte 0x{byte:02x} after {error.start} characters is not UTF-8. Save the "
            "file as UTF-8."
        ) from None
    if "\0" in line:
        raise ValueError(
            f"{place}: a NUL character, which no text holds. Save the file as UTF-8: it may be "
            "UTF-16, or no text at all."
        )
