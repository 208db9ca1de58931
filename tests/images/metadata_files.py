"""Image files with IPTC and XMP, for tests."""

from __future__ import annotations

from io import BytesIO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

NAMESPACES = """xmlns:x="adobe:ns:meta/" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
"""
UTF_8 = ((1, 90), b"\x1b%G")


def encode(file_format: str = "JPEG", **options: object) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (8, 8), "lime").save(buffer, file_format, **options)
    return buffer.getvalue()


def iptc(*fields: tuple[tuple[int, int], bytes]) -> bytes:
    return b"".join(
        bytes([0x1C, *tag]) + len(value).to_bytes(2, "big") + value for tag, value in fields
    )


def with_iptc(data: bytes, file: bytes | None = None) -> bytes:
    """Put IPTC into a JPEG file, by default a new one, in the segment that Photoshop writes."""
    resource = b"8BIM\x04\x04\0\0" + len(data).to_bytes(4, "big") + data + b"\0" * (len(data) % 2)
    segment = b"Photoshop 3.0\0" + resource
    size = (len(segment) + 2).to_bytes(2, "big")
    file = file or encode()
    return file[:2] + b"\xff\xed" + size + segment + file[2:]


def xmp(content: str, attributes: str = "") -> bytes:
    """XMP with a description that has this content."""
    return (
        f'<x:xmpmeta {NAMESPACES}><rdf:RDF><rdf:Description rdf:about="" {attributes}>{content}'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def with_xmp(data: bytes, file_format: str = "JPEG") -> bytes:
    if file_format == "PNG":
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", data.decode())
        return encode("PNG", pnginfo=info)
    return encode(file_format, xmp=data)
