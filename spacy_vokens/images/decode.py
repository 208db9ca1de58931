"""Read and decode an image file. All images are opened here.

The format is recognized by the content, not by the file name: a PNG named `.jpg` is accepted, a web
page named `.png` is rejected.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from PIL.ImageFile import ImageFile

from ..files import VokensError

FORMATS = ("JPEG", "PNG", "WEBP")
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")
MAX_BYTES = 32 * 1024 * 1024
MAX_PIXELS = 64 * 1000 * 1000
# A transform that scales the shorter side to a few hundred pixels scales the longer side with it.
# It would turn a line of 1 x 20,000 pixels into gigabytes.
MAX_RATIO = 100
MAX_SECONDS = 30.0
# Small, so that the time is checked often: 30 bytes of a JPEG can hold a whole scan.
BLOCK_BYTES = 512
THUMBNAIL_SIDE = 96

# What people have under the name of an image, by its first bytes.
OTHER_FORMATS = {
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"%PDF": "PDF",
    b"<svg": "SVG",
    b"<?xml": "XML or SVG",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
}
BRANDS = {b"avi": "AVIF", b"he": "HEIC", b"mif1": "HEIF", b"msf1": "HEIF"}

# Opening a named pipe would otherwise wait for a writer. Windows has neither.
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)


class ImageError(VokensError):
    """An image cannot be used. The message is a short reason that does not name the file."""


def read_image(path: Path, *, root: Path | None = None, max_bytes: int = MAX_BYTES) -> bytes:
    """Read an image file without decoding it.

    Args:
        path: The file.
        root: A resolved folder that links must not lead out of. This is checked right before the
            file is opened. It does not protect against someone who swaps links in between.
        max_bytes: The largest allowed file size, 32 MiB by default. No more is read.

    Returns:
        The file's bytes.

    Raises:
        ImageError: If it is not a regular file, is outside `root`, is too large, or is unreadable.
    """
    try:
        if root is not None:
            path = Path(os.path.realpath(path, strict=True))
            if not path.is_relative_to(root):
                raise ImageError("a link that leads out of the folder")
        # Check the opened file itself, since the name may refer to another file by now.
        with open(
            path, "rb", opener=lambda name, flags: os.open(name, flags | _NO_WAITING)
        ) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ImageError("not a regular file")
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror}") from error
    if len(data) > max_bytes:
        raise ImageError(f"more than {max_bytes:,} bytes")
    return data


def open_image(
    source: Path | bytes,
    *,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    max_seconds: float = MAX_SECONDS,
) -> Image.Image:
    """Decode a JPEG, PNG or WebP image to RGB.

    The EXIF orientation is applied. Transparency is replaced by white. 16-bit values keep their
    upper 8 bits. Of an animation, the first frame is used. The longer side may be at most 100 times
    the shorter side. Decoding an image with the largest allowed number of pixels takes about 1 GB
    of memory.

    Args:
        source: A file or its bytes.
        max_bytes: The largest allowed encoded size, 32 MiB by default. No more of a file is read.
        max_pixels: The largest allowed width times height, 64 million by default. It is checked
            before decoding.
        max_seconds: The processor time that reading headers and the scans of a JPEG may take, 30
            seconds by default. PNG and WebP are bounded by their bytes and pixels.

    Returns:
        The decoded image.

    Raises:
        ImageError: If the image has another format, is too large, too long, too slow to decode,
            truncated or damaged.
    """
    data = read_image(source, max_bytes=max_bytes) if isinstance(source, Path) else source
    if not data:
        raise ImageError("empty file")
    if len(data) > max_bytes:
        raise ImageError(f"more than {max_bytes:,} bytes")
    try:
        with Image.open(_TimedBytes(data, max_seconds), formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise ImageError(f"{width} x {height} pixels, more than {max_pixels:,}")
            if max(width, height) > MAX_RATIO * min(width, height):
                raise ImageError(
                    f"{width} x {height} pixels, one side more than {MAX_RATIO} times the other"
                )
            image.decodermaxblock = BLOCK_BYTES
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except ImageError:
        raise
    except Image.UnidentifiedImageError as error:
        raise ImageError(f"not a JPEG, PNG or WebP image{_describe(data)}") from error
    # Pillow's parsers can raise any error on a damaged file.
    except Exception as error:
        raise ImageError(f"damaged: {str(error) or type(error).__name__}") from error


@contextmanager
def open_header(data: bytes, *, max_seconds: float = MAX_SECONDS) -> Iterator[ImageFile]:
    """Open a JPEG, PNG or WebP image without decoding it, for its metadata.

    Args:
        data: The image file.
        max_seconds: The processor time that reading headers may take, 30 seconds by default.

    Yields:
        Pillow's image, which is closed when the block ends.
    """
    with Image.open(_TimedBytes(data, max_seconds), formats=FORMATS) as image:
        yield image


def thumbnail(image: Image.Image, *, side: int = THUMBNAIL_SIDE) -> bytes:
    """Encode a small copy of an RGB image as WebP.

    Args:
        image: The image, which is not changed.
        side: The largest width and height in pixels.

    Returns:
        The encoded copy.
    """
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    small.save(buffer, "WEBP", quality=75)
    return buffer.getvalue()


def _describe(data: bytes) -> str:
    """Say what else a file is, by its first bytes, or nothing."""
    kinds = {kind for start, kind in OTHER_FORMATS.items() if data.startswith(start)}
    # ISO base media files name their brand after the word "ftyp".
    if data[4:8] == b"ftyp":
        kinds = {kind for brand, kind in BRANDS.items() if data[8:12].startswith(brand)}
    return f", but {kinds.pop()}: convert it" if kinds else ""


class _TimedBytes(BytesIO):
    """Bytes that can be read until the thread has used some seconds of processor time.

    Wall-clock time would reject good images on a busy machine.
    """

    def __init__(self, data: bytes, seconds: float) -> None:
        super().__init__(data)
        self.seconds, self.end = seconds, time.thread_time() + seconds

    def read(self, size: int | None = -1, /) -> bytes:
        if time.thread_time() > self.end:
            raise ImageError(f"takes more than {self.seconds:g} seconds to decode")
        return super().read(size)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow would clip 16-bit gray values at 255.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")
