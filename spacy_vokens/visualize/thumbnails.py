"""The images of a page, each embedded once however often it is shown."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Callable
from html import escape

from ..images import decode
from ..index import VokenImage
from ..messages import count_of

# Not the shorthand `background`: in a notebook, this style is repeated by the next output and would
# reset the background images of the outputs before it.
STYLE = """
.image { width: 4.25rem; height: 4.25rem; margin: .35rem 0 .3rem; border-radius: .55rem;
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
    """The distinct images of a page, each embedded once as the background of a CSS class.

    Args:
        find_image: Returns the image with an id, or None if it is not available. It is called once
            per id.
    """

    def __init__(self, find_image: Callable[[str], VokenImage | None]) -> None:
        self._find_image = find_image
        self._classes: dict[str, str | None] = {}
        self._thumbnails: dict[str, bytes] = {}
        self._credits: Counter[tuple[str, str]] = Counter()

    def css_class(self, image_id: str) -> str | None:
        """Return the class that shows an image, or None if the image is not available."""
        if image_id not in self._classes:
            self._classes[image_id] = self._embed(self._find_image(image_id))
        return self._classes[image_id]

    def tile(self, image_id: str) -> str:
        """Return an HTML element that shows an image, or says that it is not available."""
        name = escape(image_id)
        css_class = self.css_class(image_id)
        if css_class is None:
            return f'<span class="image none" title="{name}">image not available</span>'
        return (
            f'<span class="image shown {css_class}" role="img" aria-label="image {name}" '
            f'title="{name}"></span>'
        )

    def style(self) -> str:
        """Return the CSS of the images embedded so far, of tiles and of the footer."""
        return STYLE + "".join(
            f".{css_class} {{ background-image: url(data:image/webp;base64,"
            f"{base64.b64encode(thumbnail).decode('ascii')}); }}\n"
            for css_class, thumbnail in self._thumbnails.items()
        )

    def attribution(self) -> str:
        """Return a footer that counts the images by source and license; "" without images."""
        if not self._credits:
            return ""
        items = "\n".join(
            f"<li>{escape(source or 'source not stated')}: "
            f"{escape(license or 'license not stated')} ({count_of(count, 'image')})</li>"
            for (source, license), count in sorted(self._credits.items())
        )
        return f"<footer>\n<h2>Images</h2>\n<ul>\n{items}\n</ul>\n</footer>"

    def _embed(self, image: VokenImage | None) -> str | None:
        if image is None:
            return None
        try:
            thumbnail = image.thumbnail or decode.thumbnail(image.open())
        except (decode.ImageError, OSError):
            return None
        # Named by content: all outputs of a notebook share one page.
        css_class = f"p{hashlib.sha256(thumbnail).hexdigest()[:16]}"
        self._thumbnails[css_class] = thumbnail
        self._credits[image.source, image.license] += 1
        return css_class
