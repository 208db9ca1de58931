from __future__ import annotations

import pytest
from spacy import displacy, registry

from spacy_vokens.visualize.colors import COLORS
from spacy_vokens.visualize.render import STYLE


def luminance(color: str) -> float:
    """Relative luminance of a color (WCAG 2.1)."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(c * w for c, w in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def test_displacy_finds_the_colors_by_itself():
    assert registry.displacy_colors.get("spacy_vokens") == COLORS
    colors = displacy.EntityRenderer().colors
    assert {label: colors[label] for label in COLORS} == COLORS


@pytest.mark.parametrize("label", COLORS)
def test_dark_text_can_be_read_on_each_color(label):
    ink = "#1c1b1a"
    assert f"color: {ink}" in STYLE
    # WCAG asks for 4.5 at least, and for 7 in its strictest level.
    assert (luminance(COLORS[label]) + 0.05) / (luminance(ink) + 0.05) >= 7


def test_each_type_has_a_color_of_its_own():
    assert len(set(COLORS.values())) == len(COLORS)
    # Not displaCy's gray for unknown labels.
    assert displacy.EntityRenderer().default_color not in COLORS.values()
