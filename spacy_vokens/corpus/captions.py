"""Read captions with their image ids from tab-separated tables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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
        where a line has not three filled columns, or where a split is not made of letters,
        digits, `-` and `_`; or where the table has no caption.
    """
    n_captions: Counter[str] = Counter()
    with path.open(encoding="utf-8-sig", newline=None) as file:
        header = file.readline().rstrip("\n")
        if tuple(header.split("\t")) != HEADER:
            expected = "<TAB>".join(HEADER)
            raise ValueError(f"{path}, line 1: expected the header {expected}, found {header!r}.")
        for number, raw in enumerate(file, start=2):
            if not raw.strip():
                continue
            caption = _parse_row(raw.rstrip("\n"), path, number)
            n_captions[caption.image] += 1
            if max_captions is None or n_captions[caption.image] <= max_captions:
                yield caption
    if not n_captions:
        raise ValueError(f"{path} holds no caption below its header.")


def _parse_row(line: str, path: Path, number: int) -> Caption:
    columns = [column.strip() for column in line.split("\t")]
    if len(columns) != len(HEADER) or not all(columns):
        raise ValueError(
            f"{path}, line {number}: expected 'image<TAB>split<TAB>caption', found {line!r}."
        )
    caption = Caption(*columns)
    if not re.fullmatch(r"[\w-]+", caption.split):
        raise ValueError(
            f"{path}, line {number}: the split {caption.split!r} names an output file, so it must "
            "be made of letters, digits, '-' and '_'."
        )
    return caption
