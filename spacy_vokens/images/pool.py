"""The image pool: a folder with images' records, features and thumbnails, never modified in place.

meta.json       what made the pool, and hashes of its content
images.jsonl    one record per image, sorted by id, with the image's texts
features.npy    one row of float16 per image, in the same order
thumbnails/     one WebP file per image, named by its row; optional
rejects.jsonl   the images that were left out, with reasons
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import get_type_hints

import numpy as np
import srsly
from numpy.lib import format as npy

from ..files import VokensError, check_fields, folder_written_aside, sha256_file
from ..identity import EncoderId, PoolId, check_id, check_ids, describe_lookalike, hash_ids
from .texts import check_texts, hash_texts

VERSION = 1
META_FILE = "meta.json"
RECORDS_FILE = "images.jsonl"
REJECTS_FILE = "rejects.jsonl"
FEATURES_FILE = "features.npy"
THUMBNAILS_FOLDER = "thumbnails"
THUMBNAIL_FILE = THUMBNAILS_FOLDER + "/{row:07d}.webp"


@dataclass(frozen=True)
class ImageRecord:
    """What a pool stores about one image.

    Attributes:
        id: Its id, unique in the pool.
        path: Its file, relative to the pool's image root, as a POSIX path.
        sha256: SHA-256 of the file's bytes.
        width: Width in pixels, after the EXIF orientation is applied.
        height: Height in pixels, after the EXIF orientation is applied.
        source: Where it comes from, for the attribution.
        license: Its license, for the attribution.
        texts: What it shows, in words: captions, names and keywords.
    """

    id: str
    path: str
    sha256: str
    width: int
    height: int
    source: str = ""
    license: str = ""
    texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reject:
    """An image that was left out of a pool.

    Attributes:
        path: Its path relative to the image root.
        reason: Why it was left out.
    """

    path: str
    reason: str


@dataclass(frozen=True)
class PoolContent:
    """What a pool is written from.

    Attributes:
        records: At least one, sorted by id.
        features: An array (n, dimension) of any float type, converted to float16; must be finite
            after that. Alternatively, an iterable of finite float16 chunks.
        encoder: The encoder that made the features.
        image_root: The folder that the records' paths are relative to. An absolute path is stored
            unchanged. A relative path is stored relative to the pool, so that a project can be
            moved.
        thumbnails: A WebP image per record, in the same order, or None.
        rejects: The images that were left out.
    """

    records: Sequence[ImageRecord]
    features: np.ndarray | Iterable[np.ndarray]
    encoder: EncoderId
    image_root: Path
    thumbnails: Iterable[bytes] | None = None
    rejects: Iterable[Reject] = ()


@dataclass(frozen=True)
class PoolMeta:
    """The content of a pool's `meta.json`.

    Attributes:
        version: Version of the pool format.
        encoder: The encoder that made the features.
        dimension: Width of the features.
        count: Number of images.
        ids_sha256: SHA-256 over the ids in order, each followed by NUL.
        features_sha256: SHA-256 of the features file.
        image_root: The folder that the records' paths are relative to; absolute, or relative to the
            pool.
        thumbnails: Whether thumbnails are stored.
        texts_sha256: What `hash_texts` returns for the images' texts. A pool without texts has no
            such field in the file.
    """

    version: int
    encoder: EncoderId
    dimension: int
    count: int
    ids_sha256: str
    features_sha256: str
    image_root: str
    thumbnails: bool
    texts_sha256: str = ""


class ImagePool:
    """Images with their features: opened with `ImagePool.open`, written with `ImagePool.write`.

    Attributes:
        path: The folder.
        records: One per image, sorted by id.
        ids: The images' ids.
        features: (n, dimension) float16, memory-mapped and read-only; row i belongs to `ids[i]`.
        meta: The content of `meta.json`.
        id: Identifies the pool's ids, features and texts, independent of its path.
        encoder: The encoder that made the features.
        dimension: Width of the features.
    """

    def __init__(
        self, path: Path, records: Sequence[ImageRecord], features: np.ndarray, meta: PoolMeta
    ) -> None:
        self.path = path
        self.records = list(records)
        self.ids = [record.id for record in records]
        self.features = features
        self.meta = meta
        # Without texts, the id is that of pools from before there were texts.
        hashes = meta.ids_sha256 + meta.features_sha256 + meta.texts_sha256
        self.id = PoolId(hashlib.sha256(hashes.encode("ascii")).hexdigest())
        self.encoder = meta.encoder
        self.dimension = meta.dimension
        self._rows = {id: row for row, id in enumerate(self.ids)}

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, id: object) -> bool:
        return id in self._rows

    @classmethod
    def open(cls, path: Path) -> ImagePool:
        """Open a pool and verify it against its `meta.json`.

        Args:
            path: The pool's folder.

        Returns:
            The pool. Its features are mapped into memory, not copied.

        Raises:
            VokensError: If a file is missing, damaged, of another version, or does not belong to
                the others.
        """
        file = path / META_FILE
        if not file.is_file():
            raise VokensError(f"{path} is not an image pool: it has no {META_FILE}.")
        try:
            values = json.loads(file.read_bytes())
            version = values.get("version") if isinstance(values, dict) else None
            if version != VERSION:
                raise VokensError(
                    f"this version of spacy-vokens reads pools of format {VERSION}, found "
                    f"{version!r}"
                )
            values = check_fields(
                {"texts_sha256": ""} | values, get_type_hints(PoolMeta) | {"encoder": str}
            )
            meta = PoolMeta(**values | {"encoder": EncoderId.parse(values["encoder"])})
        # Deeply nested brackets raise a RecursionError.
        except (ValueError, RecursionError) as error:
            raise _unusable(file, str(error)) from error
        file = path / RECORDS_FILE
        try:
            records = records_from_bytes(file.read_bytes())
        except (OSError, ValueError) as error:
            raise _unusable(file, str(error)) from error
        if len(records) != meta.count:
            raise _unusable(file, f"{len(records)} records, but {META_FILE} counts {meta.count}")
        if hash_ids(record.id for record in records) != meta.ids_sha256:
            raise _unusable(file, f"its ids are not those of {META_FILE}")
        if hash_texts(record.texts for record in records) != meta.texts_sha256:
            raise _unusable(file, f"its texts are not those of {META_FILE}")
        features = _open_features(path / FEATURES_FILE, meta)
        if meta.thumbnails and not (path / THUMBNAILS_FOLDER).is_dir():
            raise _unusable(path / THUMBNAILS_FOLDER, "the folder is missing")
        return cls(path, records, features, meta)

    @classmethod
    def write(cls, path: Path, content: PoolContent, *, overwrite: bool = False) -> ImagePool:
        """Write a pool to a temporary folder, and rename that once it is complete.

        Args:
            path: The pool's folder.
            content: What to write.
            overwrite: Replace an existing pool.

        Returns:
            The pool, opened.

        Raises:
            FileExistsError: If `path` may not be replaced.
            VokensError: If there are no records, if ids, paths, texts or shapes are wrong, or if a
                feature is not finite in float16.
        """
        records = content.records
        ids = [record.id for record in records]
        check_ids(ids)
        for record in records:
            check_id(record.path, max_length=None)
            try:
                check_texts(record.texts)
            except VokensError as error:
                raise VokensError(f"Image {record.id!r}: {error}.") from error
        with folder_written_aside(path, marker=META_FILE, overwrite=overwrite) as folder:
            dimension, features_sha256 = _write_features(
                folder / FEATURES_FILE, content.features, len(records)
            )
            (folder / RECORDS_FILE).write_bytes(records_to_bytes(records))
            srsly.write_jsonl(folder / REJECTS_FILE, [asdict(reject) for reject in content.rejects])
            if content.thumbnails is not None:
                (folder / THUMBNAILS_FOLDER).mkdir()
                for row, (_, data) in enumerate(zip(records, content.thumbnails, strict=True)):
                    (folder / THUMBNAIL_FILE.format(row=row)).write_bytes(data)
            root = content.image_root
            if not root.is_absolute():
                root = Path(os.path.relpath(root.resolve(), path.resolve()))
            meta = PoolMeta(
                version=VERSION,
                encoder=content.encoder,
                dimension=dimension,
                count=len(records),
                ids_sha256=hash_ids(ids),
                features_sha256=features_sha256,
                image_root=root.as_posix(),
                thumbnails=content.thumbnails is not None,
                texts_sha256=hash_texts(record.texts for record in records),
            )
            values = vars(meta) | {"encoder": str(meta.encoder)}
            if not meta.texts_sha256:
                del values["texts_sha256"]
            srsly.write_json(folder / META_FILE, values)
        # Not with `open`, which would verify what has just been written.
        features = np.load(path / FEATURES_FILE, mmap_mode="r", allow_pickle=False)
        return cls(path, records, features, meta)

    def select(self, ids: Collection[str], path: Path, *, overwrite: bool = False) -> ImagePool:
        """Write a pool of some of the images.

        Args:
            ids: The images to keep. Ids that are not in the pool are ignored.
            path: The new pool's folder.
            overwrite: Replace an existing pool.

        Returns:
            The new pool, opened.

        Raises:
            FileExistsError: If `path` may not be replaced.
            VokensError: If none of the ids is in the pool.
        """
        kept = self.rows([id for id in self.ids if id in ids])
        if not len(kept):
            raise VokensError(f"None of the {len(ids)} image ids is in the pool {self.path}.")
        root = Path(self.meta.image_root)
        if not root.is_absolute():
            root = Path(os.path.relpath(self.image_root))
        files = (self.path / THUMBNAIL_FILE.format(row=row) for row in kept)
        content = PoolContent(
            [self.records[row] for row in kept],
            self.features[kept],
            self.encoder,
            root,
            thumbnails=(file.read_bytes() for file in files) if self.meta.thumbnails else None,
        )
        return ImagePool.write(path, content, overwrite=overwrite)

    def require_encoder(self, encoder: EncoderId, dimension: int) -> None:
        """Check that the features were made by an encoder.

        Args:
            encoder: The encoder.
            dimension: The width of its features.

        Raises:
            VokensError: If another encoder or other weights made the features, or if they have
                another dimension.
        """
        if encoder != self.encoder:
            raise VokensError(
                f"Features of {encoder.short} are needed, but pool {self.path} holds those of "
                f"{self.encoder.short}. Embed the images with the same encoder."
            )
        if dimension != self.dimension:
            raise VokensError(
                f"Features of {dimension} dimensions are needed, but those of pool {self.path} "
                f"have {self.dimension}, although its encoder has the same name. Embed the images "
                "again."
            )

    @property
    def texts(self) -> list[tuple[str, ...]]:
        """The texts of each image, in the order of the rows; `()` for an image without texts."""
        return [record.texts for record in self.records]

    @property
    def image_root(self) -> Path:
        """The folder that the records' paths are relative to. It may not exist any more."""
        return (self.path / self.meta.image_root).resolve()

    def rows(self, ids: Iterable[str]) -> np.ndarray:
        """Return the row of each id.

        Args:
            ids: Ids of images.

        Returns:
            (number of ids,) int64.

        Raises:
            VokensError: If an id is not in the pool.
        """
        ids = list(ids)
        unknown = [id for id in ids if id not in self._rows]
        if unknown:
            names = ", ".join(map(repr, unknown[:5])) + (" …" if len(unknown) > 5 else "")
            raise VokensError(
                f"{len(unknown)} image ids are not in the pool {self.path}: {names}."
                + describe_lookalike(unknown, self.ids)
            )
        return np.array([self._rows[id] for id in ids], dtype=np.int64)

    def thumbnail(self, id: str) -> bytes | None:
        """Return the thumbnail of an image.

        Args:
            id: The image's id.

        Returns:
            A WebP file, or None if the pool has no thumbnails.

        Raises:
            KeyError: If the id is not in the pool.
        """
        row = self._rows[id]
        if not self.meta.thumbnails:
            return None
        return (self.path / THUMBNAIL_FILE.format(row=row)).read_bytes()


_RECORD_FIELDS = {
    name: kind for name, kind in get_type_hints(ImageRecord).items() if name != "texts"
}


def records_to_bytes(records: Iterable[ImageRecord]) -> bytes:
    """Return records as lines of JSON, without the field `texts` if a record has none."""
    values = (
        {name: value for name, value in vars(record).items() if value or name != "texts"}
        for record in records
    )
    return b"".join(f"{srsly.json_dumps(each)}\n".encode() for each in values)


def records_from_bytes(data: bytes) -> list[ImageRecord]:
    """Read records from lines of JSON.

    Args:
        data: What `records_to_bytes` returned.

    Returns:
        The records, sorted by id.

    Raises:
        VokensError: If a line is not a record, if there are no records, if their ids are not valid,
            sorted and unique, if a path leaves its folder, or if `check_texts` refuses texts.
    """
    # Not `splitlines`, since a text may contain one of Unicode's line separators.
    lines = data.decode("utf-8").split("\n")
    if not lines[-1]:
        lines.pop()
    records = []
    for number, text in enumerate(lines, start=1):
        try:
            line = json.loads(text)
            texts = check_texts(line.pop("texts", ())) if isinstance(line, dict) else ()
            line = check_fields(line, _RECORD_FIELDS)
            check_id(line["path"], max_length=None)
        # Deeply nested brackets raise a RecursionError.
        except (ValueError, RecursionError) as error:
            raise VokensError(f"line {number}: {error}") from error
        records.append(ImageRecord(**line, texts=texts))
    check_ids([record.id for record in records])
    return records


def _write_features(
    file: Path, features: np.ndarray | Iterable[np.ndarray], n_rows: int
) -> tuple[int, str]:
    """Write features, given whole or in chunks; return their width and the file's SHA-256."""
    if isinstance(features, np.ndarray):
        if features.ndim != 2 or len(features) != n_rows:
            raise VokensError(
                f"{n_rows} records need features of shape ({n_rows}, dimension), found "
                f"{features.shape}."
            )
        with np.errstate(over="ignore"):
            narrow = np.asarray(features, dtype=np.float16)
        if not np.isfinite(narrow).all():
            raise VokensError("The features have values that are not finite in float16.")
        chunks = iter([narrow])
    else:
        chunks = iter(features)
    first = next(chunks, np.empty((0, 0), np.float16))
    dimension = first.shape[1]
    header = io.BytesIO()
    npy.write_array_header_1_0(
        header, {"descr": "<f2", "fortran_order": False, "shape": (n_rows, dimension)}
    )
    digest = hashlib.sha256(header.getvalue())
    n_written = 0
    # Not through a memory map: on a full disk, that would raise SIGBUS instead of an error.
    with file.open("wb") as out:
        out.write(header.getvalue())
        for chunk in chain([first], chunks):
            if chunk.dtype != np.float16 or chunk.shape[1:] != (dimension,):
                raise VokensError(
                    f"A chunk of the features is {chunk.dtype} of shape {chunk.shape}, not float16 "
                    f"of {dimension} columns."
                )
            data = chunk.astype("<f2", copy=False).tobytes()
            digest.update(data)
            out.write(data)
            n_written += len(chunk)
    if n_written != n_rows:
        raise VokensError(f"{n_rows} records need as many rows of features, found {n_written}.")
    return dimension, digest.hexdigest()


def _open_features(file: Path, meta: PoolMeta) -> np.ndarray:
    shape = (meta.count, meta.dimension)
    try:
        features = np.load(file, mmap_mode="r", allow_pickle=False)
    # NumPy parses the header as Python source, which can raise any error.
    except Exception as error:
        raise _unusable(file, str(error)) from error
    if features.shape != shape or features.dtype != np.float16:
        raise _unusable(
            file, f"{features.dtype} of shape {features.shape}, not float16 of shape {shape}"
        )
    if sha256_file(file) != meta.features_sha256:
        raise _unusable(file, f"its hash is not the one in {META_FILE}")
    # The sum of a row is finite if all its values are, and needs no second array of this size. It
    # is in float32, since float16 would overflow.
    with np.errstate(invalid="ignore"):
        sums = features.sum(axis=1, dtype=np.float32)
    if not np.isfinite(sums).all():
        raise _unusable(file, "it holds values that are not finite")
    return features


def _unusable(file: Path, problem: str) -> VokensError:
    return VokensError(
        f"{file} cannot be used: {problem}. Build the pool again: spacy vokens embed-images."
    )
