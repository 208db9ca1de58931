"""Write captions.tsv: sentences about the quickstart's images, from source/captions.txt."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import typer
from tables import HERE, draw, image_ids, read_images, write_text
from vocabulary import Group, Thing, fill, read_groups

CAPTIONS_PER_IMAGE = 5
DEV_PERCENT = 12


def caption_rows() -> Iterator[tuple[str, str, str]]:
    """Yield the rows (image id, split, caption), sorted by image."""
    ids = image_ids(read_images())
    for group in read_groups():
        for thing in group.things:
            for caption in _captions(group, thing):
                yield ids[thing.name], _split(thing), caption


def _captions(group: Group, thing: Thing) -> list[str]:
    sentences = {
        fill(template, thing.phrase, does)
        for template, does in product(group.templates, thing.does or ("",))
    }
    return sorted(sentences, key=lambda sentence: draw(thing.name, sentence))[:CAPTIONS_PER_IMAGE]


def _split(thing: Thing) -> str:
    # Drawn by motif: after a running woman, a running man would not be an unseen image.
    return "dev" if int(draw("dev split", thing.motif), 16) % 100 < DEV_PERCENT else "train"


def main(out: Path = HERE) -> None:
    """Write captions.tsv to the folder OUT."""
    rows = [("image", "split", "caption"), *caption_rows()]
    write_text(out / "captions.tsv", "".join("\t".join(row) + "\n" for row in rows))


if __name__ == "__main__":
    typer.run(main)
