from __future__ import annotations

from spacy import displacy, registry

from spacy_vokens.visualize.colors import COLORS


def test_displacy_finds_the_colours_by_itself():
    assert registry.displacy_colors.get("spacy_vokens") == COLORS
    colors = displacy.EntityRenderer().colors
    assert {label: colors[label] for label in COLORS} == COLORS


def test_each_type_has_a_colour_of_its_own():
    assert set(COLORS) == {"PER", "LOC", "ORG", "MISC"}
    assert len(set(COLORS.values())) == 4
