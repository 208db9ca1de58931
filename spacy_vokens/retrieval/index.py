"""The index: 64-d keys of a pool's images, searched exactly by inner product with FAISS."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakSet

import numpy as np
import srsly
from numpy.typing import NDArray

from ..arrays import array_from_bytes, array_to_bytes
from ..images.ids import check_ids
from ..images.pool import ImagePool, ImageRecord, parse_records
from .picture import Picture

META_KEYS = ("pool_hash", "encoder", "weights_sha256", "picture_root")
# They all install the module `faiss`.
FAISS_PACKAGES = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu11", "faiss-gpu-cu12", "faiss-cuda")


# Those that are loaded, for whoever holds nothing but a document with vokens.
_loaded: WeakSet[VokenIndex] = WeakSet()


def find_index(mark: str) -> VokenIndex | None:
    """The loaded index that `Doc._.voken_index` names; None where it is not loaded."""
    pool, _, keys = mark.partition("-")
    index_id = f"{pool}-{keys.partition('-')[0]}"
    # The pool first: a name asks for a hash of all keys.
    candidates = [index for index in _loaded if index.meta["pool_hash"][:16] == pool]
    return next((index for index in candidates if index.id == index_id), None)


class VokenIndex:
    """Keys of images, what is known of these images, and the search among them.

    keys: float32 (n, width), of unit length; they are the truth, the FAISS index is built from them
        when it is first needed.
    records: of the images, one a key.
    thumbnails: WebP bytes by image id, of all images or of none.
    meta: of the pool: `pool_hash`, `encoder`, `weights_sha256`, and `picture_root`, the pictures'
        folder as seen from where the index was made.
    raises ValueError: when keys and records differ in number, or a key is not a unit vector.
    """

    FILES: ClassVar[tuple[str, ...]] = (
        "keys.npy",
        "images.jsonl",
        "thumbnails.msgpack",
        "meta.json",
    )

    def __init__(
        self,
        keys: NDArray[np.floating],
        records: list[ImageRecord],
        thumbnails: dict[str, bytes],
        meta: dict[str, Any],
    ) -> None:
        if keys.ndim != 2 or len(keys) != len(records):
            raise ValueError(f"{len(records)} images need as many keys, found {keys.shape}.")
        self.keys = np.ascontiguousarray(keys, dtype=np.float32)
        if not np.allclose(np.linalg.norm(self.keys, axis=1), 1.0, atol=1e-3):
            raise ValueError("a key is not a unit vector: the image features hold NaN, or zeros.")
        self.records = records
        self.thumbnails = thumbnails
        self.meta = meta
        _loaded.add(self)

    @classmethod
    def from_pool(cls, pool: ImagePool, keys: NDArray[np.floating]) -> VokenIndex:
        """Index a pool's images under the keys that the image tower gave them, row by row."""
        thumbnails = {i: t for i in pool.ids if (t := pool.thumbnail(i)) is not None}
        # Relative, so that a package tells nobody how its maker's disk is laid out.
        meta = {"pool_hash": pool.hash, "picture_root": os.path.relpath(pool.picture_root)}
        meta |= {key: pool.meta[key] for key in ("encoder", "weights_sha256")}
        return cls(keys, pool.records, thumbnails, meta)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self.rows

    @cached_property
    def ids(self) -> list[str]:
        """Image ids, one a key."""
        return [record.id for record in self.records]

    @cached_property
    def rows(self) -> dict[str, int]:
        """Row of every image id."""
        return {image_id: row for row, image_id in enumerate(self.ids)}

    @cached_property
    def id(self) -> str:
        """Names this index: half the pool's hash, a dash, half the hash of the keys."""
        return f"{self.meta['pool_hash'][:16]}-{hashlib.sha256(self.keys.data).hexdigest()[:16]}"

    def search(
        self, queries: NDArray[np.floating], k: int
    ) -> tuple[NDArray[np.object_], NDArray[np.float32]]:
        """The images of the highest relevance scores, best first.

        queries: (n, width); n may be 0.
        k: how many images; beyond the size of the index the places stay empty.
        returns: image ids (n, k) and their scores (n, k). An empty place, and every place of a
            query with a NaN, holds None and -inf.
        raises ValueError: when the width is not the keys', or k is below 1.
        """
        width = self.keys.shape[1]
        if queries.ndim != 2 or queries.shape[1] != width:
            raise ValueError(f"queries must have the shape (n, {width}), found {queries.shape}.")
        if k < 1:
            raise ValueError(f"k must be at least 1, found {k}.")
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        valid = ~np.isnan(queries).any(axis=1)
        n_found = min(k, len(self.keys))
        if valid.any() and n_found:
            asked = np.ascontiguousarray(queries[valid], dtype=np.float32)
            scores[valid, :n_found], rows[valid, :n_found] = self._faiss.search(asked, n_found)
        # Row -1 takes the last entry, None.
        return np.array([*self.ids, None], dtype=object)[rows], scores

    def picture(self, image_id: str) -> Picture:
        """What is known of an image.

        raises KeyError: when the index has no such image.
        """
        record = self.records[self.rows[image_id]]
        root = Path(self.meta["picture_root"])
        return Picture.from_record(record, root, self.thumbnails.get(record.id))

    def to_files(self) -> dict[str, bytes]:
        """The index as `FILES`, by name."""
        lines = [json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in self.records]
        return {
            "keys.npy": array_to_bytes(self.keys),
            "images.jsonl": "".join(lines).encode(),
            "thumbnails.msgpack": srsly.msgpack_dumps(self.thumbnails),
            "meta.json": json.dumps(self.meta, indent=1).encode(),
        }

    @classmethod
    def from_files(cls, files: dict[str, bytes]) -> VokenIndex:
        """Read what `to_files` gave.

        raises KeyError: when a file is missing.
        raises ValueError: naming the file that is not what it should be.
        """
        name = "meta.json"
        try:
            meta = json.loads(files[name])
            if not isinstance(meta, dict) or not all(
                isinstance(meta.get(k), str) for k in META_KEYS
            ):
                raise ValueError(f"it must hold the texts {', '.join(META_KEYS)}")
            name = "keys.npy"
            keys = array_from_bytes(files[name], dtype=np.float32, ndim=2)
            name = "images.jsonl"
            # Not `splitlines`: a text may hold a line separator of Unicode's.
            records = parse_records(files[name].decode().split("\n")[:-1])
            check_ids([record.id for record in records])
            name = "thumbnails.msgpack"
            thumbnails = srsly.msgpack_loads(files[name])
            if not isinstance(thumbnails, dict) or not all(
                isinstance(thumbnail, bytes) for thumbnail in thumbnails.values()
            ):
                raise ValueError("it must hold bytes by image id")
        # Brackets nested without end are a RecursionError.
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{name} cannot be used: {error}. Run 'spacy vokens index'."
            ) from error
        return cls(keys, records, thumbnails, meta)

    def __getstate__(self) -> dict[str, Any]:
        # FAISS would pickle a second copy of the keys.
        return {name: value for name, value in self.__dict__.items() if name != "_faiss"}

    @cached_property
    def _faiss(self) -> Any:
        one_of = "one of 'spacy-vokens[cpu]' and 'spacy-vokens[gpu]'"
        packages = [name for name in FAISS_PACKAGES if any(Distribution.discover(name=name))]
        if len(packages) > 1:
            raise ImportError(
                f"{' and '.join(packages)} are installed, and each has written over files of the "
                f"other: uninstall them all, then install {one_of}."
            )
        try:
            import faiss
        except ImportError:
            raise ImportError(f"Searching needs FAISS: install {one_of}.") from None
        # On the CPU with either package: exact search in so few dimensions is cheap there.
        index = faiss.IndexFlatIP(self.keys.shape[1])
        index.add(self.keys)
        return index
