"""The tagger's table of image features, looked up by voken id."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import srsly
from spacy.tokens import Doc

from ..arrays import array_from_bytes, array_to_bytes
from ..extensions import GIVEN, get_token_values, index_pool
from ..images.ids import check_ids
from ..images.pool import ImagePool

logger = logging.getLogger(__name__)
META_KEYS = ("pool_hash", "encoder", "weights_sha256")


class ImageFeatures:
    """Features of a pool's images, in memory.

    ids: image ids, one a row.
    features: float16, (n_images, width).
    meta: of the pool: its `pool_hash`, `encoder` and `weights_sha256`.
    """

    def __init__(self, ids: list[str], features: np.ndarray, meta: dict[str, Any]) -> None:
        self.ids = ids
        self.features = features
        self.meta = meta
        self._rows = {image_id: row for row, image_id in enumerate(ids)}
        self._said_left_out = False

    @classmethod
    def from_pool(cls, pool: ImagePool) -> ImageFeatures:
        meta = {"pool_hash": pool.hash}
        meta |= {key: pool.meta[key] for key in META_KEYS[1:]}
        return cls(list(pool.ids), np.array(pool.features), meta)

    @property
    def width(self) -> int:
        """Dimension of an image's features."""
        return self.features.shape[1]

    def lookup(self, docs: list[Doc]) -> tuple[np.ndarray, np.ndarray]:
        """Features of the documents' vokens.

        A picture that `given_image` gave and that is not in the table counts as no image; a warning
        says so the first time.

        returns: features of the distinct vokens, float32 (n, width); and for every token its row
            among them, int64 (docs, tokens), padded to the longest document: -1 without a voken.
        raises ValueError: where a voken is not in the table, or comes from another pool.
        """
        left_out: set[str] = set()
        rows = np.full((len(docs), max(map(len, docs), default=0)), -1, dtype=np.int64)
        for row, doc in zip(rows, docs, strict=True):
            vokens = get_token_values(doc, "voken")
            pool = index_pool(doc)
            unknown = {v for v in vokens if v is not None and v not in self._rows}
            if unknown and doc._.voken_index == GIVEN:
                left_out |= unknown
            elif unknown or pool not in (None, self.meta["pool_hash"][:16]):
                example = f"knows no image {min(unknown)!r}, and " if unknown else ""
                raise ValueError(
                    f"visual_ner {example}has its features from pool "
                    f"{self.meta['pool_hash'][:16]}; the vokens of document {doc.text[:40]!r} come "
                    f"from index {doc._.voken_index}. Run 'spacy vokens index' on the whole "
                    "pipeline, so that both use one pool."
                )
            row[: len(doc)] = [self._rows.get(v, -1) for v in vokens]
        self._tell_of(left_out, len(docs))
        used = np.unique(rows[rows >= 0])
        return self.features[used].astype(np.float32), np.where(
            rows >= 0, np.searchsorted(used, rows), -1
        )

    def _tell_of(self, left_out: set[str], n_docs: int) -> None:
        if left_out and not self._said_left_out:
            self._said_left_out = True
            logger.warning(
                "visual_ner: %d pictures given to a batch of %d documents, %r the first, are not "
                "in its pool. These documents are tagged without a picture; further ones are not "
                "reported.",
                len(left_out),
                n_docs,
                min(left_out),
            )

    def to_bytes(self) -> bytes:
        features = array_to_bytes(self.features)
        return srsly.msgpack_dumps({"ids": self.ids, "features": features, "meta": self.meta})

    @classmethod
    def from_bytes(cls, data: bytes) -> ImageFeatures:
        """raises ValueError: when the bytes are not what `to_bytes` gives."""
        try:
            message = srsly.msgpack_loads(data)
            ids, meta = message["ids"], message["meta"]
            check_ids(ids)
            if not all(isinstance(meta[key], str) for key in META_KEYS):
                raise ValueError(f"{', '.join(META_KEYS)} must be texts")
            features = array_from_bytes(message["features"], dtype=np.float16, ndim=2)
            if len(features) != len(ids):
                raise ValueError(f"{len(ids)} ids have {len(features)} rows of features")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"the image features cannot be used: {error}. Run 'spacy vokens index' on the "
                "pipeline."
            ) from error
        return cls(ids, features, meta)
