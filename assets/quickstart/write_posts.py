"""Write train.txt, valid.txt and test.txt: tagged posts in CoNLL form, from source/posts-*.txt."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import spacy
import typer
from spacy.language import Language
from tables import HERE, SOURCE, draw, image_ids, read_images, write_text

SIZES = {"train": 620, "valid": 150, "test": 150}

NAMES = re.compile(r"(?P<slot>\w+) \((?P<type>PER|LOC|ORG|MISC)\): (?P<names>.+)")
SLOT = re.compile(r"\{(?P<slot>[a-z]+?)2?\}")
ENTITY = re.compile(r"\[(?P<type>PER|LOC|ORG|MISC) (?P<words>[^\]]+)\]")


@dataclass
class NameList:
    """The names that can fill a slot. All are used about equally often.

    Attributes:
        type: Their entity type.
        names: The names.
    """

    type: str
    names: list[str]
    _taken: int = 0

    def take(self, *, unlike: str) -> str:
        """Return the next name that does not occur in the text `unlike`."""
        while True:
            name = self.names[self._taken % len(self.names)]
            self._taken += 1
            if name not in unlike:
                return name


@dataclass
class Source:
    """A file of hand-written posts.

    Attributes:
        lists: The names by slot.
        lines: The sentences and patterns, each with the names of images that fit it.
    """

    lists: dict[str, NameList] = field(default_factory=dict)
    lines: list[tuple[str, list[str]]] = field(default_factory=list)


def read_source(path: Path) -> Source:
    """Read a file of posts. The comment at its top describes the format."""
    source = Source()
    topic: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line in ("", "#") or line.startswith("# "):
            continue
        if match := NAMES.fullmatch(line):
            names = sorted(match["names"].split(", "), key=lambda name: draw(path.name, name))
            source.lists[match["slot"]] = NameList(match["type"], names)
        elif line.startswith("== "):
            topic = line.partition(": ")[2].split(", ")
        else:
            post, _, image = line.partition(" :: ")
            source.lines.append((post, [image] if image else topic))
    return source


def posts(source: Source, size: int) -> Iterator[tuple[str, str]]:
    """Yield `size` posts with marked entities, each with the name of an image.

    A sentence without slots is used once. A pattern is used in each round until there are enough.
    """
    seen: set[str] = set()
    round_number = 0
    while True:
        for line, images in source.lines:
            post = _fill(line, source.lists, round_number)
            if post in seen:
                continue
            seen.add(post)
            yield post, min(images, key=lambda image: draw(post, image))
            if len(seen) == size:
                return
        round_number += 1


def _fill(line: str, lists: dict[str, NameList], round_number: int) -> str:
    post = line.replace("{n}", str(int(draw(line, round_number), 16) % 90 + 10))
    while match := SLOT.search(post):
        names = lists[match["slot"]]
        name = names.take(unlike=post)
        # The article is not part of the name.
        marked = f"[{names.type} {name.removeprefix('the ')}]"
        article = "the " if name.startswith("the ") else ""
        post = f"{post[: match.start()]}{article}{marked}{post[match.end() :]}"
    post = re.sub(r"\b([Aa]) (\[[A-Z]+ [AEIO])", r"\1n \2", post)
    return post[:1].upper() + post[1:] if post.startswith("the ") else post


def to_conll(post: str, image_id: str, nlp: Language) -> str:
    """Convert a marked post to tokens with BIO tags, after a line with its image id.

    The tokens are spaCy's, so that the trained pipeline sees the same tokens in raw text.

    Args:
        post: The post, with entities marked as "[TYPE words]".
        image_id: The id of its image.
        nlp: The pipeline that tokenizes it.

    Raises:
        ValueError: If an entity does not start and end at token boundaries.
    """
    text = ""
    spans = []
    end = 0
    for match in ENTITY.finditer(post):
        text += post[end : match.start()]
        spans.append((len(text), len(text) + len(match["words"]), match["type"]))
        text += match["words"]
        end = match.end()
    doc = nlp.make_doc(text + post[end:])
    entities = [doc.char_span(start, stop, label) for start, stop, label in spans]
    if None in entities:
        raise ValueError(f"{post!r}: an entity does not start and end at the tokens {list(doc)}.")
    doc.set_ents([entity for entity in entities if entity is not None])
    lines = [
        f"{token.text}\t{token.ent_iob_}{'-' if token.ent_type_ else ''}{token.ent_type_}"
        for token in doc
        if not token.is_space
    ]
    return "\n".join([f"IMGID:{image_id}", *lines]) + "\n"


def main(out: Path = HERE) -> None:
    """Write train.txt, valid.txt and test.txt to the folder OUT."""
    nlp = spacy.blank("en")
    ids = image_ids(read_images())
    for split, size in SIZES.items():
        source = read_source(SOURCE / f"posts-{split}.txt")
        drawn = sorted(posts(source, size), key=lambda pair: draw(split, pair[0]))
        blocks = [to_conll(post, ids[image], nlp) for post, image in drawn]
        write_text(out / f"{split}.txt", "\n".join(blocks))


if __name__ == "__main__":
    typer.run(main)
