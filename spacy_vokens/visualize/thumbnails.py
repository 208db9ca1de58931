"""The pictures of a page, each embedded once however often it is shown."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Callable
from html import escape

from ..corpus.sections import count_of
from ..images import decode
from ..retrieval.picture import Picture

# No `background`, which would take the picture away where a notebook's next output has it again.
STYLE = """
.picture { width: 4.25rem; height: 4.25rem; margin: .35rem 0 .3rem; border-radius: .55rem;
  display: grid; place-items: center; text-align: center; line-height: 1.2; }
.shown { background-color: #fff; background-position: center; background-size: contain;
  background-repeat: no-repeat; border: 1px solid var(--line);
  -webkit-print-color-adjust: exact; print-color-adjust: exact; }
.none { border: 1px dashed var(--line); font-size: .7rem; padding: .3rem; }
footer { margin-top: 1.5rem; padding: .6rem .9rem; background: var(--card); color: var(--quiet);
  border-radius: .9rem; font-size: .8rem; }
footer h2 { margin: 0; font-size: .9rem; color: var(--ink); }
footer ul { margin: .25rem 0 0; padding-inline-start: 1.2rem; }
"""


class Thumbnails:
    """The distinct pictures of a page, each embedded once as a CSS class."""

    def __init__(self, picture: Callable[[str], Picture | None]) -> None:
        self._picture = picture
        self._classes: dict[str, str | None] = {}
        self._thumbnails: dict[str, bytes] = {}
        self._credits: Counter[tuple[str, str]] = Counter()

    def __len__(self) -> int:
        return self._credits.total()

    def css_class(self, voken: str) -> str | None:
        """The class that shows a picture, or None if the picture is not at hand."""
        if voken not in self._classes:
            self._classes[voken] = self._embed(self._picture(voken))
        return self._classes[voken]

    def tile(self, voken: str) -> str:
        """An element that shows a picture, or says that it is not at hand."""
        name = escape(voken)
        css_class = self.css_class(voken)
        if css_class is None:
            return f'<span class="picture none" title="{name}">picture not at hand</span>'
        return (
            f'<span class="picture shown {css_class}" role="img" aria-label="picture {name}" '
            f'title="{name}"></span>'
        )

    def _embed(self, picture: Picture | None) -> str | None:
        if picture is None:
            return None
        try:
            thumbnail = picture.thumbnail or decode.thumbnail(picture.open())
        except (decode.PictureError, OSError):
            return None
        # By its content, since several outputs of a notebook share one page.
        css_class = f"p{hashlib.sha256(thumbnail).hexdigest()[:16]}"
        self._thumbnails[css_class] = thumbnail
        self._credits[picture.source, picture.licence] += 1
        return css_class

    def style(self) -> str:
        """The CSS of the classes, of tiles and of the footer."""
        return STYLE + "".join(
            f".{css_class} {{ background-image: url(data:image/webp;base64,"
            f"{base64.b64encode(thumbnail).decode('ascii')}); }}\n"
            for css_class, thumbnail in self._thumbnails.items()
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
