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


def set_entities(doc: Doc, entities: list[Span], *, overwrite: bool) -> None:
    """Make the entities those of the document.

    overwrite: if False, the document keeps its own and its blocked tokens, and of the entities it
        gets those that touch neither.
    """
    kept: list[Span] = []
    blocked: list[Span] = []
    if not overwrite:
        kept = list(doc.ents)
        # 1 is I, 3 is B; a blocked token begins an entity of no type.
        is_taken = np.isin(doc.to_array("ENT_IOB"), (1, 3))
        rows = np.flatnonzero(is_taken & (doc.to_array("ENT_TYPE") == 0)).tolist()
        blocked = [doc[row : row + 1] for row in rows]
        entities = [ent for ent in entities if not is_taken[ent.start : ent.end].any()]
    for entity in entities:
        for token in entity:
            # `set_ents` leaves the id of an entity that was there.
            token.ent_id = 0
    doc.set_ents([*kept, *entities], blocked=blocked)
