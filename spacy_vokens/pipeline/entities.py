"""Tag numbers to the entities of a document, and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from spacy.tokens import Doc, Span
from spacy.training import Example

from ..tagger.crf import MISSING, tag_set


def tag_numbers(example: Example, labels: Sequence[str]) -> list[int]:
    """Tag numbers by the reference's entities, one a predicted token; `MISSING` where it has none.

    raises KeyError: for the tag of a label that is not among the labels.
    """
    numbers: dict[str | None, int] = {None: MISSING, "O": 0}
    for i, tag in enumerate(tag_set(labels)[1:], start=1):
        prefix, label = tag.split("-", 1)
        for biluo_prefix in "BU" if prefix == "B" else "IL":
            numbers[f"{biluo_prefix}-{label}"] = i
    return [numbers[tag] for tag in example.get_aligned_ner()]


def tagged_spans(tags: np.ndarray) -> np.ndarray:
    """The entities of a valid sequence of tag numbers: (n, 3) of start, end and label number."""
    is_begin = tags % 2 == 1
    is_end = ~((tags > 0) & ~is_begin)
    starts = np.flatnonzero(is_begin)
    # The first token at or after start + 1 that is not inside ends the entity.
    ends = np.append(np.flatnonzero(is_end), len(tags))
    stops = ends[np.searchsorted(ends, starts, side="right")]
    return np.stack([starts, stops, (tags[starts] - 1) // 2], axis=1)


def tagged_entities(doc: Doc, tags: np.ndarray, labels: Sequence[str]) -> list[Span]:
    """The entities of a valid sequence of tag numbers, one a token, by the `tag_set` of labels."""
    return [
        Span(doc, start, end, label=labels[number])
        for start, end, number in tagged_spans(tags).tolist()
    ]


def set_entities(doc: Doc, entities: list[Span], *, overwrite: bool) -> list[Span]:
    """Make the entities those of the document.

    overwrite: if False, the document keeps its own and its blocked tokens, and of the entities it
        gets those that touch neither.
    returns: the entities that the document got.
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
    return entities
