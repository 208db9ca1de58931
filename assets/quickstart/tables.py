"""The table of the quickstart's images, a fixed random order, and writing text files."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

from spacy_vokens.files import file_written_aside

HERE = Path(__file__).parent
SOURCE = HERE / "source"
IMAGES = HERE / "images.tsv"


@dataclass(frozen=True)
class QuickstartImage:
    """An image of the quickstart.

    Attributes:
        id: The stem of its file: code points and name, for instance "1F983-turkey".
        svg: The stem of its SVG in OpenMoji.
        emoji: The character, or "" if Unicode has none.
        name: Its name, which is unique.
        group: Its group in source/captions.txt, or "other".
    """

    id: str
    svg: str
    emoji: str
    name: str
    group: str


def read_images(path: Path = IMAGES) -> list[QuickstartImage]:
    """Read the table of images."""
    with path.open(encoding="utf-8", newline="") as file:
        return [QuickstartImage(**row) for row in csv.DictReader(file, delimiter="\t")]


def image_ids(images: list[QuickstartImage]) -> dict[str, str]:
    """Map the names of images to their ids."""
    return {image.name: image.id for image in images}


def draw(*key: str | int) -> str:
    """Return a sort key for a random order that does not depend on the version of any library."""
    return hashlib.sha256("\t".join(map(str, key)).encode()).hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file under a temporary name and rename it."""
    with file_written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8", newline="\n")
