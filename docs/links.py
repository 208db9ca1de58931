"""For the site: links out of `docs/`, which lead to files on GitHub, become plain text."""

from __future__ import annotations

import posixpath
import re
from typing import Any

LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, **kwargs: Any) -> str:
    """Called by MkDocs for each page."""
    folder = posixpath.dirname(page.file.src_uri)

    def plain(link: re.Match[str]) -> str:
        leads_to = posixpath.normpath(posixpath.join(folder, link[2]))
        return link[1] if leads_to.startswith("..") else link[0]

    return LINK.sub(plain, markdown)
