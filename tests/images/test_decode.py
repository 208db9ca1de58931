from __future__ import annotations

import os
import socket
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from spacy_vokens.images.decode import (
    PictureError,
    open_picture,
    picture_id,
    read_picture,
    thumbnail,
)


def encode(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def noise(width: int = 40, height: int = 30) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces a size and holds next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0")
    chunks = {b"IHDR": header, b"IDAT": data, b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks.items())


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


def test_byte_bound(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(encode(noise(), "PNG"))
    size = file.stat().st_size
    for source in (file, file.read_bytes()):
        assert open_picture(source, max_bytes=size).size == (40, 30)
        with pytest.raises(PictureError, match=f"more than {size - 1:,} bytes"):
            open_picture(source, max_bytes=size - 1)


def test_no_more_than_the_byte_bound_is_read(tmp_path: Path) -> None:
    huge = tmp_path / "huge.jpg"
    with huge.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(PictureError, match="more than 33,554,432 bytes"):
        read_picture(huge)


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


@pytest.mark.parametrize("size", [(1, 1), (1, 100), (100, 1), (3, 300)])
def test_small_and_long_pictures(size: tuple[int, int]) -> None:
    picture = open_picture(encode(Image.new("RGB", size), "PNG"))
    assert picture.size == size
    assert max(Image.open(BytesIO(thumbnail(picture))).size) <= 96


@pytest.mark.parametrize("size", [(1, 101), (20_000, 1), (3, 301)])
def test_ratio_bound(size: tuple[int, int]) -> None:
    with pytest.raises(PictureError, match="one side more than 100 times the other"):
        open_picture(encode(Image.new("RGB", size), "PNG"))


def test_time_bound() -> None:
    """A progressive JPEG whose last scan, a few bytes, is repeated: each costs a whole pass."""
    data = encode(Image.new("L", (2000, 2000), 128), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    scan = data[start:-2]
    assert len(scan) < 40

    def seconds_for(repeats: int, **options: float) -> float:
        started = time.thread_time()
        open_picture(data[:start] + scan * repeats + data[-2:], **options)
        return time.thread_time() - started

    # Twenty thousand would fit into a file of half a megabyte.
    assert 20_000 * (seconds_for(201) - seconds_for(1)) / 200 > 20
    started = time.thread_time()
    with pytest.raises(PictureError, match=r"takes more than 0\.2 seconds"):
        seconds_for(20_000, max_seconds=0.2)
    assert time.thread_time() - started < 2


def test_time_bound_on_headers() -> None:
    with pytest.raises(PictureError, match=r"takes more than 0\.2 seconds"):
        open_picture(b"\xff\xd8" + b"\xff" * 8_000_000, max_seconds=0.2)


def png_with(kind: bytes, data: bytes) -> bytes:
    plain = encode(noise(4, 4), "PNG")
    end_of_header = plain.index(b"IDAT") - 4
    return plain[:end_of_header] + png_chunk(kind, data) + plain[end_of_header:]


@pytest.mark.parametrize(
    ("kind", "start"), [(b"iCCP", b"x\0\0"), (b"zTXt", b"x\0\0"), (b"iTXt", b"x\0\1\0\0\0")]
)
def test_compressed_metadata_is_bounded(kind: bytes, start: bytes) -> None:
    data = png_with(kind, start + zlib.compress(bytes(200_000_000)))
    tracemalloc.start()
    with pytest.raises(PictureError, match="Decompressed data too large"):
        open_picture(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def exif_entries(n: int, *, tag: int = 0x0112, count: int = 1, value: int = 6) -> bytes:
    entry = struct.pack("<HHII", tag, 3, count, value)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", n % 2**16) + entry * n + bytes(4)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"II*\0\xf0\xff\xff\xff",
        exif_entries(1, count=0xFFFFFFFF),
        exif_entries(1, tag=0x8769, value=8),
        exif_entries(1, value=99),
        exif_entries(60_000, count=0xFFFFFFFF, value=0xFFFFFFF0),
    ],
    ids=["empty", "offset", "count", "own-child", "orientation-99", "entries"],
)
def test_absurd_exif_leaves_the_picture_as_it_is(exif: bytes) -> None:
    assert open_picture(png_with(b"eXIf", exif)).tobytes() == noise(4, 4).tobytes()


def test_what_is_not_even_exif_is_a_reason() -> None:
    with pytest.raises(PictureError, match="damaged: not a TIFF file"):
        open_picture(png_with(b"eXIf", b"no EXIF"))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_colour_profile_is_passed_over(file_format: str) -> None:
    plain = open_picture(encode(noise(), file_format))
    with_profile = open_picture(encode(noise(), file_format, icc_profile=bytes(60_000)))
    assert with_profile.tobytes() == plain.tobytes()


def test_only_the_first_of_many_frames_is_decoded() -> None:
    frames = [Image.new("RGB", (200, 200), (i, 0, 0)) for i in range(200)]
    data = encode(frames[0], "PNG", save_all=True, append_images=frames[1:])
    # Whatever follows the first frame may be missing.
    assert open_picture(data[: data.index(b"fdAT") - 4]).getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize("text", [b"not a picture", b"<!DOCTYPE html><html><body></body></html>"])
def test_text_is_no_picture(text: bytes) -> None:
    with pytest.raises(PictureError, match="not a JPEG, PNG, WEBP picture"):
        open_picture(text)


def test_an_error_without_words_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(image: Image.Image) -> None:
        raise MemoryError

    monkeypatch.setattr(PngImageFile, "load", fail)
    with pytest.raises(PictureError, match="damaged: MemoryError"):
        open_picture(PICTURES[1])


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated(file_format: str, share: float) -> None:
    data = encode(noise(), file_format)
    with pytest.raises(PictureError):
        open_picture(data[: int(len(data) * share)])


def test_empty() -> None:
    with pytest.raises(PictureError, match="empty file"):
        open_picture(b"")


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.png"):
        with pytest.raises(PictureError, match="cannot be read"):
            open_picture(path)


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def make_device_link(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX's kinds of files")
@pytest.mark.parametrize("make", [make_pipe, make_socket, make_device_link])
def test_only_regular_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    # A socket's path may not be long.
    monkeypatch.chdir(tmp_path)
    make(Path("a.png"))
    with pytest.raises(PictureError, match=r"not a regular file|cannot be read"):
        open_picture(Path("a.png"))


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
