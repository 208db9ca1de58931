"""What the parts of a corpus share that they should not, and the names that they do not share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations

from spacy.tokens import Doc

from .. import extensions  # noqa: F401  # the attributes read below
from .sections import Message, Row, Section, count_of, listed, share, table
from .splits import TRAINING, Split


def describe_duplicates(splits: Sequence[Split]) -> Section:
    """Documents of the same tokens, within a part and across parts, and pictures of two parts."""
    first_of = {split.name: _first_numbers(split.docs) for split in splits}
    rows: list[Row] = []
    messages = []
    for split in splits:
        first = first_of[split.name]
        keys = list(_keys(split.docs))
        repeats = [(number, first[key]) for number, key in keys if first[key] != number]
        rows.append((split.name, len(keys), len(repeats), share(len(repeats), len(keys))))
        if repeats:
            text = (
                f"{split.name}: {count_of(len(repeats), 'document')} with an earlier one's tokens"
            )
            messages.append(Message("info", text, f"{_pairs(repeats)}."))
    tables = [table(("Part", "Documents", "Repeats", "Share"), rows)]
    across: list[Row] = []
    for one, other in combinations(splits, 2):
        known, pictures = first_of[one.name], _first_pictures(one.docs)
        leaks = [(number, known[key]) for number, key in _keys(other.docs) if key in known]
        alike = [
            (number, pictures[doc._.image_id])
            for number, doc in enumerate(other.docs, start=1)
            if doc._.image_id in pictures
        ]
        across.append(
            (
                f"{other.name} in {one.name}",
                *(len(leaks), share(len(leaks), len(other.docs))),
                *(len(alike), share(len(alike), len(other.docs))),
            )
        )
        for found, what in ((leaks, "the tokens"), (alike, "the picture")):
            if found:
                text = f"{count_of(len(found), 'document')} of {other.name} with {what} of one in "
                why = f"{_pairs(found)}, by their numbers there. Scores may count what was seen."
                messages.append(Message("warn", f"{text}{one.name}", why))
    if across:
        header = ("Parts", "Same tokens", "Share", "Same picture", "Share")
        tables.append(table(header, across))
        if not any(message.level == "warn" for message in messages):
            messages.append(Message("good", "No document or picture is in two parts"))
    return Section("Duplicates", tuple(tables), tuple(messages))


def _keys(docs: Sequence[Doc]) -> Iterator[tuple[int, bytes]]:
    """Number and tokens of every document that has any: the hashes of their texts, as bytes."""
    for number, doc in enumerate(docs, start=1):
        if len(doc):
            yield number, doc.to_array("ORTH").tobytes()


def _first_numbers(docs: Sequence[Doc]) -> dict[bytes, int]:
    first: dict[bytes, int] = {}
    for number, key in _keys(docs):
        first.setdefault(key, number)
    return first


def _first_pictures(docs: Sequence[Doc]) -> dict[str, int]:
    first: dict[str, int] = {}
    for number, doc in enumerate(docs, start=1):
        if doc._.image_id is not None:
            first.setdefault(doc._.image_id, number)
    return first


def _pairs(found: Sequence[tuple[int, int]]) -> str:
    return listed(f"document {number} = {first}" for number, first in found)


def describe_names(splits: Sequence[Split]) -> Section:
    """How many entities of the other parts training does not have: mentions, and distinct ones.

    A name is its text, whatever the case, with its label.
    """
    known = {name for split in splits if split.is_training for name in _names(split.docs)}
    if not known:
        text = f"There are no entities in {TRAINING} to compare names with"
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
        text = f"There is no part beside {TRAINING} to compare names with"
        return Section("Unseen names", (), (Message("info", text),))
    header = ("Part", "Mentions", "Unseen", "Share", "Distinct names", "Unseen", "Share")
    text = f"Unseen is a name, text and label, that {TRAINING} does not have; case does not count"
    return Section("Unseen names", (table(header, rows),), (Message("info", text),))


def _names(docs: Sequence[Doc]) -> Counter[tuple[str, str]]:
    return Counter((ent.text.lower(), ent.label_) for doc in docs for ent in doc.ents)
