"""The index: 64-d keys of a pool's images, searched exactly by inner product with FAISS."""

from __future__ import annotations

import hashlib
import io
import json
import os
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import srsly
from numpy.typing import NDArray

from ..images.pool import ImagePool, ImageRecord
from .picture import Picture

FORMAT_VERSION = 1
# They all install the module `faiss`.
FAISS_PACKAGES = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu11", "faiss-gpu-cu12", "faiss-cuda")


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
        return Picture(
            id=record.id,
            path=Path(self.meta["picture_root"]) / record.path,
            sha256=record.sha256,
            source=record.source,
            licence=record.licence,
            thumbnail=self.thumbnails.get(record.id),
        )

    def to_files(self) -> dict[str, bytes]:
        """The index as `FILES`, by name."""
        buffer = io.BytesIO()
        np.save(buffer, self.keys, allow_pickle=False)
        files = {
            "keys.npy": buffer.getvalue(),
            "images.jsonl": "".join(
                json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in self.records
            ).encode(),
            "thumbnails.msgpack": srsly.msgpack_dumps(self.thumbnails),
        }
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        meta = {"version": FORMAT_VERSION, **self.meta, "sha256": hashes}
        return {**files, "meta.json": json.dumps(meta, indent=1).encode()}

    @classmethod
    def from_files(cls, files: dict[str, bytes]) -> VokenIndex:
        """Read what `to_files` gave.

        raises ValueError: naming the file that is missing or damaged.
        """
        meta = json.loads(files["meta.json"])
        if meta.pop("version") != FORMAT_VERSION:
            raise ValueError("the index was written by another version: run 'spacy vokens index'.")
        for name, expected in meta.pop("sha256").items():
            if name not in files or hashlib.sha256(files[name]).hexdigest() != expected:
                raise ValueError(
                    f"the index's {name} is missing or damaged (its sha256 is not the one in "
                    "meta.json): restore it, or run 'spacy vokens index'."
                )
        keys = np.load(io.BytesIO(files["keys.npy"]), allow_pickle=False)
        # Not `splitlines`: a text may hold a line separator of Unicode's.
        lines = files["images.jsonl"].decode().split("\n")[:-1]
        records = [ImageRecord(**json.loads(line)) for line in lines]
        return cls(keys, records, srsly.msgpack_loads(files["thumbnails.msgpack"]), meta)

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
