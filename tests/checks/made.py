"""Small documents and parts of a corpus, made of words and tags."""

from __future__ import annotations

from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_vokens.attributes import set_token_values
from spacy_vokens.checks.report import Section, Table
from spacy_vokens.checks.splits import Split
from spacy_vokens.corpus.conll import TaggedSentence
from spacy_vokens.corpus.convert import tagged_doc

VOCAB = Vocab()


def make_doc(
    words: str,
    tags: str | None = None,
    *,
    image_id: str | None = None,
    vokens: list[str | None] | None = None,
    index: str | None = None,
) -> Doc:
    """A document of words and their tags, all O by default."""
    of_words = tuple(words.split())
    of_tags = ("O",) * len(of_words) if tags is None else tuple(tags.split())
    doc = tagged_doc(TaggedSentence(of_words, of_tags, image_id), VOCAB)
    if vokens is not None:
        set_token_values(doc, "voken", vokens)
    doc._.voken_index = index
    return doc


def make_clean(pool_half: str = "a" * 16) -> list[Split]:
    """Three parts of vokenized documents, of which there is nothing to complain."""
    index = f"{pool_half}-{'b' * 16}"

    def split(name: str, place: str, image: str) -> Split:
        first = make_doc(
            f"anna sees {place}",
            "B-PER O B-LOC",
            image_id=image,
            vokens=["apple", None, "ball"],
            index=index,
        )
        second = make_doc(f"the {place}", vokens=[None, "ball"], index=index)
        return Split(name, [first, second])

    return [
        split("train", "Paris", "cat"),
        split("dev", "Rome", "dog"),
        split("test", "Bonn", "egg"),
    ]


def find(section: Section, level: str) -> list[str]:
    """Text and detail of a section's messages of a level."""
    return [f"{m.text} | {m.detail}" for m in section.messages if m.level == level]


def texts(table: Table) -> list[list[str]]:
    """A table's rows."""
    return [[cell.text for cell in row] for row in table.rows]
