"""Open a picture, the only way this package does it."""

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
# Encoders scale the shorter side to a few hundred pixels: 1 x 20,000 would become 224 x 4,480,000.
MAX_ASPECT = 100
MAX_SECONDS = 30.0
THUMBNAIL_SIDE = 96

# Pillow reads again after so many bytes, and some of a progressive JPEG cost it 1 ms each.
_READ_BLOCK = 512
_EXTENSION = re.compile(r"(?<=[^/])\.(jpe?g|png|webp)$", re.IGNORECASE)


class PictureError(ValueError):
    """A picture cannot be used; the message is a short reason that names no file."""


def picture_id(name: str) -> str:
    """The id of a picture: its name, or relative POSIX path, without a picture's extension."""
    return _EXTENSION.sub("", name)


def read_picture(path: Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a picture file.

    max_bytes: bound on the file's size, checked before it is read.
    raises PictureError: where it is no regular file, too large, or unreadable.
    """
    try:
        # A named pipe would keep a plain open waiting for a writer. What is asked of the open file
        # stays true of it, whatever takes its name meanwhile.
        with open(path, "rb", opener=_open_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise PictureError("not a regular file")
            if status.st_size > max_bytes:
                raise PictureError(f"{status.st_size:,} bytes, more than {max_bytes:,}")
            return file.read(status.st_size)
    except OSError as error:
        raise PictureError(f"cannot be read: {error.strerror}") from error


def open_picture(
    source: Path | bytes,
    *,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    max_seconds: float = MAX_SECONDS,
) -> Image.Image:
    """Decode a JPEG, PNG or WebP picture to RGB.

    The content says which of them it is, the file's name does not. No side may be more than 100
    times the other. The EXIF orientation is applied; transparency is laid over white; 16-bit values
    keep their upper 8 bits; of an animation the first frame is taken.

    source: a file, or its bytes.
    max_bytes: bound on the encoded size, 32 MiB by default; checked before a file is read.
    max_pixels: bound on width times height, 64 million by default; checked before decoding.
    max_seconds: bound on the time of decoding, 30 s by default. It is looked at whenever the
        decoder reads on. A WebP is read at once: bytes and pixels bound its time.
    raises PictureError: with a short reason, where the picture is of another format, too large,
        too long and thin, too slow, truncated or damaged.
    """
    data = read_picture(source, max_bytes=max_bytes) if isinstance(source, Path) else source
    if not data:
        raise PictureError("empty file")
    if len(data) > max_bytes:
        raise PictureError(f"{len(data):,} bytes, more than {max_bytes:,}")
    try:
        with Image.open(_TimedBytes(data, max_seconds), formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise PictureError(f"{width} x {height} pixels, more than {max_pixels:,}")
            if max(width, height) > MAX_ASPECT * min(width, height):
                raise PictureError(
                    f"{width} x {height} pixels, one side more than {MAX_ASPECT} times the other"
                )
            image.decodermaxblock = _READ_BLOCK
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except PictureError:
        raise
    except Image.UnidentifiedImageError as error:
        raise PictureError(f"not a {', '.join(FORMATS)} picture") from error
    # Pillow's parsers raise whatever a damaged file leads them to.
    except Exception as error:
        raise PictureError(f"damaged: {error}") from error


def thumbnail(image: Image.Image, *, side: int = THUMBNAIL_SIDE) -> bytes:
    """A small WebP of an RGB picture; side: the longer side in pixels, at most."""
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    small.save(buffer, "WEBP", quality=75)
    return buffer.getvalue()


class _TimedBytes(BytesIO):
    """A file in memory that can be read for some seconds only: no thread can be stopped."""

    def __init__(self, data: bytes, seconds: float) -> None:
        super().__init__(data)
        self.seconds = seconds
        self.deadline = time.monotonic() + seconds

    def read(self, size: int | None = -1, /) -> bytes:
        if time.monotonic() > self.deadline:
            raise PictureError(f"not decoded within {self.seconds:g} seconds")
        return super().read(size)


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow would clip 16-bit greys at 255.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")
