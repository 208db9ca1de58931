"""The frame shared by all HTML pages: one file without scripts or network access, light or dark."""

from __future__ import annotations

from html import escape

# Custom properties to set on the root element of a page or fragment.
LIGHT = "--page: #f6f5f2; --card: #fff; --ink: #1c1b1a; --quiet: #66625c; --line: #e3e0da;"
DARK = "--page: #141517; --card: #1e2023; --ink: #eceae6; --quiet: #a5a19a; --line: #34373c;"
STYLE = f"""
:root {{ color-scheme: light dark; {LIGHT} }}
@media (prefers-color-scheme: dark) {{ :root {{ {DARK} }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; padding: 2rem 1rem 3rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial,
  "Liberation Sans", sans-serif; }}
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def frame_page(title: str, style: str, body: str) -> str:
    """Build a complete HTML page.

    Args:
        title: Title of the page; it is escaped here.
        style: CSS to add to the shared CSS.
        body: HTML of the body; the caller escapes its texts.

    Returns:
        The page.
    """
    return PAGE.format(title=escape(title), style=STYLE + style, body=body)
