from __future__ import annotations

import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_vokens.images.decode import ImageError
from spacy_vokens.images.metadata import (
    MAX_XMP_BYTES,
    read_iptc,
    read_xmp,
    require_xmp_parser,
)
from tests.images.metadata_files import NAMESPACES, UTF_8, encode, iptc, with_iptc, with_xmp, xmp

IPTC = iptc(
    UTF_8,
    ((2, 25), b"dog"),
    ((2, 25), "Strände".encode()),
    ((2, 25), b""),
    ((2, 5), b"Dog 17"),
    ((2, 80), b"the photographer"),
    ((2, 105), b"Dog days"),
    ((2, 120), b"A dog on the beach."),
)
XMP = xmp(
    """<dc:subject><rdf:Bag><rdf:li>dog</rdf:li><rdf:li>beach</rdf:li></rdf:Bag></dc:subject>
    <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Dog 17</rdf:li></rdf:Alt></dc:title>
    <dc:description><rdf:Alt><rdf:li xml:lang="x-default">A dog.</rdf:li>
    <rdf:li xml:lang="de">Ein Hund am Stränd.</rdf:li></rdf:Alt></dc:description>
    <dc:creator><rdf:Seq><rdf:li>the photographer</rdf:li></rdf:Seq></dc:creator>""",
    'photoshop:Headline="Dog days"',
)


def test_iptc() -> None:
    found = ["A dog on the beach.", "Dog days", "Dog 17", "dog", "Strände"]
    assert read_iptc(with_iptc(IPTC)) == found


def test_iptc_is_latin_1_unless_it_says_otherwise() -> None:
    assert read_iptc(with_iptc(iptc(((2, 120), "Strände".encode("latin-1"))))) == ["Strände"]
    with pytest.raises(ImageError, match=r"damaged IPTC: .*utf-8"):
        read_iptc(with_iptc(iptc(UTF_8, ((2, 120), "Strände".encode("latin-1")))))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_xmp(file_format: str) -> None:
    found = ["A dog.", "Ein Hund am Stränd.", "Dog 17", "Dog days", "dog", "beach"]
    assert read_xmp(with_xmp(XMP, file_format)) == found


@pytest.mark.parametrize(
    "content",
    [
        "<dc:description>A dog.</dc:description>",
        '<dc:description xml:lang="en">A dog.</dc:description>',
        "<dc:title/></rdf:Description><rdf:Description><dc:title>A dog.</dc:title>",
        "<dc:subject><rdf:Seq><rdf:li/><rdf:li>A dog.</rdf:li></rdf:Seq></dc:subject>",
    ],
)
def test_other_forms_of_xmp(content: str) -> None:
    assert read_xmp(with_xmp(xmp(content))) == ["A dog."]
    bare = xmp(content).decode().partition("<rdf:RDF>")[2].removesuffix("</x:xmpmeta>")
    assert read_xmp(with_xmp(f"<rdf:RDF {NAMESPACES}>{bare}".encode())) == ["A dog."]


def test_images_without_metadata() -> None:
    for file_format in ("JPEG", "PNG", "WEBP"):
        assert read_iptc(encode(file_format)) == []
        assert read_xmp(encode(file_format)) == []
    assert read_xmp(with_xmp(b"<svg/>")) == []
    assert read_xmp(with_xmp(b"<RDF>text</RDF>")) == []


@pytest.mark.parametrize(
    "data",
    [
        b"\x1c\x02\x78\xff\xff",
        b"\x1c\x02\x78\x85\0",
        b"\x1c\x63\x02\0\x01a",
        b"nothing of the kind",
    ],
)
def test_damaged_iptc(data: bytes) -> None:
    with pytest.raises(ImageError, match="damaged IPTC"):
        read_iptc(with_iptc(data))


BOMB = b'<!DOCTYPE a [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><RDF>&b;</RDF>'
OTHER_FILE = b'<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]><RDF>&a;</RDF>'


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (XMP[:-9], "damaged XMP"),
        (b"nothing of the kind", "damaged XMP"),
        (BOMB, "damaged XMP: EntitiesForbidden"),
        (OTHER_FILE, "damaged XMP: EntitiesForbidden"),
        (b"<a>" * 100_000 + b"</a>" * 100_000, "damaged XMP: maximum recursion depth"),
        (b" " * (MAX_XMP_BYTES + 1), "more than 1,048,576 bytes of XMP"),
    ],
    ids=["cut", "text", "bomb", "file", "nested", "long"],
)
def test_damaged_and_hostile_xmp(data: bytes, message: str) -> None:
    started = time.thread_time()
    with pytest.raises(ImageError, match=message):
        read_xmp(with_xmp(data, "WEBP"))
    assert time.thread_time() - started < 10


@settings(max_examples=60, deadline=None)
@given(
    edits=st.lists(st.tuples(st.integers(0, 2**12), st.integers(0, 255)), min_size=1, max_size=5)
)
def test_damage_gives_texts_or_a_reason(edits: list[tuple[int, int]]) -> None:
    for read, data in ((read_iptc, with_iptc(IPTC)), (read_xmp, with_xmp(XMP))):
        damaged = bytearray(data)
        for position, value in edits:
            damaged[position % len(damaged)] = value
        try:
            texts = read(bytes(damaged))
        except ImageError:
            continue
        assert all(isinstance(text, str) for text in texts)


def test_missing_defusedxml_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    require_xmp_parser()
    monkeypatch.setitem(sys.modules, "defusedxml", None)
    monkeypatch.delitem(sys.modules, "defusedxml.ElementTree", raising=False)
    with pytest.raises(ImportError, match=r"needs defusedxml: install 'spacy-vokens\[pools\]'"):
        require_xmp_parser()
