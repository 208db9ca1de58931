"""Read captions with their image ids from tables, as csv and pandas write them."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import VokensError
from .lines import check_image_id, quote, read_lines

HEADER = ("image", "split", "caption")


@dataclass(frozen=True)
class Caption:
    """One row of a caption table.

    Attributes:
        image: File name of the image, as written in the table.
        split: The split that the row belongs to, for instance "train".
        text: The caption, without white space around it.
    """

    image: str
    split: str
    text: str


def read_captions(path: Path, *, max_captions: int | None = None) -> Iterator[Caption]:
    """Yield the captions of a table.

    The first row is the header `image<TAB>split<TAB>caption`; every other row is a caption. A file
    that ends in `.csv` has commas in place of tabs. If all quotes at the beginning of a field are
    csv's, as pandas writes them, they are removed; otherwise quotes are plain characters. Empty
    rows are skipped.

    Args:
        path: A UTF-8 file (a byte order mark is accepted).
        max_captions: Keep only the first captions of every image, up to this number. Defaults to
            all.

    Yields:
        The captions, in the order of the file.

    Raises:
        VokensError: If the header is different, a row does not have three non-empty columns, some
            quotes are csv's and others are not, a split is not made of letters, digits, `-` and
            `_`, no pool can contain an image of that name, the table has no captions, or the file
            is not valid text. The message names the file, the line and what was found.
    """
    n_captions: Counter[str] = Counter()
    rows = _read_rows(path)
    _, header = next(rows, (1, []))
    if tuple(header) != HEADER:
        expected = _delimiter(path).replace("\t", "<TAB>").join(HEADER)
        found = quote(_delimiter(path).join(header))
        raise VokensError(f"{path}, line 1: expected the header {expected}, found {found}.")
    for number, row in rows:
        if not any(field.strip() for field in row):
            continue
        caption = _parse_row(row, path, number)
        n_captions[caption.image] += 1
        if max_captions is None or n_captions[caption.image] <= max_captions:
            yield caption
    if not n_captions:
        raise VokensError(f"{path} has no captions below its header.")


def _read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a table, with the line that each of them begins in."""
    try:
        if _has_csv_quotes(path):
            yield from _read_csv(csv.reader(_lines(path), delimiter=_delimiter(path), strict=True))
        else:
            yield from _read_csv(_plain_reader(path))
    except csv.Error as error:
        raise VokensError(
            f"{path}, {error}. A field that begins with a double quote is quoted as csv and pandas "
            'do it: "Stop" is written as """Stop""".'
        ) from error


def _has_csv_quotes(path: Path) -> bool:
    """Find out whether quotes at the beginning of fields are csv's.

    In a table with tabs, they may also be plain characters.
    """
    if _delimiter(path) == ",":
        return True
    try:
        rows = _read_csv(csv.reader(_lines(path), delimiter="\t", strict=True))
        for number, row in rows:
            if any("\n" in field and "\t" in field for field in row):
                raise csv.Error(f"line {number}: a quoted field has several columns")
    except csv.Error as error:
        quoted = re.compile('"[^"]*(""[^"]*)+"')
        for number, row in _read_csv(_plain_reader(path)):
            if any(map(quoted.fullmatch, row)):
                raise csv.Error(
                    f"line {number}: this field is quoted as csv does it, but others are not "
                    f"({error})"
                ) from error
        return False
    return True


def _delimiter(path: Path) -> str:
    return "," if path.suffix == ".csv" else "\t"


def _plain_reader(path: Path) -> Any:
    return csv.reader(_lines(path), delimiter=_delimiter(path), quoting=csv.QUOTE_NONE)


def _lines(path: Path) -> Iterator[str]:
    return (f"{line}\n" for _, line in read_lines(path))


def _read_csv(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a reader, with the line that each of them begins in."""
    number = 1
    try:
        for row in reader:
            yield number, row
            number = reader.line_num + 1
    except csv.Error as error:
        raise csv.Error(f"line {number}: {error}") from error


def _parse_row(row: list[str], path: Path, number: int) -> Caption:
    columns = [column.strip() for column in row]
    if len(columns) != len(HEADER) or not all(columns):
        expected = _delimiter(path).replace("\t", "<TAB>").join(HEADER)
        found = quote(_delimiter(path).join(row))
        raise VokensError(f"{path}, line {number}: expected '{expected}', found {found}.")
    caption = Caption(*columns)
    if not re.fullmatch(r"[\w-]+", caption.split):
        raise VokensError(
            f"{path}, line {number}: the split {quote(caption.split)} names an output file, so use "
            "only letters, digits, '-' and '_'."
        )
    check_image_id(caption.image, path, number)
    return caption
