from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_vokens.files import sha256_file
from spacy_vokens.images.describe import check_captions, check_sources, describe_images, name_of
from spacy_vokens.images.pool import ImageRecord
from spacy_vokens.images.texts import check_texts, join_texts
from tests.images.metadata_files import iptc, with_iptc, with_xmp, xmp


@pytest.mark.parametrize(
    ("id", "words"),
    [
        ("1F983-turkey", "turkey"),
        ("1F9D1-200D-1F33E-farmer_man", "farmer man"),
        ("animals/1234/BrownBear_02", "Brown Bear"),
        ("a dog.on-the__beach", "a dog on the beach"),
        ("dog2", "dog"),
        ("cafe", "cafe"),
        ("USFlag", "USFlag"),
        ("3f2504e0-4f89-11d3-9a0c-0305e82c3301", ""),
        ("20240131_120000", ""),
        ("IMG_0001", "IMG"),
        ("ÄpfelUndÖl", "Äpfel Und Öl"),
        ("flags/犬", "犬"),
        ("...", ""),
    ],
)
def test_names(id: str, words: str) -> None:
    assert name_of(id) == words


@given(st.text(min_size=1, max_size=40))
def test_any_id_has_a_name_or_none(id: str) -> None:
    texts, _ = join_texts([name_of(id)])
    assert check_texts(texts) == texts


@pytest.fixture
def records(tmp_path: Path) -> list[ImageRecord]:
    """A photo with all metadata, one whose IPTC is damaged, and one without metadata."""
    title = "<dc:title>My dog</dc:title>"
    files = {
        "RedDog": with_iptc(iptc(((2, 25), b"dog"), ((2, 120), b"A  dog.")), with_xmp(xmp(title))),
        "odd": with_iptc(b"\x1c\x63\x02\0\x01a", with_xmp(xmp(title))),
        "plain": with_iptc(b""),
    }
    for name, data in files.items():
        (tmp_path / f"{name}.jpg").write_bytes(data)
    return [
        ImageRecord(name, f"{name}.jpg", sha256_file(tmp_path / f"{name}.jpg"), 8, 8)
        for name in files
    ]


def test_captions_come_first_and_nothing_twice(records: list[ImageRecord], tmp_path: Path) -> None:
    captions = {"RedDog": ("a red dog", "Red Dog"), "absent": ("a cat",)}
    described, report = describe_images(
        records, tmp_path, captions=captions, sources=("xmp", "names", "iptc")
    )
    assert [record.texts for record in described] == [
        ("a red dog", "Red Dog", "A dog.", "dog", "My dog"),
        ("odd", "My dog"),
        ("plain",),
    ]
    assert report.described == ("RedDog", "odd", "plain")
    assert report.uncaptioned == ("odd", "plain")
    assert report.unknown == ("absent",)
    assert report.unreadable == ("odd",)
    assert report.cut == ()


def test_no_texts_unless_asked_for(records: list[ImageRecord], tmp_path: Path) -> None:
    described, report = describe_images(records, tmp_path / "gone", captions={})
    assert described == records
    assert not any(vars(report).values())


def test_files_that_changed_after_they_were_embedded(
    records: list[ImageRecord], tmp_path: Path
) -> None:
    (tmp_path / "RedDog.jpg").write_bytes(with_iptc(iptc(((2, 120), b"A cat."))))
    (tmp_path / "odd.jpg").unlink()
    described, report = describe_images(records, tmp_path, captions={}, sources=["iptc"])
    assert [record.texts for record in described] == [()] * 3
    assert report.unreadable == ("RedDog", "odd")


def test_texts_that_are_cut_are_reported(records: list[ImageRecord], tmp_path: Path) -> None:
    captions = {"odd": ["x" * 1001], "plain": [str(number) for number in range(65)]}
    described, report = describe_images(records, tmp_path, captions=captions)
    assert [len(record.texts) for record in described] == [0, 1, 64]
    assert report.cut == ("odd", "plain")


def test_sources_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="kind 'exif': choose from names, iptc, xmp"):
        check_sources(["names", "exif"])
    monkeypatch.setitem(sys.modules, "defusedxml", None)
    monkeypatch.delitem(sys.modules, "defusedxml.ElementTree", raising=False)
    check_sources(["names", "iptc"])
    with pytest.raises(ImportError, match="defusedxml"):
        check_sources(["xmp"])


def test_captions_of_other_images_only() -> None:
    ids = ["sub/Dog", "cat"]
    check_captions({}, ids, Path("images"))
    check_captions({"cat": ["a cat"], "fish": ["a fish"]}, ids, Path("images"))
    with pytest.raises(ValueError, match=r"None of the 1 images .* in images .* 'dog'\)"):
        check_captions({"dog": ["a dog"]}, ids, Path("images"))
    with pytest.raises(ValueError, match=r"'sub/dog' and 'sub/Dog' differ only in case"):
        check_captions({"sub/dog": ["a dog"]}, ids, Path("images"))
