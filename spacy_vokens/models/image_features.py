"""The tagger's table of image features, looked up by voken."""

from __future__ import annotations

import logging

import numpy as np
import srsly
import torch
from spacy.tokens import Doc

from ..attributes import GIVEN, get_token_values
from ..files import VokensError, array_from_bytes, array_to_bytes
from ..identity import EncoderId, IndexMark, PoolId, check_ids, describe_lookalike
from ..images.pool import ImagePool

logger = logging.getLogger(__name__)


class ImageFeatures:
    """Features of a pool's images, in memory.

    Args:
        ids: Image ids, one per row.
        features: Features in half precision, (n_images, width).
        pool: The pool that the images come from.
        encoder: The encoder that made the features.
    """

    def __init__(
        self, ids: list[str], features: np.ndarray, *, pool: PoolId, encoder: EncoderId
    ) -> None:
        self.ids = ids
        self.features = features
        self.pool = pool
        self.encoder = encoder
        self._rows = {image_id: row for row, image_id in enumerate(ids)}
        self._has_warned = False

    @classmethod
    def from_pool(cls, pool: ImagePool) -> ImageFeatures:
        """Copy the features of a pool into memory."""
        return cls(list(pool.ids), np.array(pool.features), pool=pool.id, encoder=pool.encoder)

    @property
    def width(self) -> int:
        """Width of the features of an image."""
        return self.features.shape[1]

    def lookup(self, docs: list[Doc]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Look up the features of the documents' vokens.

        An image that `given_image` set and that is not in the table counts as no image. The first
        time, a warning says so.

        Args:
            docs: Documents whose tokens may have vokens.

        Returns:
            Features of the distinct vokens, float32 (n, width), and per document the row of each
            token's voken in them, (n_tokens,); -1 if there is no voken.

        Raises:
            VokensError: If a voken is not in the table or comes from another pool.
        """
        unknown_given: set[str] = set()
        rows: list[int] = []
        for doc in docs:
            vokens = get_token_values(doc, "voken")
            mark = IndexMark.parse(doc._.voken_index)
            unknown = {v for v in vokens if v is not None and v not in self._rows}
            if unknown and doc._.voken_index == GIVEN:
                unknown_given |= unknown
            elif unknown or (mark is not None and mark.pool != self.pool.short):
                example = f"has no image {min(unknown)!r}. It " if unknown else ""
                raise VokensError(
                    f"The tagger's table of image features {example}was made from pool "
                    f"{self.pool.short}, but the vokens of document {doc.text[:40]!r} come from "
                    f"index {doc._.voken_index}. Run 'spacy vokens index' on the whole pipeline, "
                    "so that both use one pool."
                )
            rows += [self._rows.get(v, -1) for v in vokens]
        if unknown_given and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "The tagger's pool lacks %d of the images given to a batch of %d documents, for "
                "example %r. Their documents are tagged as if they had no image.%s This is "
                "reported only once.",
                len(unknown_given),
                len(docs),
                min(unknown_given),
                describe_lookalike(unknown_given, self.ids),
            )
        known = np.array(rows, dtype=np.int64)
        used = np.unique(known[known >= 0])
        found = np.where(known >= 0, np.searchsorted(used, known), -1)
        bounds = np.cumsum([len(doc) for doc in docs])[:-1]
        # PyTorch converts half precision many times as fast as NumPy.
        features = torch.from_numpy(self.features[used]).float().numpy()
        return features, np.split(found, bounds)

    def to_bytes(self) -> bytes:
        """Store the table in bytes."""
        features = array_to_bytes(self.features)
        names = {"pool": str(self.pool), "encoder": str(self.encoder)}
        return srsly.msgpack_dumps({"ids": self.ids, "features": features, **names})

    @classmethod
    def from_bytes(cls, data: bytes) -> ImageFeatures:
        """Load what `to_bytes` stored.

        Args:
            data: The bytes.

        Returns:
            The table.

        Raises:
            VokensError: If the bytes hold something else.
        """
        try:
            message = srsly.msgpack_loads(data)
            ids = message["ids"]
            check_ids(ids)
            pool, encoder = PoolId(message["pool"]), EncoderId.parse(message["encoder"])
            features = array_from_bytes(message["features"], dtype=np.float16, ndim=2)
            if len(features) != len(ids):
                raise ValueError(f"{len(ids)} ids have {len(features)} rows of features")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise VokensError(
                f"The image features cannot be used: {error}. Run 'spacy vokens index' on the "
                "pipeline."
            ) from error
        return cls(ids, features, pool=pool, encoder=encoder)
