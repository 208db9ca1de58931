"""The image pool: a verified, read-only folder of image ids, records, features and thumbnails."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import srsly

from ..files import folder_written_aside, sha256_file
from .ids import check_ids, check_relative, hash_ids

VERSION = 1
META_FILE = "meta.json"
RECORDS_FILE = "images.jsonl"
REJECTS_FILE = "rejects.jsonl"
FEATURES_FILE = "features.npy"
THUMBNAILS_FOLDER = "thumbnails"
META_TYPES = {
    "version": int,
    "encoder": str,
    "weights_sha256": str,
    "dimension": int,
    "count": int,
    "ids_sha256": str,
    "features_sha256": str,
    "picture_root": str,
    "thumbnails": bool,
}


@dataclass(frozen=True)
class ImageRecord:
    """What a pool knows of one picture.

    id: its name in every artefact, unique in the pool.
    path: its file, relative to the pool's picture root, as a POSIX path.
    sha256: hash of the file's bytes.
    width, height: in pixels, after the EXIF orientation is applied.
    source: where it comes from, for whoever has to credit it.
    licence: under which terms.
    """

    id: str
    path: str
    sha256: str
    width: int
    height: int
    source: str = ""
    licence: str = ""


@dataclass(frozen=True)
class Reject:
    """A picture that is not in the pool: its path relative to the picture root, and why."""

    path: str
    reason: str


class ImagePool:
    """Image ids with their features; opened with `ImagePool.open`, written with `ImagePool.write`.

    path: the folder.
    records: n records, sorted by id.
    ids: their n ids.
    features: (n, dimension) float16, memory-mapped, read-only; row i belongs to ids[i].
    meta: what `meta.json` holds: version, encoder, weights_sha256, dimension, count, ids_sha256,
        features_sha256, picture_root, thumbnails.
    """

    def __init__(
        self, path: Path, records: Sequence[ImageRecord], features: np.ndarray, meta: dict[str, Any]
    ) -> None:
        self.path = path
        self.records = list(records)
        self.ids = [record.id for record in records]
        self.features = features
        self.meta = meta
        self._rows = {id: row for row, id in enumerate(self.ids)}

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, id: object) -> bool:
        return id in self._rows

    @classmethod
    def open(cls, path: Path) -> ImagePool:
        """Open a pool and verify it against its `meta.json`.

        raises ValueError: naming the file that is missing, damaged or does not belong to the rest.
        """
        meta = _read_meta(path)
        records = _read_records(path / RECORDS_FILE)
        try:
            check_ids([record.id for record in records])
        except ValueError as error:
            raise _unusable(path / RECORDS_FILE, str(error)) from error
        if len(records) != meta["count"]:
            raise _unusable(
                path / RECORDS_FILE,
                f"{len(records)} records, but {META_FILE} counts {meta['count']}",
            )
        if hash_ids(record.id for record in records) != meta["ids_sha256"]:
            raise _unusable(path / RECORDS_FILE, f"its ids are not those of {META_FILE}")
        features = _open_features(path / FEATURES_FILE, meta)
        if meta["thumbnails"] and not (path / THUMBNAILS_FOLDER).is_dir():
            raise _unusable(path / THUMBNAILS_FOLDER, "the folder is missing")
        return cls(path, records, features, meta)

    @classmethod
    def write(
        cls,
        path: Path,
        records: Sequence[ImageRecord],
        features: np.ndarray,
        *,
        encoder: str,
        weights_sha256: str,
        picture_root: Path,
        thumbnails: Iterable[bytes] | None = None,
        rejects: Iterable[Reject] = (),
        overwrite: bool = False,
    ) -> ImagePool:
        """Write a pool aside, move it into place and open it.

        records: n of them, at least one, sorted by id.
        features: (n, dimension) of any float type, stored as float16.
        encoder, weights_sha256: what made the features.
        picture_root: the folder the records' paths are relative to. An absolute one is stored as it
            is, a relative one relative to the pool, so that a project can be moved as a whole.
        thumbnails: n WebP pictures in the records' order, or None.
        rejects: the pictures that were left out.
        overwrite: replace a pool that is there.
        raises FileExistsError: where `path` may not be replaced.
        raises ValueError: where there is no record, ids or shapes are wrong, or a feature is not
            finite in float16.
        """
        ids = [record.id for record in records]
        check_ids(ids)
        for record in records:
            check_relative(record.path)
        if features.ndim != 2 or len(features) != len(records):
            raise ValueError(
                f"{len(records)} records need features of shape ({len(records)}, dimension), "
                f"found {features.shape}."
            )
        with folder_written_aside(path, marker=META_FILE, overwrite=overwrite) as folder:
            with np.errstate(over="ignore"):
                narrow = np.asarray(features, dtype=np.float16)
            if not _all_finite(narrow):
                raise ValueError("The features hold values that are not finite in float16.")
            np.save(folder / FEATURES_FILE, narrow, allow_pickle=False)
            srsly.write_jsonl(folder / RECORDS_FILE, [asdict(record) for record in records])
            srsly.write_jsonl(folder / REJECTS_FILE, [asdict(reject) for reject in rejects])
            if thumbnails is not None:
                (folder / THUMBNAILS_FOLDER).mkdir()
                for row, (_, data) in enumerate(zip(records, thumbnails, strict=True)):
                    (folder / _thumbnail_file(row)).write_bytes(data)
            meta = {
                "version": VERSION,
                "encoder": encoder,
                "weights_sha256": weights_sha256,
                "dimension": features.shape[1],
                "count": len(records),
                "ids_sha256": hash_ids(ids),
                "features_sha256": sha256_file(folder / FEATURES_FILE),
                "picture_root": _stored_root(picture_root, path),
                "thumbnails": thumbnails is not None,
            }
            srsly.write_json(folder / META_FILE, meta)
        return cls.open(path)

    def select(self, ids: Collection[str], path: Path, *, overwrite: bool = False) -> ImagePool:
        """Write a pool of some of the images.

        ids: the images to keep; those that are not in the pool are passed over.
        path: where the new pool is to be.
        overwrite: replace a pool that is there.
        raises FileExistsError: where `path` may not be replaced.
        raises ValueError: where none of the ids is in the pool.
        """
        kept = self.rows([id for id in self.ids if id in ids])
        if not len(kept):
            raise ValueError(f"None of the {len(ids)} image ids is in the pool {self.path}.")
        records = [self.records[row] for row in kept]
        root = Path(self.meta["picture_root"])
        if not root.is_absolute():
            root = Path(os.path.relpath(self.picture_root))
        thumbnails = ((self.path / _thumbnail_file(row)).read_bytes() for row in kept)
        return ImagePool.write(
            path,
            records,
            self.features[kept],
            encoder=self.meta["encoder"],
            weights_sha256=self.meta["weights_sha256"],
            picture_root=root,
            thumbnails=thumbnails if self.has_thumbnails else None,
            overwrite=overwrite,
        )

    def require_encoder(self, encoder: str, weights_sha256: str, dimension: int) -> None:
        """Raise ValueError where another encoder, or other weights, made the features, or where
        they have another dimension."""
        wanted, found = (
            (encoder, weights_sha256),
            (self.meta["encoder"], self.meta["weights_sha256"]),
        )
        if wanted != found:
            raise ValueError(
                f"Features of {encoder} (weights {weights_sha256[:16]}) are needed, but pool "
                f"{self.path} holds those of {found[0]} ({found[1][:16]}). Embed the pictures with "
                "the same encoder."
            )
        if self.meta["dimension"] != dimension:
            raise ValueError(
                f"Features of {dimension} dimensions are needed, but pool {self.path} holds some "
                f"of {self.meta['dimension']}, by what it calls the same encoder. Embed the "
                "pictures again."
            )

    @property
    def hash(self) -> str:
        """Joins ids and features: the same for the same content, wherever the pool lies."""
        joined = self.meta["ids_sha256"] + self.meta["features_sha256"]
        return hashlib.sha256(joined.encode("ascii")).hexdigest()

    @property
    def picture_root(self) -> Path:
        """The folder that the records' paths are relative to; it need not be there any more."""
        return (self.path / self.meta["picture_root"]).resolve()

    @property
    def has_thumbnails(self) -> bool:
        return self.meta["thumbnails"]

    def rows(self, ids: Iterable[str]) -> np.ndarray:
        """The row of each id, (len(ids),) int64.

        raises ValueError: naming the ids that are not in the pool.
        """
        ids = list(ids)
        unknown = [id for id in ids if id not in self._rows]
        if unknown:
            names = ", ".join(map(repr, unknown[:5])) + (" …" if len(unknown) > 5 else "")
            raise ValueError(f"{len(unknown)} image ids are not in the pool {self.path}: {names}")
        return np.array([self._rows[id] for id in ids], dtype=np.int64)

    def thumbnail(self, id: str) -> bytes | None:
        """A small WebP picture; None where the pool was built without thumbnails.

        raises ValueError: where the id is not in the pool.
        """
        (row,) = self.rows([id])
        return (self.path / _thumbnail_file(row)).read_bytes() if self.has_thumbnails else None


def parse_records(lines: Iterable[str]) -> list[ImageRecord]:
    """The records of JSON lines, whose paths stay in their folder.

    raises ValueError: naming the line that is no record.
    """
    kinds = {field.name: int if field.type == "int" else str for field in fields(ImageRecord)}
    records = []
    for number, text in enumerate(lines, start=1):
        try:
            line = json.loads(text)
            if not isinstance(line, dict) or line.keys() != kinds.keys():
                raise ValueError(f"it must hold {', '.join(kinds)}")
            for name, kind in kinds.items():
                if not isinstance(line[name], kind):
                    raise ValueError(f"{name!r} must be {kind.__name__}")
            check_relative(line["path"])
        # Brackets nested without end are a RecursionError.
        except (ValueError, RecursionError) as error:
            raise ValueError(f"line {number}: {error}") from error
        records.append(ImageRecord(**line))
    return records


def _read_meta(path: Path) -> dict[str, Any]:
    file = path / META_FILE
    if not file.is_file():
        raise ValueError(f"{path} is no image pool: it has no {META_FILE}.")
    try:
        meta = srsly.read_json(file)
    except (ValueError, RecursionError) as error:
        raise _unusable(file, str(error)) from error
    if not isinstance(meta, dict) or meta.get("version") != VERSION:
        found = meta.get("version") if isinstance(meta, dict) else None
        raise _unusable(
            file, f"this version of spacy-vokens reads pools of format {VERSION}, found {found!r}"
        )
    for name, kind in META_TYPES.items():
        if not isinstance(meta.get(name), kind):
            raise _unusable(file, f"{name!r} must be {kind.__name__}, found {meta.get(name)!r}")
    return meta


def _read_records(file: Path) -> list[ImageRecord]:
    try:
        with file.open(encoding="utf-8") as lines:
            return parse_records(lines)
    except (OSError, ValueError) as error:
        raise _unusable(file, str(error)) from error


def _open_features(file: Path, meta: dict[str, Any]) -> np.ndarray:
    shape = (meta["count"], meta["dimension"])
    try:
        features = np.load(file, mmap_mode="r", allow_pickle=False)
    # NumPy parses the header as Python source, with whatever error that gives.
    except Exception as error:
        raise _unusable(file, str(error)) from error
    if features.shape != shape or features.dtype != np.float16:
        raise _unusable(
            file, f"{features.dtype} of shape {features.shape}, not float16 of shape {shape}"
        )
    if sha256_file(file) != meta["features_sha256"]:
        raise _unusable(file, f"its hash is not the one in {META_FILE}")
    if not _all_finite(features):
        raise _unusable(file, "it holds values that are not finite")
    return features


def _all_finite(features: np.ndarray) -> bool:
    # A sum is finite where all its terms are, and takes no second array of this size. It is not
    # where float16 adds up to too much, so float32 does.
    with np.errstate(invalid="ignore"):
        return bool(np.isfinite(features.sum(axis=1, dtype=np.float32)).all())


def _unusable(file: Path, problem: str) -> ValueError:
    return ValueError(
        f"{file} cannot be used: {problem}. Build the pool again: spacy vokens embed-images."
    )


def _thumbnail_file(row: int) -> str:
    return f"{THUMBNAILS_FOLDER}/{row:07d}.webp"


def _stored_root(picture_root: Path, pool: Path) -> str:
    if picture_root.is_absolute():
        return picture_root.as_posix()
    return Path(os.path.relpath(picture_root.resolve(), pool.resolve())).as_posix()
