"""Phrases of a document: several words that are grounded as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from spacy.tokens import Doc

from ..files import VokensError

if TYPE_CHECKING:
    from collections.abc import Iterator

Bounds = tuple[int, int]


def _noun_chunks(doc: Doc) -> Iterator[Bounds]:
    if doc.vocab.get_noun_chunks is None:
        raise VokensError(
            f"spaCy has no noun chunks for the language {doc.lang_!r}. Take 'noun_chunks' out of "
            "the setting 'phrases' of the voken_retriever."
        )
    # Without words there is nothing to parse.
    if not doc.has_annotation("DEP") and len(doc):
        raise VokensError(
            "Noun chunks need a parse. Put the voken_retriever behind a parser, or take "
            "'noun_chunks' out of its setting 'phrases'."
        )
    return ((chunk.start, chunk.end) for chunk in doc.noun_chunks)


def _entities(doc: Doc) -> Iterator[Bounds]:
    if not doc.has_annotation("ENT_IOB") and len(doc):
        raise VokensError(
            "No component has looked for entities. Put the voken_retriever behind an entity "
            "recognizer, or take 'ents' out of its setting 'phrases'."
        )
    return ((ent.start, ent.end) for ent in doc.ents)


# What the setting `phrases` can name.
PHRASES: dict[str, Callable[[Doc], Iterator[Bounds]]] = {
    "noun_chunks": _noun_chunks,
    "ents": _entities,
}
