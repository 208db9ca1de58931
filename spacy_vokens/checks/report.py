"""The parts of a report on a corpus: sections of tables and messages, for the terminal and HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Level = Literal["good", "info", "warn", "fail"]


@dataclass(frozen=True)
class Message:
    """A finding.

    Attributes:
        level: "good" if a check passed, "warn" if scores may be unreliable, "fail" if training
            would break or be pointless, "info" for anything else.
        text: The finding in one sentence.
        detail: Where it was found and what to do, or "".
    """

    level: Level
    text: str
    detail: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: What it shows.
        share: Length of a bar beside the text, 0 to 1, or None.
    """

    text: str
    share: float | None = None


# A row as the checks write it; `table` turns every value into a cell.
Row = Sequence[Cell | str | int]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        header: Names of the columns; the first column names the rows.
        rows: The rows, with a cell per column.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Section:
    """The result of one check.

    Attributes:
        title: What was checked.
        tables: The numbers.
        messages: The findings.
    """

    title: str
    tables: tuple[Table, ...]
    messages: tuple[Message, ...]


def count_levels(sections: Iterable[Section]) -> Counter[Level]:
    """Count the messages of each level."""
    return Counter(message.level for section in sections for message in section.messages)


def table(header: Iterable[str], rows: Iterable[Row]) -> Table:
    """Make a table of cells, texts and counts."""
    return Table(tuple(header), tuple(tuple(map(_cell, row)) for row in rows))


def share(part: int, whole: int, *, with_bar: bool = False) -> Cell:
    """Make a cell that shows a share in percent; "-" if the whole is 0."""
    if not whole:
        return Cell("-")
    return Cell(f"{part / whole:.1%}", part / whole if with_bar else None)


def bar(part: int, whole: int) -> Cell:
    """Make a cell that shows a count, with its share of a whole as a bar."""
    return Cell(f"{part:,}", part / whole if whole else None)


def _cell(value: Cell | str | int) -> Cell:
    if isinstance(value, Cell):
        return value
    return Cell(value if isinstance(value, str) else f"{value:,}")
