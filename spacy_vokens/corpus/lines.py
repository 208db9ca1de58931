"""Read text files line by line, and quote in error messages what was found in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..files import VokensError
from ..identity import check_id, image_id_of

# The same bound as spaCy has for a text, `Language.max_length`.
MAX_CHARACTERS = 1_000_000
QUOTED_CHARACTERS = 80


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file, numbered from 1 and without their line ends.

    Only LF, CR LF and CR end a line, because words may contain Unicode's line separators.

    Args:
        path: A UTF-8 file (a byte order mark is accepted).

    Yields:
        The number and the text of each line.

    Raises:
        VokensError: If a line is not UTF-8, contains a NUL character, or is longer than
            `MAX_CHARACTERS`. The message names the file and the line.
    """
    # Python decodes ahead of the line that it returns. Bytes that are not UTF-8 therefore arrive
    # as surrogates, so that the error can name the line that contains them.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline=None) as file:
        number = 0
        # One character above the bound is enough to know that a line is too long.
        while raw := file.readline(MAX_CHARACTERS + 1):
            number += 1
            line = raw.removesuffix("\n")
            _check_line(line, f"{path}, line {number}")
            yield number, line


def quote(text: str) -> str:
    """Quote a text for a message; a long one is cut."""
    kept = text[:QUOTED_CHARACTERS]
    return repr(kept) if kept == text else f"{kept!r}…"


def check_image_id(name: str, path: Path, number: int) -> None:
    """Check that an image pool can contain an image of this name.

    Args:
        name: Name of an image, with or without a suffix.
        path: The file that names it, for the message.
        number: The line that names it, for the message.

    Raises:
        VokensError: If no pool can.
    """
    try:
        check_id(image_id_of(name))
    except ValueError as error:
        raise VokensError(
            f"{path}, line {number}: no image pool can hold this image: {error}."
        ) from None


def _check_line(line: str, place: str) -> None:
    if len(line) > MAX_CHARACTERS:
        raise VokensError(
            f"{place}: more than {MAX_CHARACTERS:,} characters without a line end. Break the line, "
            "or remove it."
        )
    try:
        line.encode()
    except UnicodeEncodeError as error:
        byte = ord(line[error.start]) - 0xDC00
        raise VokensError(
            f"{place}: byte 0x{byte:02x} after {error.start} characters is not UTF-8. Save the "
            "file as UTF-8."
        ) from None
    if "\0" in line:
        raise VokensError(
            f"{place}: there is a NUL character, which text does not contain. Save the file as "
            "UTF-8: it may be UTF-16, or not a text file."
        )
