"""Texts in the metadata of an image file: IPTC and XMP, which photo archives and editors write.

IPTC is read from JPEG files, XMP from JPEG, PNG and WebP files.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from PIL import IptcImagePlugin

from .decode import ImageError, open_header

# XML of this size is parsed in about a second. IPTC in a JPEG file cannot have more than 64 KiB.
MAX_XMP_BYTES = 1024 * 1024
# Caption, headline, object name and keywords, by record and dataset.
IPTC_FIELDS = ((2, 120), (2, 105), (2, 5), (2, 25))
IPTC_CHARSET = (1, 90)
IPTC_UTF_8 = b"\x1b%G"
# dc:description, dc:title, photoshop:Headline and dc:subject. Pillow leaves out the namespaces.
XMP_FIELDS = ("description", "title", "Headline", "subject")
XMP_LISTS = ("Alt", "Bag", "Seq")


def require_xmp_parser() -> None:
    """Check that XMP can be read.

    Raises:
        ImportError: If defusedxml is not installed. Pillow parses XML with nothing else, since
            Python's own parsers can be made to use all memory.
    """
    try:
        # All of it, since it is not safe to import for the first time in several threads.
        import defusedxml.ElementTree  # noqa: F401
    except ModuleNotFoundError as error:
        raise ImportError(
            "Reading XMP needs defusedxml: install 'spacy-vokens[pools]', or leave out xmp."
        ) from error


def read_iptc(data: bytes) -> list[str]:
    """Read caption, headline, object name and keywords from the IPTC of an image.

    They are decoded as UTF-8 if the IPTC says so, and as Latin-1 otherwise.

    Args:
        data: The image file.

    Returns:
        The texts as they are stored; empty if there is no IPTC.

    Raises:
        ImageError: If the IPTC is damaged.
    """
    try:
        with open_header(data) as image:
            values = IptcImagePlugin.getiptcinfo(image) or {}
        encoding = "utf-8" if values.get(IPTC_CHARSET) == IPTC_UTF_8 else "latin-1"
        found = [value for field in IPTC_FIELDS for value in _as_list(values.get(field))]
        # A field of no bytes is None.
        return [value.decode(encoding) for value in found if value is not None]
    # Pillow's parsers can raise any error on damaged metadata, even a SyntaxError.
    except Exception as error:
        raise ImageError(f"damaged IPTC: {str(error) or type(error).__name__}") from error


def read_xmp(data: bytes) -> list[str]:
    """Read description, title, headline and subjects from the XMP of an image, in all languages.

    Args:
        data: The image file.

    Returns:
        The texts as they are stored; empty if there is no XMP.

    Raises:
        ImageError: If the XMP is damaged, has more than 1 MiB, or defines entities.
    """
    try:
        with open_header(data) as image:
            if len(image.info.get("xmp", b"")) > MAX_XMP_BYTES:
                raise ImageError(f"more than {MAX_XMP_BYTES:,} bytes of XMP")
            tree = image.getxmp()
        # Some writers leave out the outermost element.
        descriptions = _under(_under([tree, *tree.values()], "RDF"), "Description")
        texts: list[str] = []
        for field in XMP_FIELDS:
            nodes = _under(descriptions, field)
            nodes += [item for kind in XMP_LISTS for item in _under(_under(nodes, kind), "li")]
            # Texts with attributes, such as a language.
            nodes += _under(nodes, "text")
            texts += [node for node in nodes if isinstance(node, str)]
        return texts
    except ImageError:
        raise
    # As above. Nested elements raise a RecursionError.
    except Exception as error:
        raise ImageError(f"damaged XMP: {str(error) or type(error).__name__}") from error


def _under(nodes: Iterable[Any], name: str) -> list[Any]:
    """Return what the nodes have under a name. What a node has several times is a list there."""
    return [
        value
        for node in nodes
        if isinstance(node, dict)
        for value in _as_list(node.get(name))
        if value is not None
    ]


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
