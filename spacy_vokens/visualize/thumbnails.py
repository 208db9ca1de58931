"""The pictures of a page, each embedded once however often it is shown."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable
from html import escape

from ..images import decode
from ..retrieval.picture import Picture


class Thumbnails:
    """The distinct pictures of a page, each embedded once as a CSS class."""

    def __init__(self, picture: Callable[[str], Picture | None]) -> None:
        self._picture = picture
        self._classes: dict[str, str | None] = {}
        self._thumbnails: list[bytes] = []
        self._credits: Counter[tuple[str, str]] = Counter()

    def __len__(self) -> int:
        return len(self._thumbnails)

    def css_class(self, voken: str) -> str | None:
        """The class that shows a picture, or None if the picture is not at hand."""
        if voken not in self._classes:
            self._classes[voken] = self._embed(self._picture(voken))
        return self._classes[voken]

    def _embed(self, picture: Picture | None) -> str | None:
        if picture is None:
            return None
        try:
            thumbnail = picture.thumbnail or decode.thumbnail(picture.open())
        except (decode.PictureError, OSError):
            return None
        self._thumbnails.append(thumbnail)
        self._credits[picture.source, picture.licence] += 1
        return f"p{len(self._thumbnails)}"

    def style(self) -> str:
        """The CSS of the classes."""
        return "".join(
            f".p{number} {{ background-image: url(data:image/webp;base64,"
            f"{base64.b64encode(thumbnail).decode('ascii')}); }}\n"
            for number, thumbnail in enumerate(self._thumbnails, start=1)
        )

    def attribution(self) -> str:
        """A footer that counts the pictures by source and licence; "" without pictures."""
        if not self._credits:
            return ""
        items = "\n".join(
            f"<li>{escape(source or 'source not stated')}: "
            f"{escape(licence or 'licence not stated')} ({count_of(count, 'picture')})</li>"
            for (source, licence), count in sorted(self._credits.items())
        )
        return f"<footer>\n<h2>Pictures</h2>\n<ul>\n{items}\n</ul>\n</footer>"


def count_of(count: int, noun: str) -> str:
    """A number and its noun, with an s where it takes one."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
