"""Colors of the Twitter corpora's entity types for displaCy, which finds them by an entry point.

PER, LOC and ORG have the colors that displaCy gives PERSON, LOC and ORG.
"""

from __future__ import annotations

COLORS = {"PER": "#aa9cfc", "LOC": "#ff9561", "ORG": "#7aecec", "MISC": "#ffeb80"}
