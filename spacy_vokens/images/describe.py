"""Give the images of a pool their texts: captions, file names, and the files' metadata."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

from tqdm import tqdm

from ..files import VokensError
from ..identity import describe_lookalike
from .decode import ImageError, read_image
from .metadata import read_iptc, read_xmp, require_xmp_parser
from .pool import ImageRecord
from .texts import join_texts

NAMES, XMP = "names", "xmp"
READERS: dict[str, Callable[[bytes], list[str]]] = {"iptc": read_iptc, XMP: read_xmp}
# Besides captions.
SOURCES = (NAMES, *READERS)
# Images whose metadata wait for a thread at the same time.
BLOCK_IMAGES = 1000

_SEPARATORS = re.compile(r"[\W_]+")
_CODE = re.compile("(?=.*[0-9])[0-9a-fA-F]{4,}")


@dataclass(frozen=True)
class TextReport:
    """Where the texts of a pool's images come from, and what was left out. All are image ids.

    Attributes:
        described: Images that have texts.
        uncaptioned: Images without a caption, if there are captions.
        unknown: Images that have captions, but are not in the pool.
        unreadable: Images with metadata that cannot be read, or that changed after they were
            embedded. They have no texts from there.
        cut: Images with more or longer texts than a pool keeps.
    """

    described: tuple[str, ...]
    uncaptioned: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()


def check_sources(sources: Iterable[str]) -> None:
    """Check that texts can be read from these sources.

    Args:
        sources: Names from `SOURCES`.

    Raises:
        VokensError: If there is no such source.
        ImportError: If a package is missing.
    """
    for source in sources:
        if source not in SOURCES:
            raise VokensError(
                f"There are no texts of the kind {source!r}: choose from {', '.join(SOURCES)}."
            )
    if XMP in sources:
        require_xmp_parser()


def check_captions(captions: Mapping[str, Sequence[str]], ids: Collection[str], path: Path) -> None:
    """Check that at least one caption belongs to an image.

    Args:
        captions: Captions by image id; nothing is checked if there are none.
        ids: The images' ids.
        path: The folder of the images, for the message.

    Raises:
        VokensError: If all captions are those of other images.
    """
    if captions and captions.keys().isdisjoint(ids):
        first = next(iter(captions))
        raise VokensError(
            f"None of the {len(captions):,} images with captions is in {path} (the first: "
            f"{first!r}). An image's id is its path in that folder without the extension."
            + describe_lookalike(captions, ids)
        )


def name_of(id: str) -> str:
    """Return the words of an image's file name.

    The last part of the id is divided at punctuation, blanks and capitals that follow a small
    letter. Codes, which are hexadecimal numbers of at least four digits, and numbers at the end of
    a word are left out: "1F983-turkey" is "turkey", and "animals/BrownBear_02" is "Brown Bear".

    Args:
        id: The image's id.

    Returns:
        The words, with blanks between them; empty if there are none.
    """
    words = []
    for part in _SEPARATORS.split(id.rpartition("/")[2]):
        if part and not _CODE.fullmatch(part):
            starts = [one.islower() and other.isupper() for one, other in pairwise(part)]
            divided = "".join(
                f" {letter}" if start else letter
                for start, letter in zip([False, *starts], part, strict=True)
            )
            words += [word for each in divided.split() if (word := each.rstrip("0123456789"))]
    return " ".join(words)


def describe_images(
    records: Sequence[ImageRecord],
    root: Path,
    *,
    captions: Mapping[str, Sequence[str]],
    sources: Collection[str] = (),
    workers: int = 2,
    progress: bool = False,
) -> tuple[list[ImageRecord], TextReport]:
    """Give images their texts.

    An image's captions come first, then its name, then its metadata. Files are read only for
    metadata.

    Args:
        records: The images.
        root: The folder of their files, resolved.
        captions: Captions by image id.
        sources: Further sources, from `SOURCES`.
        workers: Number of threads that read files.
        progress: Show a progress bar if the output is a terminal and files are read.

    Returns:
        The same images with texts, and a report.
    """
    readers = [reader for source, reader in READERS.items() if source in sources]
    described: list[ImageRecord] = []
    unreadable: list[str] = []
    cut: list[str] = []
    with (
        tqdm(
            desc="Reading metadata",
            unit=" images",
            total=len(records),
            disable=None if progress and readers else True,
        ) as bar,
        ThreadPoolExecutor(max_workers=workers) as executor,
    ):
        read = partial(_read_metadata, root, readers=readers)
        for start in range(0, len(records), BLOCK_IMAGES):
            block = records[start : start + BLOCK_IMAGES]
            found = executor.map(read, block) if readers else (([], True) for _ in block)
            for record, (metadata, is_complete) in zip(block, found, strict=True):
                name = [name_of(record.id)] if NAMES in sources else []
                texts, is_cut = join_texts([*captions.get(record.id, ()), *name, *metadata])
                described.append(replace(record, texts=texts))
                if not is_complete:
                    unreadable.append(record.id)
                if is_cut:
                    cut.append(record.id)
                bar.update()
    ids = dict.fromkeys(record.id for record in records)
    return described, TextReport(
        described=tuple(record.id for record in described if record.texts),
        uncaptioned=tuple(id for id in ids if id not in captions) if captions else (),
        unknown=tuple(id for id in captions if id not in ids),
        unreadable=tuple(unreadable),
        cut=tuple(cut),
    )


def _read_metadata(
    root: Path, record: ImageRecord, *, readers: Iterable[Callable[[bytes], list[str]]]
) -> tuple[list[str], bool]:
    """Read the texts in an image's metadata, and say whether all of it could be read."""
    texts: list[str] = []
    is_complete = True
    try:
        data = read_image(root / record.path, root=root)
    except ImageError:
        return [], False
    # Otherwise the texts would be those of another image than the features.
    if hashlib.sha256(data).hexdigest() != record.sha256:
        return [], False
    for reader in readers:
        try:
            texts += reader(data)
        except ImageError:
            is_complete = False
    return texts, is_complete
