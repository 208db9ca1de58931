"""What a report on a corpus is made of: sections of tables and messages, for any kind of output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Level = Literal["good", "info", "warn", "fail"]
MAX_LISTED = 5
MAX_CHARACTERS = 60


@dataclass(frozen=True)
class Message:
    """A finding.

    level: "good" for a check that is passed, "info" for what is neither, "warn" for what makes
        scores doubtful, "fail" for what breaks training or makes it pointless.
    text: in a sentence.
    detail: where it was found and what to do; "" where there is no more to say.
    """

    level: Level
    text: str
    detail: str = ""


@dataclass(frozen=True)
class Cell:
    """A table's cell; share: 0 to 1, the length of a bar beside the text, or None."""

    text: str
    share: float | None = None


# A row as it is written down: see `table`.
Row = Sequence[Cell | str | int]


@dataclass(frozen=True)
class Table:
    """A table whose first column names the rows; each row has a cell for every header."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Section:
    """One subject: its tables, then what is to be said of them."""

    title: str
    tables: tuple[Table, ...]
    messages: tuple[Message, ...]


def count_levels(sections: Iterable[Section]) -> Counter[Level]:
    """How many messages of each level there are."""
    return Counter(message.level for section in sections for message in section.messages)


def table(header: Iterable[str], rows: Iterable[Row]) -> Table:
    """A table of cells, texts and counts."""
    return Table(tuple(header), tuple(tuple(map(_cell, row)) for row in rows))


def share(part: int, whole: int, *, with_bar: bool = False) -> Cell:
    """A part of a whole in percent, with a bar or without; "-" where the whole is 0."""
    if not whole:
        return Cell("-")
    return Cell(f"{part / whole:.1%}", part / whole if with_bar else None)


def bar(part: int, whole: int) -> Cell:
    """A count, whose bar is its share of a whole."""
    return Cell(f"{part:,}", part / whole if whole else None)


def count_of(count: int, noun: str) -> str:
    """A number and its noun, with an s where it takes one."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def listed(items: Iterable[object]) -> str:
    """The first items, and how many more there are."""
    texts = [str(item) for item in items]
    more = len(texts) - MAX_LISTED
    return ", ".join(texts[:MAX_LISTED]) + (f" and {more:,} more" if more > 0 else "")


def shown(name: str) -> str:
    """A label or id as one can print it: escaped where a terminal would obey it, and not endless.

    Files come from anywhere, and their strings may hold what moves a cursor or turns text round.
    """
    text = name if name.isprintable() and name.strip() else ascii(name)
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}…"


def _cell(value: Cell | str | int) -> Cell:
    if isinstance(value, Cell):
        return value
    return Cell(value if isinstance(value, str) else f"{value:,}")
