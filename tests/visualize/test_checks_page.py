from __future__ import annotations

import re

from spacy_vokens.checks.report import Cell, Message, Section, Table
from spacy_vokens.visualize.checks_page import render_debug_page
from tests.visualize.test_render import HOSTILE, Page

SECTIONS = [
    Section(
        "Labels",
        (Table(("Label", "train"), ((Cell("PER"), Cell("12", 0.75)), (Cell("X"), Cell("-")))),),
        (Message("warn", "1 label not in train", "ORG."), Message("good", "Something else")),
    ),
    Section("Word pieces", (), (Message("fail", "Broken"), Message("warn", "Cut"))),
]


def test_the_page_says_what_the_sections_say():
    page = Page(render_debug_page(SECTIONS, title="Corpus x", subtitle="Checked with pool y"))
    assert [text for _, text in page.having("level")] == [
        *("1 failure", "2 warnings", "1 check passed", "0 notes"),
        *("warning", "passed", "failure", "warning"),
    ]
    words = " ".join(page.texts[0].split())
    for said in ("Corpus x", "Checked with pool y", "1 label not in train", "ORG.", "Broken"):
        assert said in words
    rows = [
        text.split()
        for (tag, _), text in zip(page.elements, page.texts, strict=True)
        if tag in ("th", "td")
    ]
    assert rows == [["Label"], ["train"], ["PER"], ["12"], ["X"], ["-"]]


def test_shares_are_bars_and_nothing_else_is():
    page = Page(render_debug_page(SECTIONS, title="x"))
    assert page.having("bar") == [({"class": "bar", "style": "--share: 75.00%"}, "12")]


def test_levels_that_nothing_has_are_quiet():
    page = Page(render_debug_page(SECTIONS[:1], title="x"))
    assert [text for _, text in page.having("none")] == ["0 failures", "0 notes"]
    page = Page(render_debug_page([], title="x"))
    assert len(page.having("none")) == 4


def test_nothing_reaches_the_page_unescaped():
    cells = (Cell(HOSTILE), Cell(HOSTILE, 0.5), Cell(HOSTILE))
    table = Table((HOSTILE,) * 3, (cells,))
    section = Section(HOSTILE, (table,), (Message("info", HOSTILE, HOSTILE),))
    html = render_debug_page([section], title=HOSTILE, subtitle=HOSTILE)
    page = Page(html)
    assert {tag for tag, _ in page.elements} == {
        *("html", "head", "meta", "title", "style", "body", "header", "main", "section", "div"),
        *("h1", "h2", "p", "ul", "li", "span", "table", "thead", "tbody", "tr", "th", "td"),
    }
    assert {name for _, attributes in page.elements for name in attributes} == {
        *("lang", "charset", "http-equiv", "content", "name", "class", "scope", "title", "style"),
    }
    # Page title, heading, line below, section, message, detail, three headers, three cells.
    assert page.texts[0].count(HOSTILE) == 12
    assert "<script" not in html


def test_the_page_needs_no_network_and_runs_nothing():
    html = render_debug_page(SECTIONS, title="x")
    assert "default-src 'none'" in html
    assert not re.search(r"https?://|url\(|@import|<script|<link", html)
