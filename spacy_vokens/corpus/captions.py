"""Read captions with their image ids from tables, as csv and pandas write them."""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import VokensError
from ..identity import image_id_of
from .lines import check_image_id, quote, read_lines

HEADER = ("image", "split", "caption")
# Of a table that is not divided into corpora.
HEADER_WITHOUT_SPLIT = ("image", "caption")


@dataclass(frozen=True)
class Caption:
    """One row of a caption table.

    Attributes:
        image: File name of the image, as written in the table.
        split: The split that the row belongs to, for instance "train"; empty if the table has no
            such column.
        text: The caption, without white space around it.
    """

    image: str
    split: str
    text: str


def read_captions(
    path: Path, *, max_captions: int | None = None, needs_split: bool = True
) -> Iterator[Caption]:
    """Yield the captions of a table.

    The first row is the header `image<TAB>split<TAB>caption`; every other row is a caption. A file
    that ends in `.csv` has commas in place of tabs. If all quotes at the beginning of a field are
    csv's, as pandas writes them, they are removed; otherwise quotes are plain characters. Empty
    rows are skipped.

    Args:
        path: A UTF-8 file (a byte order mark is accepted).
        max_captions: Keep only the first captions of every image, up to this number. Defaults to
            all.
        needs_split: Refuse a table without the column `split`.

    Yields:
        The captions, in the order of the file.

    Raises:
        VokensError: If the header is different, a column of a row is missing or empty, some quotes
            are csv's and others are not, a split is not made of letters, digits, `-` and `_`, no
            pool can contain an image of that name, the table has no captions, or the file is not
            valid text. The message names the file, the line and what was found.
    """
    n_captions: Counter[str] = Counter()
    rows = _read_rows(path)
    _, header = next(rows, (1, []))
    headers = [HEADER] if needs_split else [HEADER, HEADER_WITHOUT_SPLIT]
    if tuple(header) not in headers:
        expected = " or ".join(_as_line(known, path) for known in headers)
        found = quote(_delimiter(path).join(header))
        raise VokensError(f"{path}, line 1: expected the header {expected}, found {found}.")
    for number, row in rows:
        if not any(field.strip() for field in row):
            continue
        caption = _parse_row(row, header, path, number)
        n_captions[caption.image] += 1
        if max_captions is None or n_captions[caption.image] <= max_captions:
            yield caption
    if not n_captions:
        raise VokensError(f"{path} has no captions below its header.")


def read_captions_by_image(path: Path) -> dict[str, tuple[str, ...]]:
    """Read the captions of each image from a table, which may have no column `split`.

    Args:
        path: The table, as for `read_captions`.

    Returns:
        The captions of all splits by image id, in the order of the file.

    Raises:
        VokensError: As for `read_captions`.
    """
    captions: dict[str, list[str]] = defaultdict(list)
    for caption in read_captions(path, needs_split=False):
        captions[image_id_of(caption.image)].append(caption.text)
    return {id: tuple(texts) for id, texts in captions.items()}


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


def _as_line(columns: Iterable[str], path: Path) -> str:
    """Return columns as a line of the table, for a message."""
    return _delimiter(path).replace("\t", "<TAB>").join(columns)


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


def _parse_row(row: list[str], header: list[str], path: Path, number: int) -> Caption:
    columns = [column.strip() for column in row]
    if len(columns) != len(header) or not all(columns):
        found = quote(_delimiter(path).join(row))
        raise VokensError(
            f"{path}, line {number}: expected '{_as_line(header, path)}', found {found}."
        )
    values = dict(zip(header, columns, strict=True))
    caption = Caption(values["image"], values.get("split", ""), values["caption"])
    if "split" in values and not re.fullmatch(r"[\w-]+", caption.split):
        raise VokensError(
            f"{path}, line {number}: the split {quote(caption.split)} names an output file, so use "
            "only letters, digits, '-' and '_'."
        )
    check_image_id(caption.image, path, number)
    return caption
