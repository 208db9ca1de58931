"""Make `data/nouns.tsv`, the sentences of `word_hit.py`, from the hand-written `data/nouns.txt`.

    python benchmarks/write_nouns.py

A noun's accepted pictures are all images of the quickstart whose name has a word with the noun's
stem. The table also says in which split these images have captions. It is the same at every run.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import spacy

from spacy_vokens.files import file_written_aside
from spacy_vokens.stems import stemmer_of

DATA = Path(__file__).parent / "data"
QUICKSTART = Path(__file__).parents[1] / "assets" / "quickstart"
COLUMNS = ("sentence", "word", "captions", "topic", "pictures")
# Between the names of the accepted pictures.
SEPARATOR = "; "
PER_NOUN = 3


@dataclass(frozen=True)
class Noun:
    """A noun of a topic.

    Attributes:
        word: The noun as it stands in the sentences.
        phrase: The noun with its article.
        sentences: Sentences of its own; empty if it takes the topic's templates.
    """

    word: str
    phrase: str
    sentences: tuple[str, ...] = ()


@dataclass
class Topic:
    """A topic of the source.

    Attributes:
        name: Its name.
        templates: Its templates.
        nouns: Its nouns.
    """

    name: str
    templates: list[str] = field(default_factory=list)
    nouns: list[Noun] = field(default_factory=list)


def parse_noun(line: str) -> Noun:
    """Read the line of a noun."""
    word, _, own = line.partition(" :: ")
    word, _, phrase = word.partition(" = ")
    article = "an" if word[0].lower() in "aeiou" else "a"
    sentences = tuple(own.split(" | ")) if own else ()
    return Noun(word, phrase or f"{article} {word}", sentences)


def read_topics(path: Path = DATA / "nouns.txt") -> list[Topic]:
    """Read the topics with their templates and nouns."""
    topics: list[Topic] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            topics.append(Topic(line[3:]))
        elif line.startswith("> "):
            topics[-1].templates.append(line[2:])
        elif line and not line.startswith("#"):
            topics[-1].nouns.append(parse_noun(line))
    return topics


def fill(template: str, noun: Noun) -> str:
    """Put a noun into a template."""
    slots = {"a": noun.phrase, "the": f"the {noun.word}"}
    capitals = {name.capitalize(): text[0].upper() + text[1:] for name, text in slots.items()}
    return template.format(noun=noun.word, **slots, **capitals)


def sentences_of(topic: Topic) -> list[tuple[str, str]]:
    """Return the sentences of a topic, each with its noun.

    The nouns begin at the template where the one before ended, so all templates are used equally.
    """
    found = []
    turn = 0
    for noun in topic.nouns:
        found += [(sentence, noun.word) for sentence in noun.sentences]
        if not noun.sentences:
            for _ in range(PER_NOUN):
                template = topic.templates[turn % len(topic.templates)]
                found.append((fill(template, noun), noun.word))
                turn += 1
    return found


def read_table(path: Path) -> list[dict[str, str]]:
    """Read a table with a header, separated by tabs and without quotes."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def pictures_by_stem() -> dict[str, list[str]]:
    """Return the names of the quickstart's images by the stems of their words."""
    nlp = spacy.blank("en")
    stem_of = stemmer_of("en")
    found = defaultdict(list)
    for row in read_table(QUICKSTART / "images.tsv"):
        for stem in {stem_of(token.text) for token in nlp.make_doc(row["name"])}:
            found[stem].append(row["name"])
    return dict(found)


def splits_by_picture() -> dict[str, str]:
    """Return the split of the captions by the name of the image."""
    names = {row["id"]: row["name"] for row in read_table(QUICKSTART / "images.tsv")}
    return {names[r["image"]]: r["split"] for r in read_table(QUICKSTART / "captions.tsv")}


def main(path: Path = DATA / "nouns.tsv") -> None:
    """Write the table."""
    by_stem = pictures_by_stem()
    splits = splits_by_picture()
    stem_of = stemmer_of("en")
    lines = ["\t".join(COLUMNS)]
    for topic in read_topics():
        for sentence, word in sentences_of(topic):
            pictures = by_stem[stem_of(word)]
            found = {splits.get(name, "none") for name in pictures}
            captions = next(split for split in ("train", "dev", "none") if split in found)
            row = (sentence, word, captions, topic.name, SEPARATOR.join(pictures))
            lines.append("\t".join(row))
    with file_written_aside(path) as aside:
        aside.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
