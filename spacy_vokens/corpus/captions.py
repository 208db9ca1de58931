"""Read captions with their image ids from tab-separated tables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .lines import check_image_id, quote, read_lines

HEADER = ("image", "split", "caption")


@dataclass(frozen=True)
class Caption:
    """One row of a captions table.

    image: file name of the picture, as the table has it.
    split: the part of the data that the row belongs to, for instance "train".
    text: the caption, without white space around it.
    """

    image: str
    split: str
    text: str


def read_captions(path: Path, *, max_captions: int | None = None) -> Iterator[Caption]:
    """Yield the captions of a table.

    The first line names the columns `image<TAB>split<TAB>caption`; every other line is a caption.
    Empty lines are passed over.

    path: a UTF-8 file (a byte order mark is accepted).
    max_captions: keep that many captions of every image, the first ones. Defaults to all.
    raises ValueError: naming the file, the line and its content, where the header is another,
        where a line has not three filled columns, where a split is not made of letters, digits,
        `-` and `_`, or where an image can be in no pool; where the table has no caption; or as
        `read_lines` does.
    """
    n_captions: Counter[str] = Counter()
    lines = read_lines(path)
    _, header = next(lines, (1, ""))
    if tuple(header.split("\t")) != HEADER:
        expected = "<TAB>".join(HEADER)
        raise ValueError(f"{path}, line 1: expected the header {expected}, found {quote(header)}.")
    for number, line in lines:
        if not line.strip():
            continue
        caption = _parse_row(line, path, number)
        n_captions[caption.image] += 1
        if max_captions is None or n_captions[caption.image] <= max_captions:
            yield caption
    if not n_captions:
        raise ValueError(f"{path} holds no caption below its header.")


def _parse_row(line: str, path: Path, number: int) -> Caption:
    columns = [column.strip() for column in line.split("\t")]
    if len(columns) != len(HEADER) or not all(columns):
        raise ValueError(
            f"{path}, line {number}: expected 'image<TAB>split<TAB>caption', found {quote(line)}."
        )
    caption = Caption(*columns)
    if not re.fullmatch(r"[\w-]+", caption.split):
        raise ValueError(
            f"{path}, line {number}: the split {quote(caption.split)} names an output file, so it "
            "must be made of letters, digits, '-' and '_'."
        )
    check_image_id(caption.image, path, number)
    return caption
