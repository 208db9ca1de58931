"""displaCy's colours for the entity types of the Twitter corpora, black text readable on each.

PER, LOC and ORG wear the colours that displaCy gives PERSON, LOC and ORG.
"""

from __future__ import annotations

COLORS = {"PER": "#aa9cfc", "LOC": "#ff9561", "ORG": "#7aecec", "MISC": "#ffeb80"}
