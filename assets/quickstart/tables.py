"""What the quickstart's scripts share: the table of pictures, and writing text files."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

from spacy_vokens.files import file_written_aside

HERE = Path(__file__).parent
SOURCE = HERE / "source"
PICTURES = HERE / "pictures.tsv"


@dataclass(frozen=True)
class Picture:
    """One picture of the quickstart.

    id: the stem of its file, code points and name, for instance "1F983-turkey".
    svg: the stem of its SVG in OpenMoji.
    emoji: the character, or "" where Unicode has none.
    name: what it is called; unique.
    group: its group in source/captions.txt, or "other".
    """

    id: str
    svg: str
    emoji: str
    name: str
    group: str


def read_pictures(path: Path = PICTURES) -> list[Picture]:
    """Read the table of pictures."""
    with path.open(encoding="utf-8", newline="") as file:
        return [Picture(**row) for row in csv.DictReader(file, delimiter="\t")]


def picture_ids(pictures: list[Picture]) -> dict[str, str]:
    """Map the names of pictures to their ids."""
    return {picture.name: picture.id for picture in pictures}


def draw(*key: str | int) -> str:
    """Give a key its place in a random order that no version of any library changes."""
    return hashlib.sha256("\t".join(map(str, key)).encode()).hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file aside and move it into place."""
    with file_written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8", newline="\n")
