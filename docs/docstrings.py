"""For the site: this project's docstrings as Markdown.

They name an argument a line (`name: what it is`), and `returns:` and `raises Error:` alike.
Markdown would run these lines together, so they become lists.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

ITEM = re.compile(r"(raises [\w.]+|returns|(?:\*{0,2}\w+)(?:, \w+)*): (.*)")


def to_markdown(docstring: str) -> str:
    """Make list items of the lines that name arguments; the lines that go on belong to them.

    A paragraph counts as such lines where it begins with one.
    """
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", docstring):
        lines = paragraph.split("\n")
        if not ITEM.fullmatch(lines[0]):
            paragraphs.append(paragraph)
            continue
        items: list[str] = []
        for line in lines:
            if found := ITEM.fullmatch(line):
                items.append(f"- **{found[1]}**: {found[2]}")
            else:
                items[-1] += f" {line.strip()}"
        paragraphs.append("\n".join(items))
    return "\n\n".join(paragraphs)


class Lists(Extension):
    """Rewrites every docstring on its way to the page."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Called by griffe for each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = to_markdown(obj.docstring.value)
