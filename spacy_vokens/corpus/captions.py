"""Read captions with their image ids from tab-separated tables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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

    The first line is the header `image<TAB>split<TAB>caption`; every other line is a caption.
    Empty lines are skipped.

    Args:
        path: A UTF-8 file (a byte order mark is accepted).
        max_captions: Keep only the first captions of every image, up to this number. Defaults to
            all.

    Yields:
        The captions, in the order of the file.

    Raises:
        VokensError: If the header is different, a line does not have three non-empty columns, a
            split is not made of letters, digits, `-` and `_`, no pool can contain an image of that
            name, the table has no captions, or the file is not valid text. The message names the
            file, the line and what was found.
    """
    n_captions: Counter[str] = Counter()
    lines = read_lines(path)
    _, header = next(lines, (1, ""))
    if tuple(header.split("\t")) != HEADER:
        expected = "<TAB>".join(HEADER)
        raise VokensError(f"{path}, line 1: expected the header {expected}, found {quote(header)}.")
    for number, line in lines:
        if not line.strip():
            continue
        caption = _parse_row(line, path, number)
        n_captions[caption.image] += 1
        if max_captions is None or n_captions[caption.image] <= max_captions:
            yield caption
    if not n_captions:
        raise VokensError(f"{path} has no captions below its header.")


def _parse_row(line: str, path: Path, number: int) -> Caption:
    columns = [column.strip() for column in line.split("\t")]
    if len(columns) != len(HEADER) or not all(columns):
        raise VokensError(
            f"{path}, line {number}: expected 'image<TAB>split<TAB>caption', found {quote(line)}."
        )
    caption = Caption(*columns)
    if not re.fullmatch(r"[\w-]+", caption.split):
        raise VokensError(
            f"{path}, line {number}: the split {quote(caption.split)} names an output file, so use "
            "only letters, digits, '-' and '_'."
        )
    check_image_id(caption.image, path, number)
    return caption
