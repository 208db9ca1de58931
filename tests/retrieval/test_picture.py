from __future__ import annotations

import io

import pytest
from PIL import Image

from spacy_vokens.files import sha256_file
from spacy_vokens.images.decode import PictureError
from spacy_vokens.retrieval.picture import Picture


def encoded(size: tuple[int, int], kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size).save(file, kind)
    return file.getvalue()


def test_file_is_preferred_to_the_thumbnail(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded((30, 20), "PNG"))
    picture = Picture("a", path, sha256_file(path), "here", "CC0-1.0", encoded((3, 2), "WEBP"))
    assert picture.open().size == (30, 20)
    path.unlink()
    assert picture.open().size == (3, 2)
    assert picture.open().mode == "RGB"


def test_thumbnail_serves_where_no_file_is_known():
    assert Picture("a", None, "", "", "", encoded((3, 2), "WEBP")).open().size == (3, 2)


def test_missing_picture_is_named(tmp_path):
    path = tmp_path / "gone.png"
    with pytest.raises(FileNotFoundError, match=r"'a'.*gone\.png"):
        Picture("a", path, "", "", "", None).open()
    with pytest.raises(FileNotFoundError, match="no file is known"):
        Picture("a", None, "", "", "", None).open()


def test_unreadable_file_is_a_picture_error(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"no picture")
    with pytest.raises(PictureError):
        Picture("a", path, sha256_file(path), "", "", None).open()


def test_another_file_in_its_place_is_not_shown(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded((30, 20), "PNG"))
    sha256 = sha256_file(path)
    path.write_bytes(encoded((31, 20), "PNG"))
    assert Picture("a", path, sha256, "", "", encoded((3, 2), "WEBP")).open().size == (3, 2)
    with pytest.raises(FileNotFoundError, match=r"it is not in .*a\.png"):
        Picture("a", path, sha256, "", "", None).open()
