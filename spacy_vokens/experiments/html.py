"""A Markdown report as one HTML page that needs no network."""

from __future__ import annotations

import base64
from html import escape

from markdown_it import MarkdownIt

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --page: #f6f5f2; --card: #fff; --ink: #1c1b1a;
  --line: #e3e0da; }}
@media (prefers-color-scheme: dark) {{ :root {{ --page: #141517; --card: #1e2023; --ink: #eceae6;
  --line: #34373c; }} }}
body {{ margin: 0 auto; max-width: 76rem; padding: 2rem 1rem 3rem; background: var(--page);
  color: var(--ink); font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }}
h1, h2, h3 {{ line-height: 1.2; }}
h2 {{ margin-top: 2.5rem; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; background: var(--card); font-size: .85rem;
  font-variant-numeric: tabular-nums; }}
th, td {{ padding: .3rem .6rem; border: 1px solid var(--line); vertical-align: top; }}
td {{ white-space: nowrap; }}
img {{ display: block; max-width: 100%; margin: 1rem 0; background: #fff; border-radius: .5rem; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def render_html(markdown: str, title: str, pictures: dict[str, bytes]) -> str:
    """Render a report with its pictures inside.

    markdown: its text; raw HTML in it is shown, not obeyed.
    pictures: SVG files, by the address that the text names them with.
    """
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    for address, svg in pictures.items():
        data = base64.b64encode(svg).decode("ascii")
        source = f'src="{escape(address)}"'
        body = body.replace(source, f'src="data:image/svg+xml;base64,{data}"')
    body = body.replace("<table>", '<div class="wide"><table>').replace(
        "</table>", "</table></div>"
    )
    return PAGE.format(title=escape(title), body=body)
