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
        expected = ("," if path.suffix == ".csv" else "<TAB>").join(HEADER)
        found = quote("\t".join(header))
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
    delimiter = "," if path.suffix == ".csv" else "\t"
    try:
        rows = _read_csv(csv.reader(_lines(path), delimiter=delimiter, strict=True))
        for number, row in rows:
            if any("\n" in field and delimiter in field for field in row):
                raise csv.Error(f"line {number}: a quoted field spans several rows")
    except csv.Error as error:
        plain = csv.reader(_lines(path), delimiter=delimiter, quoting=csv.QUOTE_NONE)
        quoted = re.compile('"[^"]*(""[^"]*)+"')
        for number, row in _read_csv(plain):
            if any(map(quoted.fullmatch, row)):
                raise VokensError(
                    f"{path}, line {number}: this field is quoted as csv does it, but others are "
                    f"not ({error}). Quote all fields that begin with a double quote, as pandas "
                    'does: "Stop" is written as """Stop""".'
                ) from error
        reader = csv.reader(_lines(path), delimiter=delimiter, quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(_lines(path), delimiter=delimiter, strict=True)
    yield from _read_csv(reader)


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
        found = quote("\t".join(row))
        raise VokensError(
            f"{path}, line {number}: expected 'image<TAB>split<TAB>caption', found {found}."
        )
    caption = Caption(*columns)
    if not re.fullmatch(r"[\w-]+", caption.split):
        raise VokensError(
            f"{path}, line {number}: the split {quote(caption.split)} names an output file, so use "
            "only letters, digits, '-' and '_'."
        )
    check_image_id(caption.image, path, number)
    return caption
