from __future__ import annotations

import sys

import pytest

from spacy_vokens.visualize.reliability import draw_reliability


def test_a_panel_a_diagram_and_a_count_a_bar() -> None:
    diagrams = {
        "before": ([0.95] * 3 + [0.55], [True, False, True, True]),
        "after": ([0.65] * 3 + [0.55], [True, False, True, True]),
    }
    svg = draw_reliability(diagrams).decode()
    assert svg == draw_reliability(diagrams).decode(), "the same for the same figures"
    for text in ("before", "after", "confidence", "share of correct entities", ">3<", ">1<"):
        assert text in svg
    # |2/3 - 0.95| * 3/4 + |1 - 0.55| / 4
    assert "ECE 0.325" in svg


def test_nothing_to_draw() -> None:
    assert "ECE 0.000" in draw_reliability({"none": ([], [])}).decode()


def test_missing_matplotlib_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"spacy-vokens\[visualize\]"):
        draw_reliability({})
