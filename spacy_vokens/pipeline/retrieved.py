"""What a retriever found for a document, and how it is written to its tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from spacy.tokens import Doc

from ..extensions import set_token_values


@dataclass(frozen=True)
class Retrieved:
    """The best images of every token of a document.

    ids: image ids (n_tokens, k), best first; None where there is no voken.
    scores: relevance scores (n_tokens, k).
    """

    ids: NDArray[np.object_]
    scores: NDArray[np.float32]

    def without_image(self, image_id: str | None) -> Retrieved:
        """All but one image of every token: the image itself, else the last."""
        kept = np.argsort(self.ids == image_id, axis=1, kind="stable")[:, :-1]
        return Retrieved(
            np.take_along_axis(self.ids, kept, axis=1),
            np.take_along_axis(self.scores, kept, axis=1),
        )

    def without(self, is_dropped: ArrayLike) -> Retrieved:
        """The images but for those of a mask that can be broadcast to (n_tokens, k)."""
        ids = self.ids.copy()
        ids[np.broadcast_to(is_dropped, ids.shape)] = None
        return Retrieved(ids, self.scores)

    def write_to(self, doc: Doc) -> None:
        """Set `Token._.voken`, `voken_score`, and `vokens` where k is above 1."""
        has_image = self.ids != None  # noqa: E711 (elementwise)
        scores = self.scores.astype(object)
        scores[~has_image] = None
        set_token_values(doc, "voken", self.ids[:, 0].tolist())
        set_token_values(doc, "voken_score", scores[:, 0].tolist())
        ranked: list[Any] = [None] * len(doc)
        if self.ids.shape[1] > 1:
            ranked = [
                [[i, s] for i, s in zip(row, row_scores, strict=True) if i is not None] or None
                for row, row_scores in zip(self.ids.tolist(), scores.tolist(), strict=True)
            ]
        set_token_values(doc, "vokens", ranked)
