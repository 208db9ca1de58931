"""The index: keys of images, searched exactly by inner product, and the images."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import srsly
from numpy.typing import NDArray
from PIL import Image

from .files import VokensError, array_from_bytes, array_to_bytes, check_fields
from .identity import SHORT_HASH_DIGITS, EncoderId, IndexMark, PoolId
from .images.decode import ImageError, open_image, read_image
from .images.pool import ImagePool, ImageRecord, records_from_bytes, records_to_bytes
from .names import ImageNames

# How many queries are compared with the keys at once, and how many scores are computed at once, so
# that the scores stay in the processor's cache until the best of each block was taken.
BATCH_QUERIES = 512
TILE_SCORES = 1 << 17
# How many neighboring keys share a block at most. Only each block's best score is kept.
MAX_BLOCK = 16
# Scoring one key exactly takes about as long as comparing this many blocks. The time for both is
# lowest if a block has sqrt(keys / (images asked for * this)) keys.
BLOCKS_PER_KEY = 8
# How many numbers a temporary array may have: 64 MB of float32.
MAX_NUMBERS = 1 << 24
# A longer query's scores could be too large for float32.
MAX_LENGTH = 1e38


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


class VokenIndex:
    """Keys of images, the images' records and thumbnails, and the search for the nearest images.

    Args:
        keys: (n, width) float32 of unit length, one per image.
        records: n records, sorted by id.
        thumbnails: WebP bytes by image id, of all images or of none.
        pool: The pool that the images belong to.
        encoder: The encoder that made the pool's features.
        image_root: The folder that the records' paths are relative to, as seen from the folder in
            which the index was made.
        names: How well the images' texts name words; None if the texts do not count.

    Raises:
        VokensError: If there are not as many keys as records, or a key is not a unit vector.
    """

    FILES: ClassVar[tuple[str, ...]] = (
        "keys.npy",
        "images.jsonl",
        "thumbnails.msgpack",
        "meta.json",
        "names.npy",
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
        names: ImageNames | None = None,
    ) -> None:
        if keys.ndim != 2 or len(keys) != len(records):
            raise VokensError(f"{len(records)} images need as many keys, found {keys.shape}.")
        self.keys = np.ascontiguousarray(keys, dtype=np.float32)
        lengths = np.linalg.norm(self.keys, axis=1)
        # NaN is not above it either.
        if not (lengths > 0.5).all() or not np.isfinite(lengths).all():
            raise VokensError("a key has no direction: the image features have NaN or zeros.")
        self._longest_key = float(lengths.max(initial=0.0))
        self.records = records
        self.thumbnails = thumbnails
        self.pool = pool
        self.encoder = encoder
        self.image_root = image_root
        self.names = names

    @classmethod
    def from_pool(
        cls,
        pool: ImagePool,
        keys: NDArray[np.floating],
        *,
        with_texts: bool = True,
        names: ImageNames | None = None,
    ) -> VokenIndex:
        """Index a pool's images.

        Args:
            pool: The pool.
            keys: (number of images, width), in the order of the pool.
            with_texts: Whether to keep the texts of the images.
            names: How well the texts name words; None if they do not count.

        Returns:
            The index.

        Raises:
            VokensError: If a key is not a unit vector.
        """
        thumbnails = {id: data for id in pool.ids if (data := pool.thumbnail(id)) is not None}
        # Relative, so that a package does not disclose the folders of the machine that made it.
        root = os.path.relpath(pool.image_root)
        records = pool.records if with_texts else [replace(r, texts=()) for r in pool.records]
        return cls(
            keys,
            records,
            thumbnails,
            pool=pool.id,
            encoder=pool.encoder,
            image_root=root,
            names=names,
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
            index, and all places of a query with a NaN or a length of 1e38 and more, hold None
            and -inf.

        Raises:
            ValueError: If the width is not that of the keys, or k is below 1.
        """
        width = self.keys.shape[1]
        if queries.shape[1:] != (width,):
            raise ValueError(f"queries must have the shape (n, {width}), found {queries.shape}.")
        rows, scores = self.search_rows(queries, k)
        return self.ids_of(rows), scores

    def search_rows(
        self, queries: NDArray[np.floating], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Find images by a part of their keys, or by the whole, as `search` does.

        Args:
            queries: (n, width); n may be 0. Narrower queries are compared with the first values of
                the keys.
            k: Number of images per query. It may be larger than the number of images.

        Returns:
            Rows (n, k) and scores (n, k), best first. The row is -1 where `search` has no id.

        Raises:
            ValueError: If the queries are wider than the keys or have no width, or k is below 1.
        """
        n, width = self.keys.shape
        if queries.ndim != 2 or not 1 <= queries.shape[1] <= width:
            raise ValueError(
                f"queries must have the shape (n, 1 to {width}), found {queries.shape}."
            )
        if k < 1:
            raise ValueError(f"k must be at least 1, found {k}.")
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        lengths = np.sqrt(np.einsum("qw,qw->q", queries, queries, dtype=np.float64))
        # A NaN makes the length NaN.
        valid = np.flatnonzero(lengths < MAX_LENGTH)
        n_found = min(k, n)
        block_size = min(MAX_BLOCK, max(1, math.isqrt(n // (BLOCKS_PER_KEY * k))))
        size = max(1, min(BATCH_QUERIES, MAX_NUMBERS * block_size // max(n, 1)))
        for start in range(0, len(valid) if n else 0, size):
            batch = valid[start : start + size]
            asked = np.ascontiguousarray(queries[batch], dtype=np.float32)
            scores[batch, :n_found], rows[batch, :n_found] = self._search(
                asked, lengths[batch], n_found, block_size
            )
        return rows, scores

    def ids_of(self, rows: NDArray[np.integer]) -> NDArray[np.object_]:
        """Return the ids of images by their rows, in an array of the same shape; None for -1."""
        # Row -1 is the last entry, None.
        return self._ids_and_none[rows]

    @cached_property
    def _ids_and_none(self) -> NDArray[np.object_]:
        return np.array([*self.ids, None], dtype=object)

    def _search(
        self,
        queries: NDArray[np.float32],
        lengths: NDArray[np.float64],
        k: int,
        block_size: int,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find scores and rows of the best `k` images, at most as many as there are.

        A matrix product is fast, but how it rounds depends on the other queries and keys. So it
        only chooses candidates, and their exact scores (by `np.einsum`, one by one) decide. The
        order in which `width` products are added changes a float32 score by at most `width` times
        half an epsilon, times the lengths of query and key [1]. A score of the product thus differs
        from the exact one by at most `error`, which is twice that and allows for what the first
        order leaves out, for the rounding of `floor`, and for numbers too small for float32.

        At least `k` keys have a product of `kth` and more, so the exact scores of the best `k` are
        at least `kth - error`, and their products at least `kth - 2 * error`. Hence each of them
        is in a block whose best product is at least that, and no other block is looked at.

        [1] N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1.
        """
        best = self._block_maxima(queries, block_size)
        # With one image, finding the largest is faster than sorting a part.
        kth = best.max(axis=1) if k == 1 else np.partition(best, -k, axis=1)[:, -k]
        width, limits = queries.shape[1], np.finfo(np.float32)
        error = 1.01 * (width + 4) * float(limits.eps) * lengths * self._longest_key
        error += 8 * width * float(limits.tiny)
        floor = (kth - 2 * error).astype(np.float32)
        is_near = best >= floor[:, None]
        scores = np.empty((len(queries), k), dtype=np.float32)
        rows = np.empty((len(queries), k), dtype=np.int64)
        # Usually one part. There are more if very many keys are equally good.
        ends = np.cumsum(np.count_nonzero(is_near, axis=1))
        # A candidate takes about 16 numbers' memory.
        parts = np.flatnonzero(np.diff(16 * ends * block_size // MAX_NUMBERS)) + 1
        for start, end in zip([0, *parts], [*parts, len(queries)], strict=True):
            query, block = np.divmod(np.flatnonzero(is_near[start:end]), best.shape[1])
            query, row, exact = self._exact_scores(queries, query + start, block, block_size, floor)
            # Rows ascend already, and the sort is stable.
            order = np.lexsort((-exact, query))
            query, row, exact = query[order], row[order], exact[order]
            # Each query has at least k rows here.
            firsts = np.searchsorted(query, np.arange(start, end))[:, None] + np.arange(k)
            scores[start:end], rows[start:end] = exact[firsts], row[firsts]
        return scores, rows

    def _block_maxima(self, queries: NDArray[np.float32], block_size: int) -> NDArray[np.float32]:
        """Compute the best product of every query in every block of keys, (n, n_blocks)."""
        n = len(self.keys)
        maxima = np.empty((-(-n // block_size), len(queries)), dtype=np.float32)
        columns, width = np.ascontiguousarray(queries.T), queries.shape[1]
        tile = max(1, TILE_SCORES // (len(queries) * block_size)) * block_size
        products = np.empty((min(tile, n), len(queries)), dtype=np.float32)
        for start in range(0, n, tile):
            keys = self.keys[start : start + tile, :width]
            found = np.matmul(keys, columns, out=products[: len(keys)])
            # The last block may be smaller.
            whole = len(keys) // block_size
            blocks = found[: whole * block_size].reshape(whole, block_size, len(queries))
            first = start // block_size
            blocks.max(axis=1, out=maxima[first : first + whole])
            if whole * block_size < len(keys):
                found[whole * block_size :].max(axis=0, out=maxima[-1])
        return np.ascontiguousarray(maxima.T)

    def _exact_scores(
        self,
        queries: NDArray[np.float32],
        query: NDArray[np.int64],
        block: NDArray[np.int64],
        block_size: int,
        floor: NDArray[np.float32],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Score the keys of each pair of query and block.

        Returns:
            The queries, rows and scores that are at least the query's `floor`.
        """
        members = np.arange(block_size)
        found = []
        size = max(1, MAX_NUMBERS // (block_size * queries.shape[1]))
        for start in range(0, len(query), size):
            asked = query[start : start + size]
            row = block[start : start + size, None] * block_size + members
            # Rows beyond the last one, of the last block, are taken as the last one, then left out.
            keys = self.keys[:, : queries.shape[1]].take(row, axis=0, mode="clip")
            # Computed one by one, so that a score does not depend on the other queries.
            exact = np.einsum("pw,pbw->pb", queries[asked], keys)
            pair, member = np.nonzero((exact >= floor[asked, None]) & (row < len(self.keys)))
            found.append((asked[pair], row[pair, member], exact[pair, member]))
        query, row, exact = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return query, row, exact

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
        """Return the content of each file in `FILES`, by name; names only if there are any."""
        meta = {
            "pool": str(self.pool),
            "encoder": str(self.encoder),
            "image_root": self.image_root,
        }
        files = {
            "keys.npy": array_to_bytes(self.keys),
            "images.jsonl": records_to_bytes(self.records),
            "thumbnails.msgpack": srsly.msgpack_dumps(self.thumbnails),
            "meta.json": json.dumps(meta, indent=1).encode(),
        }
        if self.names is not None:
            files["names.npy"] = self.names.to_bytes()
        return files

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
            name = "names.npy"
            names = ImageNames.from_bytes(files[name], len(keys)) if name in files else None
        # Deeply nested brackets raise a RecursionError.
        except (ValueError, RecursionError) as error:
            raise VokensError(
                f"{name} cannot be used: {error}. Run 'spacy vokens index'."
            ) from error
        return cls(
            keys,
            records,
            thumbnails,
            pool=pool,
            encoder=encoder,
            image_root=meta["image_root"],
            names=names,
        )

    def __getstate__(self) -> dict[str, Any]:
        # Without what is derived from the rest.
        derived = ("ids", "rows", "mark", "_ids_and_none")
        return {name: value for name, value in vars(self).items() if name not in derived}
