from __future__ import annotations

import re

from research.report_html import render_html


def test_the_page_holds_its_plots_and_obeys_no_markup():
    table = "| a | b |\n|---|---|\n| 1 | <b>2 |\n"
    markdown = f"# T\n\n<script>alert(1)</script>\n\n![p](plots/a.svg)\n\n{table}"
    page = render_html(markdown, "A <title>", {"plots/a.svg": b"<svg></svg>"})
    assert "<script>" not in page
    assert "A &lt;title&gt;" in page
    assert "&lt;b&gt;2" in page
    assert "plots/a.svg" not in re.sub(r'alt="[^"]*"', "", page)
    assert 'src="data:image/svg+xml;base64,' in page
    assert '<div class="wide"><table>' in page
