"""Write captions.tsv: sentences about the quickstart's pictures, from source/captions.txt."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import typer
from tables import HERE, draw, picture_ids, read_pictures, write_text
from vocabulary import Group, Thing, fill, read_groups

CAPTIONS_PER_PICTURE = 5
DEV_PER_CENT = 12


def caption_rows() -> Iterator[tuple[str, str, str]]:
    """Yield the rows (image id, split, caption), picture by picture."""
    ids = picture_ids(read_pictures())
    for group in read_groups():
        for thing in group.things:
            for caption in _captions(group, thing):
                yield ids[thing.name], _split(thing), caption


def _captions(group: Group, thing: Thing) -> list[str]:
    sentences = {
        fill(template, thing.phrase, does)
        for template, does in product(group.templates, thing.does or ("",))
    }
    return sorted(sentences, key=lambda sentence: draw(thing.name, sentence))[:CAPTIONS_PER_PICTURE]


def _split(thing: Thing) -> str:
    # Drawn by motif: a running man is no unseen picture after a running woman.
    return "dev" if int(draw("dev split", thing.motif), 16) % 100 < DEV_PER_CENT else "train"


def main(out: Path = HERE) -> None:
    """Write captions.tsv into the folder OUT."""
    rows = [("image", "split", "caption"), *caption_rows()]
    write_text(out / "captions.tsv", "".join("\t".join(row) + "\n" for row in rows))


if __name__ == "__main__":
    typer.run(main)
