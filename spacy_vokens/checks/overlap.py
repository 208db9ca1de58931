"""Check what the splits of a corpus share: documents, images and names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations

from spacy.tokens import Doc

from .. import attributes  # noqa: F401  # registers the attributes read below
from ..messages import count_of, listed
from .report import Message, Row, Section, share, table
from .splits import TRAINING, Split


def check_duplicates(splits: Sequence[Split]) -> Section:
    """Look for documents with the same tokens, and for images that are in two splits."""
    first_of = {split.name: _first_numbers(split.docs) for split in splits}
    rows: list[Row] = []
    messages = []
    for split in splits:
        first = first_of[split.name]
        keys = list(_keys(split.docs))
        repeats = [(number, first[key]) for number, key in keys if first[key] != number]
        rows.append((split.name, len(keys), len(repeats), share(len(repeats), len(keys))))
        if repeats:
            text = f"{split.name}: {count_of(len(repeats), 'document')} with the tokens of another"
            messages.append(Message("info", text, f"{_pairs(repeats)}."))
    tables = [table(("Split", "Documents", "Repeats", "Share"), rows)]
    across: list[Row] = []
    for one, other in combinations(splits, 2):
        known, images = first_of[one.name], _first_images(one.docs)
        same_tokens = [(number, known[key]) for number, key in _keys(other.docs) if key in known]
        same_image = [
            (number, images[doc._.visual_image_id])
            for number, doc in enumerate(other.docs, start=1)
            if doc._.visual_image_id in images
        ]
        across.append(
            (
                f"{other.name} in {one.name}",
                *(len(same_tokens), share(len(same_tokens), len(other.docs))),
                *(len(same_image), share(len(same_image), len(other.docs))),
            )
        )
        for found, what in ((same_tokens, "the tokens"), (same_image, "the image")):
            if found:
                n_docs = count_of(len(found), "document")
                text = f"{n_docs} of {other.name} with {what} of one in {one.name}"
                why = f"{_pairs(found)} there. Scores may be too high."
                messages.append(Message("warn", text, why))
    if across:
        header = ("Splits", "Same tokens", "Share", "Same image", "Share")
        tables.append(table(header, across))
        if not any(message.level == "warn" for message in messages):
            messages.append(Message("good", "No document or image is in two splits"))
    return Section("Duplicates", tuple(tables), tuple(messages))


def _keys(docs: Sequence[Doc]) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the hashed tokens of every document that is not empty."""
    for number, doc in enumerate(docs, start=1):
        if len(doc):
            yield number, doc.to_array("ORTH").tobytes()


def _first_numbers(docs: Sequence[Doc]) -> dict[bytes, int]:
    first: dict[bytes, int] = {}
    for number, key in _keys(docs):
        first.setdefault(key, number)
    return first


def _first_images(docs: Sequence[Doc]) -> dict[str, int]:
    first: dict[str, int] = {}
    for number, doc in enumerate(docs, start=1):
        if doc._.visual_image_id is not None:
            first.setdefault(doc._.visual_image_id, number)
    return first


def _pairs(found: Sequence[tuple[int, int]]) -> str:
    return listed(f"document {number} = {first}" for number, first in found)


def check_names(splits: Sequence[Split]) -> Section:
    """Count the entities of other splits that training does not have, as mentions and distinct.

    Entities are the same if their label and their text, in lower case, are.
    """
    known = {name for split in splits if split.is_training for name in _names(split.docs)}
    if not known:
        text = f"There are no entities in {TRAINING} to compare with"
        return Section("Unseen names", (), (Message("info", text),))
    rows: list[Row] = []
    for split in splits:
        if not split.is_training:
            names = _names(split.docs)
            unseen = {name: count for name, count in names.items() if name not in known}
            mentions, n_unseen = names.total(), sum(unseen.values())
            rows.append(
                (
                    split.name,
                    *(mentions, n_unseen, share(n_unseen, mentions, with_bar=True)),
                    *(len(names), len(unseen), share(len(unseen), len(names), with_bar=True)),
                )
            )
    if not rows:
        text = f"There is no split besides {TRAINING} to compare"
        return Section("Unseen names", (), (Message("info", text),))
    header = ("Split", "Mentions", "Unseen", "Share", "Distinct names", "Unseen", "Share")
    text = f"A name is unseen if {TRAINING} does not have its text, in any case, with its label"
    return Section("Unseen names", (table(header, rows),), (Message("info", text),))


def _names(docs: Sequence[Doc]) -> Counter[tuple[str, str]]:
    return Counter((ent.text.lower(), ent.label_) for doc in docs for ent in doc.ents)
