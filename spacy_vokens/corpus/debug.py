"""Check a corpus before a tagger is trained on it: sizes, labels and tags, and what others find.

Documents and tokens are named by their numbers, from 1; no text of the corpus is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from spacy.tokens import Doc

from .. import extensions  # noqa: F401  # the attributes read below
from ..images.pool import ImagePool
from ..metrics.ner import repair_bio, strict_spans
from .debug_overlap import describe_duplicates, describe_names
from .debug_pictures import describe_files, describe_pictures, describe_vokens
from .sections import Message, Row, Section, Table, bar, count_of, listed, share, shown, table
from .splits import TRAINING, Split
from .truncation import TextEncoder, describe_pieces

# The most tokens of each class that documents are counted in; a last one has those with more.
LENGTHS = (8, 16, 32, 64, 128)


def debug_corpus(
    splits: Sequence[Split], *, pool: ImagePool | None = None, encoder: TextEncoder | None = None
) -> list[Section]:
    """All that is to be said of a corpus.

    splits: as `read_splits` gives them.
    pool: where the vokens should come from; without it they are compared with each other only.
    encoder: the tagger's; without it no word pieces are counted.
    raises OSError, ValueError: as `describe_pieces` does.
    """
    # The only one that can raise comes first, so that nobody waits for the others in vain.
    pieces = describe_pieces(splits, encoder)
    return [
        describe_sizes(splits),
        describe_labels(splits),
        describe_tags(splits),
        describe_duplicates(splits),
        describe_names(splits),
        describe_pictures(splits, pool),
        describe_vokens(splits, pool),
        *([] if pool is None else [describe_files(splits, pool)]),
        pieces,
    ]


def describe_sizes(splits: Sequence[Split]) -> Section:
    """Documents, their tokens (mean, median, 95th percentile, longest) and entities.

    Empty documents are counted, and left out of the figures, as training leaves them out.
    """
    rows: list[Row] = []
    messages = []
    lengths_of = [_lengths(split.docs) for split in splits]
    for split, lengths in zip(splits, lengths_of, strict=True):
        n_empty = len(split.docs) - len(lengths)
        figures = ("-",) * 4
        if len(lengths):
            middle, high = np.percentile(lengths, (50, 95))
            figures = (f"{lengths.mean():.1f}", f"{middle:g}", f"{high:.0f}", f"{lengths.max():,}")
        n_entities = sum(len(doc.ents) for doc in split.docs)
        counts = (len(split.docs), n_empty, int(lengths.sum()))
        rows.append((split.name, *counts, *figures, n_entities))
        if not len(lengths):
            messages.append(Message("fail", f"{split.name} has no document with tokens"))
        elif n_empty:
            text = f"{split.name} has {count_of(n_empty, 'empty document')}"
            messages.append(Message("info", text, "Training leaves them out."))
    if not any(split.is_training for split in splits):
        text = f"No file is called {TRAINING}.spacy: nothing is compared with training"
        messages.append(Message("info", text))
    header = ("Part", "Documents", "Empty", "Tokens", "Mean", "Median", "95 %", "Most", "Entities")
    tables = (table(header, rows), _length_table(splits, lengths_of))
    return Section("Documents", tables, tuple(messages))


def _lengths(docs: Sequence[Doc]) -> np.ndarray:
    """The tokens of each document that has any, int64."""
    return np.array([len(doc) for doc in docs if len(doc)], dtype=np.int64)


def _length_table(splits: Sequence[Split], lengths_of: Sequence[np.ndarray]) -> Table:
    names = [f"{low + 1}-{high}" for low, high in zip((0, *LENGTHS), LENGTHS, strict=False)]
    names.append(f"over {LENGTHS[-1]}")
    columns = [
        np.bincount(np.searchsorted(LENGTHS, lengths), minlength=len(names)).tolist()
        for lengths in lengths_of
    ]
    rows: list[Row] = [
        (name, *(share(column[row], sum(column), with_bar=True) for column in columns))
        for row, name in enumerate(names)
    ]
    return table(("Tokens a document", *(split.name for split in splits)), rows)


def describe_labels(splits: Sequence[Split]) -> Section:
    """How often each part has each entity type; one that training lacks is a warning."""
    counts = {s.name: Counter(ent.label_ for doc in s.docs for ent in doc.ents) for s in splits}
    total: Counter[str] = sum(counts.values(), Counter())
    labels = sorted(total, key=lambda label: (-total[label], label))
    messages = []
    for name, found in counts.items():
        if not found and name == TRAINING:
            text = f"{name} has no entity: a tagger has nothing to learn"
            why = "`spacy vokens convert` reads tagged text. (A matching model needs no entities.)"
            messages.append(Message("fail", text, why))
        elif not found:
            messages.append(Message("warn", f"{name} has no entity that could be scored"))
    if counts.get(TRAINING) and len(splits) > 1:
        unknown = [label for label in labels if not counts[TRAINING][label]]
        messages.append(
            Message(
                "warn",
                f"{count_of(len(unknown), 'label')} not in {TRAINING}",
                f"{listed(_where(label, counts) for label in unknown)}. No mention of these can "
                "be found.",
            )
            if unknown
            else Message("good", f"Every label is in {TRAINING}")
        )
    rows: list[Row] = [
        (shown(label), *(bar(found[label], found.total()) for found in counts.values()))
        for label in labels
    ]
    tables = (table(("Label", *counts), rows),) if rows else ()
    return Section("Labels", tables, tuple(messages))


def _where(label: str, counts: dict[str, Counter[str]]) -> str:
    """A label and how often each part that knows it has it, such as "X (dev 3, test 1)"."""
    places = (f"{name} {found[label]:,}" for name, found in counts.items() if found[label])
    return f"{shown(label)} ({', '.join(places)})"


@dataclass
class _Tags:
    """What a part's `Doc._.raw_tags` are like; documents and tokens by number, from 1.

    docs, mentions: documents that have them, and their B- and I- tags.
    ill_formed: document and token of every I- that continues nothing.
    misfits: documents that have another number of tags than of tokens.
    others: documents whose entities are not those of the tags.
    """

    docs: int = 0
    mentions: int = 0
    ill_formed: list[tuple[int, int]] = field(default_factory=list)
    misfits: list[int] = field(default_factory=list)
    others: list[int] = field(default_factory=list)


def describe_tags(splits: Sequence[Split]) -> Section:
    """The corpus's own BIO tags: ill-formed ones, and those that the entities contradict."""
    found = {split.name: _read_tags(split.docs) for split in splits}
    if not any(tags.docs for tags in found.values()):
        text = "No document keeps its corpus's own tags: scores count its entities"
        return Section("BIO tags", (), (Message("info", text),))
    rows: list[Row] = []
    messages = [message for name, tags in found.items() for message in _tag_messages(name, tags)]
    for name, tags in found.items():
        n_ill = len(tags.ill_formed)
        n_docs = len({number for number, _ in tags.ill_formed})
        rows.append((name, tags.docs, tags.mentions, n_ill, share(n_ill, tags.mentions), n_docs))
    if not messages:
        messages.append(Message("good", "All tags are well-formed, and those of the entities"))
    header = ("Part", "Tagged documents", "B- and I-", "Ill-formed", "Share", "In documents")
    return Section("BIO tags", (table(header, rows),), tuple(messages))


def _read_tags(docs: Sequence[Doc]) -> _Tags:
    found = _Tags()
    for number, doc in enumerate(docs, start=1):
        if (tags := doc._.raw_tags) is None:
            continue
        found.docs += 1
        found.mentions += len(tags) - tags.count("O")
        repaired = repair_bio(tags)
        pairs = enumerate(zip(tags, repaired, strict=True), start=1)
        found.ill_formed += [(number, token) for token, (one, other) in pairs if one != other]
        entities = [(ent.start, ent.end, ent.label_) for ent in doc.ents]
        if len(tags) != len(doc):
            found.misfits.append(number)
        elif strict_spans(repaired) != entities:
            found.others.append(number)
    return found


def _tag_messages(name: str, tags: _Tags) -> list[Message]:
    messages = []
    if tags.misfits:
        text = f"{name}: {count_of(len(tags.misfits), 'document')} with more or fewer tags than "
        why = f"document {listed(tags.misfits)}. They cannot be scored: convert them anew."
        messages.append(Message("fail", f"{text}tokens", why))
    if tags.ill_formed:
        text = f"{name}: {count_of(len(tags.ill_formed), 'ill-formed tag')}"
        places = listed(f"document {doc} token {token}" for doc, token in tags.ill_formed)
        why = "This I- continues nothing: training begins an entity there, strict scores do not."
        messages.append(Message("warn", text, f"{places}. {why}"))
    if tags.others:
        text = f"{name}: {count_of(len(tags.others), 'document')} with entities other than their "
        why = "A tagger learns the entities, and is scored by the tags."
        messages.append(Message("warn", f"{text}tags", f"document {listed(tags.others)}. {why}"))
    return messages
