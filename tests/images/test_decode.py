from __future__ import annotations

import math
import os
import socket
import struct
import time
import tracemalloc
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from spacy_vokens.images.decode import PictureError, open_picture, picture_id, thumbnail


def encode(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def noise(width: int = 40, height: int = 30) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces a size and holds next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0")
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def png_with(chunks: bytes, *, last: bool = False) -> bytes:
    """A PNG with more chunks before its pixels, or after them."""
    data = encode(noise(), "PNG")
    place = data.index(b"IEND" if last else b"IDAT") - 4
    return data[:place] + chunks + data[place:]


def many_scans(repeats: int) -> bytes:
    """A progressive JPEG of 2,000 x 2,000 pixels whose last scan stands there many times."""
    data = encode(Image.new("L", (2000, 2000), 100), "JPEG", progressive=True)
    start, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:end] + data[start:end] * repeats + data[end:]


def jpeg_with_exif(*entries: tuple[int, int, int, int], start: int = 8) -> bytes:
    """A JPEG with EXIF entries of (tag, type, count, value or offset)."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = b"Exif\0\0II*\0" + struct.pack("<IH", start, len(entries))
    return encode(noise(), "JPEG", exif=head + packed + bytes(4))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_formats(tmp_path: Path, file_format: str) -> None:
    data = encode(Image.new("RGB", (12, 7), (200, 30, 60)), file_format)
    file = tmp_path / "a.jpg"
    file.write_bytes(data)
    for source in (data, file):
        picture = open_picture(source)
        assert picture.mode == "RGB"
        assert picture.size == (12, 7)
        assert np.abs(np.asarray(picture).astype(int) - (200, 30, 60)).max() <= 4


@pytest.mark.parametrize("file_format", ["GIF", "BMP", "TIFF", "PPM"])
def test_other_formats_are_refused(file_format: str) -> None:
    with pytest.raises(PictureError, match="not a JPEG, PNG, WEBP picture"):
        open_picture(encode(Image.new("RGB", (4, 4)), file_format))


def test_orientation() -> None:
    # Left half red, right half blue; orientation 6 asks for a quarter turn clockwise.
    image = Image.new("RGB", (32, 16), "blue")
    image.paste("red", (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = open_picture(encode(image, "PNG", exif=exif.tobytes()))
    assert picture.size == (16, 32)
    assert picture.getpixel((8, 4)) == (255, 0, 0)
    assert picture.getpixel((8, 28)) == (0, 0, 255)


def palette_picture() -> Image.Image:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    return image


@pytest.mark.parametrize(
    ("image", "options", "expected"),
    [
        (Image.fromarray(np.array([[0, 0x80FF]], np.uint16)), {}, [(0,) * 3, (128,) * 3]),
        (Image.fromarray(np.array([[False, True]])), {}, [(0,) * 3, (255,) * 3]),
        (Image.fromarray(np.array([[7, 90]], np.uint8)), {}, [(7,) * 3, (90,) * 3]),
        (palette_picture(), {}, [(10, 20, 30), (40, 50, 60)]),
        (palette_picture(), {"transparency": 0}, [(255,) * 3, (40, 50, 60)]),
        (
            Image.fromarray(np.array([[[9, 9, 9, 0], [200, 100, 0, 255]]], np.uint8)),
            {},
            [(255,) * 3, (200, 100, 0)],
        ),
        (
            Image.fromarray(np.array([[[0, 0], [50, 255]]], np.uint8), "LA"),
            {},
            [(255,) * 3, (50,) * 3],
        ),
    ],
    ids=["16-bit", "1-bit", "grey", "palette", "palette-transparency", "alpha", "grey-alpha"],
)
def test_modes(image: Image.Image, options: dict[str, int], expected: list[tuple]) -> None:
    picture = open_picture(encode(image, "PNG", **options))
    assert picture.mode == "RGB"
    assert [picture.getpixel((x, 0)) for x in range(2)] == expected


def test_cmyk() -> None:
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    red, green, blue = open_picture(encode(cyan, "JPEG", quality=95)).getpixel((4, 4))
    assert red < 10
    assert min(green, blue) > 245


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_first_frame_of_an_animation(file_format: str) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("lime", "red")]
    data = encode(frames[0], file_format, save_all=True, append_images=frames[1:], lossless=True)
    assert open_picture(data).getpixel((4, 4)) == (0, 255, 0)


def test_byte_bound_is_checked_before_reading(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(encode(noise(), "PNG"))
    size = file.stat().st_size
    assert open_picture(file, max_bytes=size).size == (40, 30)
    with pytest.raises(PictureError, match="bytes, more than"):
        open_picture(file.read_bytes(), max_bytes=size - 1)
    with pytest.raises(PictureError, match="bytes, more than"):
        open_picture(file, max_bytes=size - 1)
    # More than fits in memory, and next to nothing on the disk.
    os.truncate(file, 1 << 40)
    with pytest.raises(PictureError, match="1,099,511,627,776 bytes, more than 33,554,432"):
        open_picture(file)


@pytest.mark.parametrize(
    ("data", "seconds"),
    [(many_scans(300), 0.2), (png_with(chunk(b"aaAa", b"") * 150_000), 0.1)],
    ids=["scans of a JPEG", "chunks of a PNG"],
)
def test_time_bound(data: bytes, seconds: float) -> None:
    started = time.monotonic()
    open_picture(data, max_seconds=math.inf)
    unbounded = time.monotonic() - started
    started = time.monotonic()
    with pytest.raises(PictureError, match=rf"^not decoded within {seconds} seconds$"):
        open_picture(data, max_seconds=seconds)
    assert time.monotonic() - started < unbounded / 2


BOMB = zlib.compress(bytes(100 << 20))


@pytest.mark.parametrize("last", [False, True], ids=["before the pixels", "after them"])
@pytest.mark.parametrize(
    ("kind", "head"),
    [(b"iCCP", b"x\0\0"), (b"zTXt", b"x\0\0"), (b"iTXt", b"x\0\1\0\0\0")],
)
def test_compressed_bombs_beside_the_pixels(kind: bytes, head: bytes, last: bool) -> None:
    data = png_with(chunk(kind, head + BOMB), last=last)
    tracemalloc.start()
    with pytest.raises(PictureError, match="^damaged: Decompressed data too large"):
        open_picture(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


def test_many_small_bombs() -> None:
    with pytest.raises(PictureError, match="^damaged: Too much memory used in text chunks"):
        open_picture(png_with(chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(1 << 20))) * 80))


@pytest.mark.filterwarnings("ignore:Tag data larger", "ignore:Corrupt EXIF")
@pytest.mark.parametrize(
    "data",
    [
        jpeg_with_exif((0x112, 3, 2**32 - 1, 8)),
        jpeg_with_exif((0x112, 2, 4, 2**32 - 16)),
        jpeg_with_exif((0x112, 3, 1, 99)),
        jpeg_with_exif((0x8769, 4, 1, 8)),
        jpeg_with_exif(*[(0x112, 3, 2**31 - 1, 8)] * 5000),
        jpeg_with_exif(start=2**32 - 16),
        png_with(chunk(b"iCCP", b"x\0\0" + zlib.compress(b"no profile"))),
    ],
    ids=["count", "offset", "orientation 99", "loop", "many entries", "start", "profile"],
)
def test_absurd_metadata_leaves_the_picture_as_it_is(data: bytes) -> None:
    assert open_picture(data, max_seconds=5).size == (40, 30)


@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 1), (101, 1), (2, 201)])
def test_too_long_and_thin(size: tuple[int, int]) -> None:
    with pytest.raises(PictureError, match=r"pixels, one side more than 100 times the other"):
        open_picture(encode(Image.new("RGB", size), "PNG"))


@pytest.mark.parametrize("size", [(1, 1), (1, 100), (200, 2)])
def test_small_and_thin(size: tuple[int, int]) -> None:
    picture = open_picture(encode(Image.new("RGB", size, "red"), "PNG"))
    assert picture.size == size
    with Image.open(BytesIO(thumbnail(picture))) as small:
        assert max(small.size) == min(max(size), 96)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9_000, 12_000, 60_000])
def test_pixel_bound_is_checked_before_decoding(side: int) -> None:
    # Decoding would find the pixels missing and complain of that.
    with pytest.raises(PictureError, match="pixels"):
        open_picture(png_header(side, side))


def test_pixel_bound() -> None:
    data = encode(noise(40, 30), "PNG")
    assert open_picture(data, max_pixels=1200).size == (40, 30)
    with pytest.raises(PictureError, match="40 x 30 pixels, more than 1,199"):
        open_picture(data, max_pixels=1199)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated(file_format: str, share: float) -> None:
    data = encode(noise(), file_format)
    with pytest.raises(PictureError):
        open_picture(data[: int(len(data) * share)])


def test_empty() -> None:
    with pytest.raises(PictureError, match="empty file"):
        open_picture(b"")


def test_only_regular_files(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="cannot be read"):
        open_picture(tmp_path)
    with pytest.raises(PictureError, match="cannot be read"):
        open_picture(tmp_path / "absent.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_named_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "a.png"
    os.mkfifo(pipe)
    with pytest.raises(PictureError, match="not a regular file"):
        open_picture(pipe)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="the system has no such sockets")
def test_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The address of a socket may have some hundred bytes only.
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("a.png")
        with pytest.raises(PictureError, match="cannot be read"):
            open_picture(tmp_path / "a.png")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="the system has no such device")
def test_device(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("/dev/zero")
    with pytest.raises(PictureError, match="not a regular file"):
        open_picture(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
@pytest.mark.parametrize("text", ["just words", "<!DOCTYPE html><html><body>404</body></html>"])
def test_text_named_as_a_picture(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(PictureError, match="not a JPEG, PNG, WEBP picture"):
        open_picture(tmp_path / name)


PICTURES = [encode(noise(), file_format) for file_format in ("JPEG", "PNG", "WEBP")]


@settings(max_examples=150, deadline=None)
@given(
    data=st.sampled_from(PICTURES),
    changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=8),
    end=st.integers(0, 4000),
)
def test_damage_gives_a_picture_or_a_reason(
    data: bytes, changes: list[tuple[int, int]], end: int
) -> None:
    damaged = bytearray(data)
    for position, value in changes:
        damaged[position % len(damaged)] = value
    try:
        picture = open_picture(bytes(damaged[:end]))
    except PictureError:
        return
    assert picture.mode == "RGB"


@given(stem=st.text(min_size=1), extension=st.sampled_from(["jpg", "JPEG", "Png", "webp"]))
def test_picture_id_strips_one_extension(stem: str, extension: str) -> None:
    stem += "x"
    assert picture_id(f"{stem}.{extension}") == stem


@pytest.mark.parametrize("name", ["16_05_01_113", "a.gif", "a.b", "jpg", "folder/.jpg", ""])
def test_picture_id_keeps_the_rest(name: str) -> None:
    assert picture_id(name) == name


def test_thumbnail() -> None:
    picture = noise(300, 150)
    with Image.open(BytesIO(thumbnail(picture))) as small:
        assert small.format == "WEBP"
        assert small.size == (96, 48)
    assert picture.size == (300, 150)
    with Image.open(BytesIO(thumbnail(noise(20, 10)))) as small:
        assert small.size == (20, 10)
