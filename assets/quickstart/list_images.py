"""Write images.tsv: the OpenMoji images that the quickstart uses, with ids and names.

The names are Unicode's English short names, from the `emoji` package. The images that OpenMoji adds
to Unicode's are named by hand in source/extras.tsv. Skin-tone variants are left out, and so are
OpenMoji's additions without a name there. The table is committed, so that another version of the
package cannot change an id. Run this script again only to change the selection.
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
from render_images import svg_folder
from tables import IMAGES, SOURCE, QuickstartImage, write_text
from vocabulary import read_groups

SKIN_TONES = range(0x1F3FB, 0x1F3FF + 1)
VARIATION_SELECTOR = 0xFE0F


def list_images() -> list[QuickstartImage]:
    """List the images, sorted by the name of their SVG.

    Raises:
        ValueError: If source/captions.txt names an image that does not exist.
    """
    groups = {thing.name: group.name for group in read_groups() for thing in group.things}
    named = {
        _without_selectors(map(ord, character)): (character, _plain_name(data["en"]))
        for character, data in emoji.EMOJI_DATA.items()
        if data["status"] == emoji.STATUS["fully_qualified"]
    }
    extras = dict(_read_rows(SOURCE / "extras.tsv"))
    images = []
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
        images.append(QuickstartImage(f"{svg}-{_slug(name)}", svg, character, name, group))
    if groups:
        raise ValueError(f"source/captions.txt names images that do not exist: {list(groups)}.")
    return images


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


def main(out: Path = IMAGES) -> None:
    """Write the table of images to OUT."""
    table = io.StringIO()
    writer = csv.writer(table, delimiter="\t", lineterminator="\n")
    writer.writerow(QuickstartImage.__dataclass_fields__)
    writer.writerows(vars(image).values() for image in list_images())
    write_text(out, table.getvalue())


if __name__ == "__main__":
    typer.run(main)
