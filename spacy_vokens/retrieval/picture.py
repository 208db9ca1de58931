"""The picture behind a voken: where it lies, whose it is, and how to open it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..images.decode import PictureError, open_picture, read_picture
from ..images.pool import ImageRecord


@dataclass(frozen=True)
class Picture:
    """One picture of an index, as a voken names it.

    id: the image's id in its pool.
    path: the picture's file on this machine, or None; the file may be gone.
    sha256: hash of that file's bytes.
    source: where the picture comes from, for the attribution.
    licence: the licence it is under, for the attribution.
    thumbnail: a small WebP copy, or None where none is stored.
    """

    id: str
    path: Path | None
    sha256: str
    source: str
    licence: str
    thumbnail: bytes | None

    @classmethod
    def from_record(cls, record: ImageRecord, root: Path, thumbnail: bytes | None) -> Picture:
        """The picture that a pool or an index knows; root: what its path is relative to."""
        return cls(
            id=record.id,
            path=root / record.path,
            sha256=record.sha256,
            source=record.source,
            licence=record.licence,
            thumbnail=thumbnail,
        )

    def open(self) -> Image.Image:
        """Open the picture in RGB: its file if that is there and unchanged, else its thumbnail.

        raises FileNotFoundError: if there is neither.
        raises PictureError: if it cannot be read as a picture.
        """
        if self.path is not None:
            try:
                data = read_picture(self.path)
            except PictureError:
                data = b""
            # The path may be another machine's, and name another file on this one.
            if hashlib.sha256(data).hexdigest() == self.sha256:
                return open_picture(data)
        if self.thumbnail is not None:
            return open_picture(self.thumbnail)
        where = "no file is known" if self.path is None else f"it is not in {self.path}"
        raise FileNotFoundError(
            f"Picture {self.id!r} cannot be shown: {where} and no thumbnail is stored. Put the "
            "file back, or embed the pool with thumbnails."
        )
