"""Open a picture, the only way this package does it.

Its content says what a picture is, not its name: a PNG named `.jpg` is a picture, a page of HTML
named `.png` is none.
"""

from __future__ import annotations

import os
import re
import stat
import time
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP")
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")
MAX_BYTES = 32 * 1024 * 1024
MAX_PIXELS = 64 * 1000 * 1000
# A transform that brings the shorter side to a few hundred pixels makes the longer one this many
# times as long: of a line of 1 x 20,000 pixels it would make gigabytes.
MAX_RATIO = 100
MAX_SECONDS = 30.0
# Small, so that the time is looked at often: a JPEG can hold a whole scan of itself in 30 bytes.
BLOCK_BYTES = 512
THUMBNAIL_SIDE = 96

_EXTENSION = re.compile(r"(?<=[^/])\.(jpe?g|png|webp)$", re.IGNORECASE)


class PictureError(ValueError):
    """A picture cannot be used; the message is a short reason that names no file."""


def picture_id(name: str) -> str:
    """The id of a picture: its name, or relative POSIX path, without a picture's extension."""
    return _EXTENSION.sub("", name)


def read_picture(path: Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a picture file.

    max_bytes: bound on the file's size; no more of it is read.
    raises PictureError: where it is no regular file, too large, or unreadable.
    """
    try:
        # What was opened is what is looked at: the name may belong to something else by now.
        with open(path, "rb", opener=_open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise PictureError("not a regular file")
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise PictureError(f"cannot be read: {error.strerror}") from error
    _check_bytes(data, max_bytes)
    return data


def open_picture(
    source: Path | bytes,
    *,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    max_seconds: float = MAX_SECONDS,
) -> Image.Image:
    """Decode a JPEG, PNG or WebP picture to RGB.

    The EXIF orientation is applied; transparency is laid over white; 16-bit values keep their
    upper 8 bits; of an animation the first frame is taken. The longer side may be 100 times the
    shorter at most. The most pixels allowed take about a gigabyte for as long as it runs.

    source: a file, or its bytes.
    max_bytes: bound on the encoded size, 32 MiB by default; no more of a file is read.
    max_pixels: bound on width times height, 64 million by default; checked before decoding.
    max_seconds: bound on the time that its headers and a JPEG's scans may keep a processor busy, 30
        by default. PNG and WebP need no other bound than those on bytes and pixels.
    raises PictureError: with a short reason, where the picture is of another format, too large, too
        long, too slow, truncated or damaged.
    """
    data = read_picture(source, max_bytes=max_bytes) if isinstance(source, Path) else source
    if not data:
        raise PictureError("empty file")
    _check_bytes(data, max_bytes)
    try:
        with Image.open(_TimedBytes(data, max_seconds), formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise PictureError(f"{width} x {height} pixels, more than {max_pixels:,}")
            if max(width, height) > MAX_RATIO * min(width, height):
                raise PictureError(
                    f"{width} x {height} pixels, one side more than {MAX_RATIO} times the other"
                )
            image.decodermaxblock = BLOCK_BYTES
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except PictureError:
        raise
    except Image.UnidentifiedImageError as error:
        raise PictureError(f"not a {', '.join(FORMATS)} picture") from error
    # Pillow's parsers raise whatever a damaged file leads them to.
    except Exception as error:
        raise PictureError(f"damaged: {str(error) or type(error).__name__}") from error


def thumbnail(image: Image.Image, *, side: int = THUMBNAIL_SIDE) -> bytes:
    """A small WebP of an RGB picture; side: the longer side in pixels, at most."""
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    small.save(buffer, "WEBP", quality=75)
    return buffer.getvalue()


class _TimedBytes(BytesIO):
    """Bytes that can be read until the thread has computed for some seconds.

    The thread's own time and not the clock's, or a busy machine would refuse good pictures.
    """

    def __init__(self, data: bytes, seconds: float) -> None:
        super().__init__(data)
        self.seconds, self.end = seconds, time.thread_time() + seconds

    def read(self, size: int | None = -1, /) -> bytes:
        if time.thread_time() > self.end:
            raise PictureError(f"takes more than {self.seconds:g} seconds to decode")
        return super().read(size)


def _open_without_waiting(path: str, flags: int) -> int:
    # A named pipe would wait for a writer for ever.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_bytes(data: bytes, max_bytes: int) -> None:
    if len(data) > max_bytes:
        raise PictureError(f"more than {max_bytes:,} bytes")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow would clip 16-bit greys at 255.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")
