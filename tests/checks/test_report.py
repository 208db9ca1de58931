from __future__ import annotations

import pytest

from spacy_vokens.checks.report import Cell, Message, Section, bar, count_levels, share, table
from spacy_vokens.messages import count_of, listed, shown


def test_cells_hold_counts_shares_and_bars():
    made = table(("a", "b"), [("x", 1234), (share(1, 8), bar(1500, 2000))])
    assert made.header == ("a", "b")
    assert made.rows == (
        (Cell("x"), Cell("1,234")),
        (Cell("12.5%"), Cell("1,500", 0.75)),
    )
    assert share(1, 8, with_bar=True) == Cell("12.5%", 0.125)
    assert share(0, 0, with_bar=True) == Cell("-")
    assert bar(0, 0) == Cell("0")


def test_levels_are_counted_over_sections():
    warn, good = Message("warn", "a"), Message("good", "b")
    sections = [Section("x", (), (warn, good)), Section("y", (), (warn,))]
    assert count_levels(sections) == {"warn": 2, "good": 1}
    assert count_levels(sections)["fail"] == 0


def test_long_lists_end_with_how_many_more():
    assert listed([]) == ""
    assert listed(range(5)) == "0, 1, 2, 3, 4"
    assert listed(range(1006)) == "0, 1, 2, 3, 4 and 1,001 more"
    assert [count_of(n, "tag") for n in (0, 1, 1000)] == ["0 tags", "1 tag", "1,000 tags"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("PER", "PER"),
        ("Größe <b>", "Größe <b>"),
        ("a\x1b[31m", r"'a\x1b[31m'"),
        ("a\nb", r"'a\nb'"),
        ("a\u202eb", r"'a\u202eb'"),
        ("", "''"),
        ("x" * 100, "x" * 60 + "…"),
    ],
)
def test_names_cannot_command_a_terminal(name, expected):
    assert shown(name) == expected
