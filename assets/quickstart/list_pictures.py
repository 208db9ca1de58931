"""Write pictures.tsv: the pictures of OpenMoji that the quickstart uses, with ids and names.

The names are those of the `emoji` package (Unicode's English short names); the pictures that
OpenMoji adds to Unicode's are named by hand in source/extras.tsv. Skin-tone variants are left out,
and so are OpenMoji's additions that have no name there. The table is committed, so that no other
version of the package changes an id; run this again only to change the choice of pictures.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import emoji
import typer
from render_pictures import svg_folder
from tables import PICTURES, SOURCE, Picture, write_text
from vocabulary import read_groups

SKIN_TONES = range(0x1F3FB, 0x1F3FF + 1)
VARIATION_SELECTOR = 0xFE0F


def list_pictures() -> list[Picture]:
    """List the pictures, sorted by their SVG's name.

    raises ValueError: where source/captions.txt names a picture that there is not.
    """
    groups = {thing.name: group.name for group in read_groups() for thing in group.things}
    named = {
        _without_selectors(map(ord, character)): (character, _plain_name(data["en"]))
        for character, data in emoji.EMOJI_DATA.items()
        if data["status"] == emoji.STATUS["fully_qualified"]
    }
    extras = dict(_read_rows(SOURCE / "extras.tsv"))
    pictures = []
    for path in sorted(svg_folder().glob("*.svg")):
        svg = path.stem
        points = [int(point, 16) for point in svg.split("-")]
        if svg in extras:
            character, name = "", extras[svg]
        elif _without_selectors(points) in named and not set(points) & set(SKIN_TONES):
            character, name = named[_without_selectors(points)]
        else:
            continue
        group = groups.pop(name, "other")
        pictures.append(Picture(f"{svg}-{_slug(name)}", svg, character, name, group))
    if groups:
        raise ValueError(f"source/captions.txt names pictures that there are not: {list(groups)}.")
    return pictures


def _without_selectors(points: Iterable[int]) -> tuple[int, ...]:
    return tuple(point for point in points if point != VARIATION_SELECTOR)


def _plain_name(alias: str) -> str:
    return alias.strip(":").replace("_", " ").replace("’", "'")


def _slug(name: str) -> str:
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_name.replace("'", "")).strip("-") or "sign"


def _read_rows(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [(svg, name) for svg, name in csv.reader(file, delimiter="\t")]


def main(out: Path = PICTURES) -> None:
    """Write the table of pictures to OUT."""
    table = io.StringIO()
    writer = csv.writer(table, delimiter="\t", lineterminator="\n")
    writer.writerow(Picture.__dataclass_fields__)
    writer.writerows(vars(picture).values() for picture in list_pictures())
    write_text(out, table.getvalue())


if __name__ == "__main__":
    typer.run(main)
