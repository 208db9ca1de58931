"""The index: keys of images, searched exactly by inner product with FAISS, and the images."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import srsly
from numpy.typing import NDArray
from PIL import Image

from .files import VokensError, array_from_bytes, array_to_bytes, check_fields
from .identity import SHORT_HASH_DIGITS, EncoderId, IndexMark, PoolId
from .images.decode import ImageError, open_image, read_image
from .images.pool import ImagePool, ImageRecord, records_from_bytes, records_to_bytes

# How many more candidates than asked for are compared. FAISS rounds scores differently depending on
# the number of queries, so that the last places of its answer may not be the best ones.
EXTRA_CANDIDATES = 4
# Numbers that the candidates of the queries that are searched at once may have.
BLOCK_NUMBERS = 1 << 24
# They all install the module `faiss`.
FAISS_PACKAGES = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu11", "faiss-gpu-cu12", "faiss-cuda")


@dataclass(frozen=True)
class VokenImage:
    """The image behind a voken.

    Attributes:
        id: Its id in its pool.
        path: Its file on this machine, or None. The file may not exist any more.
        sha256: SHA-256 of the file's bytes.
        source: Where the image comes from, for the attribution.
        license: Its license, for the attribution.
        thumbnail: A small WebP copy, or None if none is stored.
        texts: What it shows, in words: captions, names and keywords. Empty if its pool has none.
    """

    id: str
    path: Path | None
    sha256: str
    source: str
    license: str
    thumbnail: bytes | None
    texts: tuple[str, ...] = ()

    @classmethod
    def from_record(cls, record: ImageRecord, root: Path, thumbnail: bytes | None) -> VokenImage:
        """Create it from a pool's record.

        Args:
            record: The record.
            root: The folder that the record's path is relative to.
            thumbnail: A small WebP copy, or None.

        Returns:
            The image.
        """
        return cls(
            id=record.id,
            path=root / record.path,
            sha256=record.sha256,
            source=record.source,
            license=record.license,
            thumbnail=thumbnail,
            texts=record.texts,
        )

    def open(self) -> Image.Image:
        """Open the image in RGB: its file if that exists and is unchanged, else its thumbnail.

        Returns:
            The decoded image.

        Raises:
            FileNotFoundError: If neither is available.
            ImageError: If it cannot be decoded.
        """
        if self.path is not None:
            try:
                data = read_image(self.path)
            except ImageError:
                data = b""
            # The path may come from another machine, and be that of another file on this one.
            if hashlib.sha256(data).hexdigest() == self.sha256:
                return open_image(data)
        if self.thumbnail is not None:
            return open_image(self.thumbnail)
        where = "its file is not known" if self.path is None else f"it is not in {self.path}"
        raise FileNotFoundError(
            f"Image {self.id!r} cannot be shown: {where}, and no thumbnail is stored. Put the file "
            "back, or embed the pool with thumbnails."
        )


class _KeyGroups(NamedTuple):
    """Rows of an index grouped by their keys, in the order of each group's first row.

    Attributes:
        firsts: The first row of each group, (n_groups,).
        rows: All rows, group after group, (n,).
        starts: Where each group begins in `rows`, (n_groups,).
        sizes: How many rows each group has, (n_groups,).
    """

    firsts: NDArray[np.int64]
    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]


class VokenIndex:
    """Keys of images, the images' records and thumbnails, and the search for the nearest images.

    Args:
        keys: (n, width) float32 of unit length, one per image. The FAISS index is built from them
            at the first search.
        records: n records, sorted by id.
        thumbnails: WebP bytes by image id, of all images or of none.
        pool: The pool that the images belong to.
        encoder: The encoder that made the pool's features.
        image_root: The folder that the records' paths are relative to, as seen from the folder in
            which the index was made.

    Raises:
        VokensError: If there are not as many keys as records, or a key is not a unit vector.
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
        *,
        pool: PoolId,
        encoder: EncoderId,
        image_root: str,
    ) -> None:
        if keys.ndim != 2 or len(keys) != len(records):
            raise VokensError(f"{len(records)} images need as many keys, found {keys.shape}.")
        self.keys = np.ascontiguousarray(keys, dtype=np.float32)
        if not np.allclose(np.linalg.norm(self.keys, axis=1), 1.0, atol=1e-3):
            raise VokensError("a key is not a unit vector: the image features have NaN or zeros.")
        self.records = records
        self.thumbnails = thumbnails
        self.pool = pool
        self.encoder = encoder
        self.image_root = image_root

    @classmethod
    def from_pool(cls, pool: ImagePool, keys: NDArray[np.floating]) -> VokenIndex:
        """Index a pool's images.

        Args:
            pool: The pool.
            keys: (number of images, width), in the order of the pool.

        Returns:
            The index.

        Raises:
            VokensError: If a key is not a unit vector.
        """
        thumbnails = {id: data for id in pool.ids if (data := pool.thumbnail(id)) is not None}
        # Relative, so that a package does not disclose the folders of the machine that made it.
        root = os.path.relpath(pool.image_root)
        return cls(
            keys, pool.records, thumbnails, pool=pool.id, encoder=pool.encoder, image_root=root
        )

    def __contains__(self, image_id: object) -> bool:
        return image_id in self.rows

    @cached_property
    def ids(self) -> list[str]:
        """Image ids, one per key."""
        return [record.id for record in self.records]

    @cached_property
    def rows(self) -> dict[str, int]:
        """The row of each image id."""
        return {image_id: row for row, image_id in enumerate(self.ids)}

    @cached_property
    def mark(self) -> IndexMark:
        """Identifies this index on documents."""
        return IndexMark(
            self.pool.short, hashlib.sha256(self.keys.data).hexdigest()[:SHORT_HASH_DIGITS]
        )

    def search(
        self, queries: NDArray[np.floating], k: int
    ) -> tuple[NDArray[np.object_], NDArray[np.float32]]:
        """Find the images with the highest relevance scores, which are inner products.

        Of images with equal scores, the first one in the pool is the best. So the best image of a
        query is the same whatever `k` is, and whatever other queries are searched with it.

        Args:
            queries: (n, width); n may be 0.
            k: Number of images per query. It may be larger than the number of images.

        Returns:
            Image ids (n, k) and their scores (n, k), best first. Places beyond the size of the
            index, and all places of a query with a NaN, hold None and -inf.

        Raises:
            ValueError: If the width is not that of the keys, or k is below 1.
        """
        width = self.keys.shape[1]
        if queries.ndim != 2 or queries.shape[1] != width:
            raise ValueError(f"queries must have the shape (n, {width}), found {queries.shape}.")
        if k < 1:
            raise ValueError(f"k must be at least 1, found {k}.")
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        valid = np.flatnonzero(~np.isnan(queries).any(axis=1))
        n_found = min(k, len(self.keys))
        per_candidate = max(width, min(k, int(self._groups.sizes.max(initial=1))))
        size = max(1, BLOCK_NUMBERS // ((k + EXTRA_CANDIDATES) * per_candidate))
        for start in range(0, len(valid) if n_found else 0, size):
            block = valid[start : start + size]
            asked = np.ascontiguousarray(queries[block], dtype=np.float32)
            scores[block, :n_found], rows[block, :n_found] = self._search(asked, n_found)
        # Row -1 is the last entry, None.
        return np.array([*self.ids, None], dtype=object)[rows], scores

    def _search(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find scores and rows of the best `k` images, at most as many as there are."""
        groups = self._groups
        n_candidates = min(k + EXTRA_CANDIDATES, len(groups.firsts))
        _, found = self._faiss.search(queries, n_candidates)
        # Computed one by one, so that a score does not depend on the other queries.
        exact = np.einsum("qw,qcw->qc", queries, self.keys[groups.firsts[found]])
        order = np.lexsort((found, -exact))
        found, exact = (np.take_along_axis(x, order, axis=1) for x in (found, exact))
        # In place of each key, the images that have it.
        width = min(k, int(groups.sizes.max()))
        members = np.arange(width)
        is_member = members < groups.sizes[found][:, :, None]
        places = groups.starts[found][:, :, None] + np.where(is_member, members, 0)
        flat = np.argsort(~is_member.reshape(len(queries), -1), axis=1, kind="stable")[:, :k]
        rows = np.take_along_axis(groups.rows[places].reshape(len(queries), -1), flat, axis=1)
        return np.take_along_axis(exact, flat // width, axis=1), rows

    @cached_property
    def _groups(self) -> _KeyGroups:
        """The images that have equal keys, such as copies of one image."""
        # Bytes are compared. Adding 0 makes -0.0 the same as 0.0.
        as_bytes = np.dtype((np.void, self.keys.itemsize * self.keys.shape[1]))
        _, firsts, group, sizes = np.unique(
            (self.keys + 0.0).view(as_bytes).ravel(),
            return_index=True,
            return_inverse=True,
            return_counts=True,
        )
        order = np.argsort(firsts)
        rows = np.argsort(np.argsort(order)[group], kind="stable")
        starts = np.cumsum(sizes[order]) - sizes[order]
        return _KeyGroups(firsts[order], rows, starts, sizes[order])

    def image(self, image_id: str) -> VokenImage:
        """Return the image with an id.

        Args:
            image_id: The id.

        Returns:
            The image, with its thumbnail if one is stored.

        Raises:
            KeyError: If the index has no such image.
        """
        record = self.records[self.rows[image_id]]
        thumbnail = self.thumbnails.get(image_id)
        return VokenImage.from_record(record, Path(self.image_root), thumbnail)

    def to_files(self) -> dict[str, bytes]:
        """Return the content of each file in `FILES`, by name."""
        meta = {
            "pool": str(self.pool),
            "encoder": str(self.encoder),
            "image_root": self.image_root,
        }
        return {
            "keys.npy": array_to_bytes(self.keys),
            "images.jsonl": records_to_bytes(self.records),
            "thumbnails.msgpack": srsly.msgpack_dumps(self.thumbnails),
            "meta.json": json.dumps(meta, indent=1).encode(),
        }

    @classmethod
    def from_files(cls, files: dict[str, bytes]) -> VokenIndex:
        """Create an index from the files that `to_files` returned.

        Args:
            files: The content of each file, by name. Others are ignored.

        Returns:
            The index.

        Raises:
            KeyError: If a file is missing.
            VokensError: If a file has the wrong content.
        """
        name = "meta.json"
        try:
            meta = check_fields(
                json.loads(files[name]), dict.fromkeys(("pool", "encoder", "image_root"), str)
            )
            pool, encoder = PoolId(meta["pool"]), EncoderId.parse(meta["encoder"])
            name = "keys.npy"
            keys = array_from_bytes(files[name], dtype=np.float32, ndim=2)
            name = "images.jsonl"
            records = records_from_bytes(files[name])
            name = "thumbnails.msgpack"
            thumbnails = srsly.msgpack_loads(files[name])
            if not isinstance(thumbnails, dict) or not all(
                isinstance(thumbnail, bytes) for thumbnail in thumbnails.values()
            ):
                raise VokensError("it must hold bytes by image id")
        # Deeply nested brackets raise a RecursionError.
        except (ValueError, RecursionError) as error:
            raise VokensError(
                f"{name} cannot be used: {error}. Run 'spacy vokens index'."
            ) from error
        return cls(
            keys, records, thumbnails, pool=pool, encoder=encoder, image_root=meta["image_root"]
        )

    def __getstate__(self) -> dict[str, Any]:
        # Without `_faiss`, which would store the keys twice, and what else is derived from them.
        derived = ("ids", "rows", "mark", "_faiss", "_groups")
        return {name: value for name, value in vars(self).items() if name not in derived}

    @cached_property
    def _faiss(self) -> Any:
        one_of = "'spacy-vokens[cpu]' or 'spacy-vokens[gpu]'"
        packages = [name for name in FAISS_PACKAGES if any(Distribution.discover(name=name))]
        if len(packages) > 1:
            raise ImportError(
                f"{' and '.join(packages)} are installed, and they overwrite each other's "
                f"files: uninstall all of them, then install {one_of}."
            )
        try:
            import faiss
        except ImportError:
            raise ImportError(f"Searching needs FAISS: install {one_of}.") from None
        # On the CPU with either package, since exact search is cheap in so few dimensions.
        index = faiss.IndexFlatIP(self.keys.shape[1])
        index.add(self.keys[self._groups.firsts])
        return index
