"""How messages and pages print counts, lists and names."""

from __future__ import annotations

from collections.abc import Iterable

MAX_LISTED = 5
MAX_CHARACTERS = 60


def count_of(count: int, noun: str, plural: str | None = None) -> str:
    """Return a number and its noun, in the plural if needed: "1 image", "1,200 images".

    Args:
        count: The number.
        noun: The noun, in the singular.
        plural: Its plural. Defaults to the noun with an "s".
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def listed(items: Iterable[object]) -> str:
    """Return the first five items and how many more there are: "a, b, c, d, e and 3 more"."""
    texts = [str(item) for item in items]
    more = len(texts) - MAX_LISTED
    return ", ".join(texts[:MAX_LISTED]) + (f" and {more:,} more" if more > 0 else "")


def shown(name: str) -> str:
    """Return a label or id as it can be printed safely: escaped if necessary, and not too long.

    Names come from files that anybody may have written. They can contain control sequences that
    move the cursor or reverse the direction of the text.
    """
    text = name if name.isprintable() and name.strip() else ascii(name)
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}…"
