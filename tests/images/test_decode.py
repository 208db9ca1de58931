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

from spacy_vokens.images.decode import ImageError, open_image, read_image, thumbnail


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
        image = open_image(source)
        assert image.mode == "RGB"
        assert image.size == (12, 7)
        assert np.abs(np.asarray(image).astype(int) - (200, 30, 60)).max() <= 4


@pytest.mark.parametrize("file_format", ["GIF", "BMP", "TIFF", "AVIF"])
def test_other_formats_are_refused_by_name(file_format: str) -> None:
    with pytest.raises(ImageError, match=f"JPEG, PNG or WebP image, but {file_format}: convert it"):
        open_image(encode(Image.new("RGB", (4, 4)), file_format))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0", "HEIF"),
        (b"MM\0*\0\0\0\x08", "TIFF"),
        (b"%PDF-1.7", "PDF"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    ],
)
def test_formats_that_pillow_cannot_write_are_refused_by_name(data: bytes, name: str) -> None:
    with pytest.raises(ImageError, match=f"image, but {name}: convert it"):
        open_image(data)


def test_orientation() -> None:
    # Left half red, right half blue; orientation 6 asks for a quarter turn clockwise.
    image = Image.new("RGB", (32, 16), "blue")
    image.paste("red", (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6
    image = open_image(encode(image, "PNG", exif=exif.tobytes()))
    assert image.size == (16, 32)
    assert image.getpixel((8, 4)) == (255, 0, 0)
    assert image.getpixel((8, 28)) == (0, 0, 255)


def palette_image() -> Image.Image:
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
        (palette_image(), {}, [(10, 20, 30), (40, 50, 60)]),
        (palette_image(), {"transparency": 0}, [(255,) * 3, (40, 50, 60)]),
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
    image = open_image(encode(image, "PNG", **options))
    assert image.mode == "RGB"
    assert [image.getpixel((x, 0)) for x in range(2)] == expected


def test_cmyk() -> None:
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    red, green, blue = open_image(encode(cyan, "JPEG", quality=95)).getpixel((4, 4))
    assert red < 10
    assert min(green, blue) > 245


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_first_frame_of_an_animation(file_format: str) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("lime", "red")]
    data = encode(frames[0], file_format, save_all=True, append_images=frames[1:], lossless=True)
    assert open_image(data).getpixel((4, 4)) == (0, 255, 0)


def test_byte_bound(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(encode(noise(), "PNG"))
    size = file.stat().st_size
    for source in (file, file.read_bytes()):
        assert open_image(source, max_bytes=size).size == (40, 30)
        with pytest.raises(ImageError, match=f"more than {size - 1:,} bytes"):
            open_image(source, max_bytes=size - 1)


def test_no_more_than_the_byte_bound_is_read(tmp_path: Path) -> None:
    huge = tmp_path / "huge.jpg"
    with huge.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ImageError, match="more than 33,554,432 bytes"):
        read_image(huge)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9_000, 12_000, 60_000])
def test_pixel_bound_is_checked_before_decoding(side: int) -> None:
    # Decoding would find the pixels missing and complain of that.
    with pytest.raises(ImageError, match="pixels"):
        open_image(png_header(side, side))


def test_pixel_bound() -> None:
    data = encode(noise(40, 30), "PNG")
    assert open_image(data, max_pixels=1200).size == (40, 30)
    with pytest.raises(ImageError, match="40 x 30 pixels, more than 1,199"):
        open_image(data, max_pixels=1199)


@pytest.mark.parametrize("size", [(1, 1), (1, 100), (100, 1), (3, 300)])
def test_small_and_long_images(size: tuple[int, int]) -> None:
    image = open_image(encode(Image.new("RGB", size), "PNG"))
    assert image.size == size
    assert max(Image.open(BytesIO(thumbnail(image))).size) <= 96


@pytest.mark.parametrize("size", [(1, 101), (20_000, 1), (3, 301)])
def test_ratio_bound(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="one side more than 100 times the other"):
        open_image(encode(Image.new("RGB", size), "PNG"))


def test_time_bound() -> None:
    """A progressive JPEG whose last scan, a few bytes, is repeated: each costs a whole pass."""
    data = encode(Image.new("L", (2000, 2000), 128), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    scan = data[start:-2]
    assert len(scan) < 40

    def seconds_for(repeats: int, **options: float) -> float:
        started = time.thread_time()
        open_image(data[:start] + scan * repeats + data[-2:], **options)
        return time.thread_time() - started

    # Twenty thousand would fit into a file of half a megabyte.
    assert 20_000 * (seconds_for(201) - seconds_for(1)) / 200 > 20
    started = time.thread_time()
    with pytest.raises(ImageError, match=r"takes more than 0\.2 seconds"):
        seconds_for(20_000, max_seconds=0.2)
    assert time.thread_time() - started < 2


def test_time_bound_on_headers() -> None:
    with pytest.raises(ImageError, match=r"takes more than 0\.2 seconds"):
        open_image(b"\xff\xd8" + b"\xff" * 8_000_000, max_seconds=0.2)


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
    with pytest.raises(ImageError, match="Decompressed data too large"):
        open_image(data)
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
def test_absurd_exif_leaves_the_image_as_it_is(exif: bytes) -> None:
    assert open_image(png_with(b"eXIf", exif)).tobytes() == noise(4, 4).tobytes()


def test_what_is_not_even_exif_is_a_reason() -> None:
    with pytest.raises(ImageError, match="damaged: not a TIFF file"):
        open_image(png_with(b"eXIf", b"no EXIF"))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_colour_profile_is_passed_over(file_format: str) -> None:
    plain = open_image(encode(noise(), file_format))
    with_profile = open_image(encode(noise(), file_format, icc_profile=bytes(60_000)))
    assert with_profile.tobytes() == plain.tobytes()


def test_only_the_first_of_many_frames_is_decoded() -> None:
    frames = [Image.new("RGB", (200, 200), (i, 0, 0)) for i in range(200)]
    data = encode(frames[0], "PNG", save_all=True, append_images=frames[1:])
    # Whatever follows the first frame may be missing.
    assert open_image(data[: data.index(b"fdAT") - 4]).getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize("text", [b"not an image", b"<!DOCTYPE html><html><body></body></html>"])
def test_text_is_no_image(text: bytes) -> None:
    with pytest.raises(ImageError, match="not a JPEG, PNG or WebP image$"):
        open_image(text)


def test_an_error_without_words_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(image: Image.Image) -> None:
        raise MemoryError

    monkeypatch.setattr(PngImageFile, "load", fail)
    with pytest.raises(ImageError, match="damaged: MemoryError"):
        open_image(IMAGES[1])


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated(file_format: str, share: float) -> None:
    data = encode(noise(), file_format)
    with pytest.raises(ImageError):
        open_image(data[: int(len(data) * share)])


def test_empty() -> None:
    with pytest.raises(ImageError, match="empty file"):
        open_image(b"")


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.png"):
        with pytest.raises(ImageError, match="cannot be read"):
            open_image(path)


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
    with pytest.raises(ImageError, match=r"not a regular file|cannot be read"):
        open_image(Path("a.png"))


IMAGES = [encode(noise(), file_format) for file_format in ("JPEG", "PNG", "WEBP")]


@settings(max_examples=150)
@given(
    data=st.sampled_from(IMAGES),
    changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=8),
    end=st.integers(0, 4000),
)
def test_damage_gives_an_image_or_a_reason(
    data: bytes, changes: list[tuple[int, int]], end: int
) -> None:
    damaged = bytearray(data)
    for position, value in changes:
        damaged[position % len(damaged)] = value
    try:
        image = open_image(bytes(damaged[:end]))
    except ImageError:
        return
    assert image.mode == "RGB"


def test_thumbnail() -> None:
    image = noise(300, 150)
    with Image.open(BytesIO(thumbnail(image))) as small:
        assert small.format == "WEBP"
        assert small.size == (96, 48)
    assert image.size == (300, 150)
    with Image.open(BytesIO(thumbnail(noise(20, 10)))) as small:
        assert small.size == (20, 10)


def test_links_that_lead_out_of_the_folder(tmp_path: Path) -> None:
    root = (tmp_path / "root").resolve()
    root.mkdir()
    (root / "a.jpg").write_bytes(b"inside")
    (root / "inside.jpg").symlink_to("a.jpg")
    assert read_image(root / "inside.jpg", root=root) == b"inside"
    (tmp_path / "secret.jpg").write_bytes(b"outside")
    (root / "outside.jpg").symlink_to("../secret.jpg")
    (root / "up").symlink_to("..")
    for name in ("outside.jpg", "up/secret.jpg"):
        with pytest.raises(ImageError, match="a link that leads out of the folder"):
            read_image(root / name, root=root)
        assert read_image(root / name) == b"outside"
    (root / "ring.jpg").symlink_to("ring.jpg")
    for name in ("absent.jpg", "ring.jpg"):
        with pytest.raises(ImageError, match="cannot be read"):
            read_image(root / name, root=root)
