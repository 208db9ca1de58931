"""What a tagger found for a document, and how it is written there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from spacy.tokens import Doc

from ..extensions import clear_values, get_token_values, set_confidence, set_token_values
from .entities import set_entities, tagged_entities

# Images that a token is said to attend to.
MAX_ATTENDED = 5


@dataclass(frozen=True)
class Tagged:
    """What was found for one document.

    tags: numbers by `tag_set`, (n_tokens,).
    gates: weight of the image in each token, (n_tokens,); None without images.
    confidences: probability of each entity of the tags, in their order; None if not asked for.
    attention: weights of the tokens' images for each token, (n_tokens, n_tokens); None if not asked
        for, or without attention.
    """

    tags: np.ndarray
    gates: np.ndarray | None = None
    confidences: np.ndarray | None = None
    attention: np.ndarray | None = None

    def write_to(self, doc: Doc, labels: Sequence[str], *, overwrite: bool) -> None:
        """Set entities, gates, confidences and attention.

        labels: the entity types.
        overwrite: as for `set_entities`.
        """
        before = [] if overwrite else [(ent, ent._.confidence) for ent in doc.ents]
        found = tagged_entities(doc, self.tags, labels)
        kept = {ent.start for ent in set_entities(doc, found, overwrite=overwrite)}
        # What an earlier run said must not stand beside what this one does.
        clear_values(doc, "confidence", "visual_gate", "visual_attention")
        values = [None] * len(found) if self.confidences is None else self.confidences.tolist()
        new = [pair for pair in zip(found, values, strict=True) if pair[0].start in kept]
        for ent, value in (*before, *new):
            if value is not None:
                set_confidence(ent, value)
        if self.gates is not None:
            set_token_values(doc, "visual_gate", self.gates.tolist())
        if self.attention is not None:
            set_token_values(doc, "visual_attention", _rank_images(doc, self.attention))


def _rank_images(doc: Doc, weights: np.ndarray) -> list[list[list[str | float | None]]]:
    """The images that each token attends to most, with the weights of all their tokens."""
    vokens = get_token_values(doc, "voken")
    distinct = list(dict.fromkeys(vokens))
    columns = {image_id: column for column, image_id in enumerate(distinct)}
    is_of = np.zeros((len(vokens), len(distinct)), dtype=weights.dtype)
    is_of[np.arange(len(vokens)), [columns[image_id] for image_id in vokens]] = 1.0
    by_image = weights @ is_of
    best = np.argsort(-by_image, axis=1, kind="stable")[:, :MAX_ATTENDED]
    best_weights = np.take_along_axis(by_image, best, axis=1)
    return [
        [[distinct[column], weight] for column, weight in zip(row, row_weights, strict=True)]
        for row, row_weights in zip(best.tolist(), best_weights.tolist(), strict=True)
    ]
