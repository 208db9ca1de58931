"""Render a Markdown report as one HTML page that needs no network."""

from __future__ import annotations

import base64
from html import escape

from markdown_it import MarkdownIt

from spacy_vokens.visualize.page import frame_page

STYLE = """
body { max-width: 76rem; }
h1, h2, h3 { line-height: 1.2; }
h2 { margin-top: 2.5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; background: var(--card); font-size: .85rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; border: 1px solid var(--line); vertical-align: top; }
td { white-space: nowrap; }
img { display: block; max-width: 100%; margin: 1rem 0; background: #fff; border-radius: .5rem; }
"""


def render_html(markdown: str, title: str, images: dict[str, bytes]) -> str:
    """Render a report with its images embedded.

    Args:
        markdown: The report. Raw HTML in it is escaped.
        title: Title of the page.
        images: SVG files by the address that the report uses for them.
    """
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    for address, svg in images.items():
        data = base64.b64encode(svg).decode("ascii")
        source = f'src="{escape(address)}"'
        body = body.replace(source, f'src="data:image/svg+xml;base64,{data}"')
    body = body.replace("<table>", '<div class="wide"><table>').replace(
        "</table>", "</table></div>"
    )
    return frame_page(title, STYLE, body)
