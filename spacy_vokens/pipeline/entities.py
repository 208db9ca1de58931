"""Tag numbers to the entities of a document."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from spacy.tokens import Doc, Span


def tagged_entities(doc: Doc, tags: np.ndarray, labels: Sequence[str]) -> list[Span]:
    """The entities of a valid sequence of tag numbers, one a token, by the `tag_set` of labels."""
    is_begin = tags % 2 == 1
    is_end = ~((tags > 0) & ~is_begin)
    starts = np.flatnonzero(is_begin)
    # The first token at or after start + 1 that is not inside ends the entity.
    ends = np.append(np.flatnonzero(is_end), len(tags))
    stops = ends[np.searchsorted(ends, starts, side="right")]
    return [
        Span(doc, start, stop, label=labels[(tags[start] - 1) // 2])
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)
    ]


def add_entities(doc: Doc, entities: list[Span]) -> None:
    """Add those of the entities that touch no entity of the document and no blocked token."""
    # A blocked token begins an entity of no type.
    blocked = [doc[t.i : t.i + 1] for t in doc if t.ent_iob_ == "B" and not t.ent_type]
    taken = {token.i for span in (*doc.ents, *blocked) for token in span}
    added = [entity for entity in entities if taken.isdisjoint(range(entity.start, entity.end))]
    doc.set_ents([*doc.ents, *added], blocked=blocked)
