"""Check a corpus before training: sizes, labels and tags here, and all other checks.

Messages name documents and tokens by number, from 1, and never show the corpus's text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.vocab import Vocab

from .. import attributes  # noqa: F401  # registers the attributes read below
from ..images.pool import ImagePool
from ..messages import count_of, listed, shown
from ..scoring.ner import repair_bio, strict_spans
from .images import check_files, check_images, check_vokens
from .overlap import check_duplicates, check_names
from .pieces import check_pieces
from .report import Message, Row, Section, Table, bar, share, table
from .splits import TRAINING, Split, read_splits
from .words import check_word_hit

# Documents are counted in classes by their length. These are the upper bounds, in tokens; a last
# class has the longer ones.
LENGTHS = (8, 16, 32, 64, 128)


def debug_data(
    corpus: Path,
    *,
    pool: Path | None = None,
    encoder: str | None = None,
    lang: str | None = None,
) -> list[Section]:
    """Check a corpus, its vokens and their pool before a tagger is trained on them.

    Args:
        corpus: A folder of `.spacy` files, one per split (train, dev or valid, test), or one file.
        pool: Folder of the image pool that the vokens should come from. Without it they are only
            compared with each other.
        encoder: Folder of the tagger's text encoder, or the name of a model in this machine's
            cache. Without it no word pieces are counted.
        lang: The code of the corpus's language, as in spaCy. Without it words are not compared with
            the texts of their images.

    Returns:
        The report, one section per check.

    Raises:
        OSError: If the corpus, the pool or the encoder's tokenizer is missing.
        VokensError: If the corpus or the pool is damaged, or the encoder has no fast tokenizer.
        ImportError: If spaCy does not know the language.
    """
    nlp = None if lang is None else spacy.blank(lang)
    splits = read_splits(corpus, Vocab() if nlp is None else nlp.vocab)
    opened = None if pool is None else ImagePool.open(pool)
    return check_splits(splits, pool=opened, encoder=encoder, nlp=nlp)


def check_splits(
    splits: Sequence[Split],
    *,
    pool: ImagePool | None = None,
    encoder: str | None = None,
    nlp: Language | None = None,
) -> list[Section]:
    """Run all checks.

    Args:
        splits: The splits of a corpus.
        pool: Where the vokens should come from. Without it they are only compared with each other.
        encoder: Folder of the tagger's text encoder, or the name of a model in this machine's
            cache. Without it no word pieces are counted.
        nlp: A pipeline of the corpus's language, whose vocabulary the documents have. Without it
            words are not compared with the texts of their images.

    Returns:
        The report, one section per check.

    Raises:
        OSError: If the encoder's tokenizer is not on this machine.
        VokensError: If the encoder has no fast tokenizer.
    """
    # First, because it is the only check that can raise, and the others take time.
    pieces = check_pieces(splits, encoder)
    words = None if pool is None else check_word_hit(splits, pool, nlp)
    return [
        check_sizes(splits),
        check_labels(splits),
        check_tags(splits),
        check_duplicates(splits),
        check_names(splits),
        check_images(splits, pool),
        check_vokens(splits, pool),
        *([] if words is None else [words]),
        *([] if pool is None else [check_files(splits, pool)]),
        pieces,
    ]


def check_sizes(splits: Sequence[Split]) -> Section:
    """Count documents, tokens (mean, median, 95th percentile, most per document) and entities.

    Empty documents are counted but otherwise left out, because training skips them.
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
            messages.append(Message("info", text, "Training skips them."))
    if not any(split.is_training for split in splits):
        text = f"There is no {TRAINING}.spacy: nothing is compared with training data"
        messages.append(Message("info", text))
    header = ("Split", "Documents", "Empty", "Tokens", "Mean", "Median", "95%", "Most", "Entities")
    tables = (table(header, rows), _length_table(splits, lengths_of))
    return Section("Documents", tables, tuple(messages))


def _lengths(docs: Sequence[Doc]) -> np.ndarray:
    """Return the number of tokens of each non-empty document, int64."""
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
    return table(("Tokens per document", *(split.name for split in splits)), rows)


def check_labels(splits: Sequence[Split]) -> Section:
    """Count each entity type in each split, and warn of those that training lacks."""
    counts = {s.name: Counter(ent.label_ for doc in s.docs for ent in doc.ents) for s in splits}
    total: Counter[str] = sum(counts.values(), Counter())
    labels = sorted(total, key=lambda label: (-total[label], label))
    messages = []
    for name, found in counts.items():
        if not found and name == TRAINING:
            text = f"{name} has no entities, so a tagger has nothing to learn"
            why = "`spacy vokens convert` reads tagged text. (A matching model needs no entities.)"
            messages.append(Message("fail", text, why))
        elif not found:
            messages.append(Message("warn", f"{name} has no entities to score"))
    if counts.get(TRAINING) and len(splits) > 1:
        unknown = [label for label in labels if not counts[TRAINING][label]]
        where = listed(_where(label, counts) for label in unknown)
        messages.append(
            Message(
                "warn",
                f"{count_of(len(unknown), 'label')} not in {TRAINING}",
                f"{where}. A tagger cannot find these entities.",
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
    """Say how often each split has a label, such as "X (dev 3, test 1)"."""
    places = (f"{name} {found[label]:,}" for name, found in counts.items() if found[label])
    return f"{shown(label)} ({', '.join(places)})"


@dataclass
class _Tags:
    """What was found in a split's `Doc._.visual_raw_tags`. Numbers count from 1.

    Attributes:
        docs: Number of documents that have tags.
        mentions: Number of their B- and I- tags.
        ill_formed: Document and token number of every I- tag that continues nothing.
        wrong_lengths: Numbers of the documents whose tags are more or fewer than their tokens.
        different: Numbers of the documents whose entities are not those of the tags.
    """

    docs: int = 0
    mentions: int = 0
    ill_formed: list[tuple[int, int]] = field(default_factory=list)
    wrong_lengths: list[int] = field(default_factory=list)
    different: list[int] = field(default_factory=list)


def check_tags(splits: Sequence[Split]) -> Section:
    """Look for ill-formed BIO tags, and for tags that the entities contradict."""
    found = {split.name: _read_tags(split.docs) for split in splits}
    if not any(tags.docs for tags in found.values()):
        text = "No document has raw tags, so scores compare with its entities"
        return Section("BIO tags", (), (Message("info", text),))
    rows: list[Row] = []
    messages = [message for name, tags in found.items() for message in _tag_messages(name, tags)]
    for name, tags in found.items():
        n_ill = len(tags.ill_formed)
        n_docs = len({number for number, _ in tags.ill_formed})
        rows.append((name, tags.docs, tags.mentions, n_ill, share(n_ill, tags.mentions), n_docs))
    if not messages:
        messages.append(Message("good", "All tags are well-formed and agree with the entities"))
    header = ("Split", "Tagged documents", "B- and I-", "Ill-formed", "Share", "In documents")
    return Section("BIO tags", (table(header, rows),), tuple(messages))


def _read_tags(docs: Sequence[Doc]) -> _Tags:
    found = _Tags()
    for number, doc in enumerate(docs, start=1):
        if (tags := doc._.visual_raw_tags) is None:
            continue
        found.docs += 1
        found.mentions += len(tags) - tags.count("O")
        repaired = repair_bio(tags)
        pairs = enumerate(zip(tags, repaired, strict=True), start=1)
        found.ill_formed += [(number, token) for token, (one, other) in pairs if one != other]
        entities = [(ent.start, ent.end, ent.label_) for ent in doc.ents]
        if len(tags) != len(doc):
            found.wrong_lengths.append(number)
        elif strict_spans(repaired) != entities:
            found.different.append(number)
    return found


def _tag_messages(name: str, tags: _Tags) -> list[Message]:
    messages = []
    if tags.wrong_lengths:
        n_docs = count_of(len(tags.wrong_lengths), "document")
        text = f"{name}: {n_docs} with more or fewer tags than tokens"
        why = f"document {listed(tags.wrong_lengths)}. They cannot be scored: convert them again."
        messages.append(Message("fail", text, why))
    if tags.ill_formed:
        text = f"{name}: {count_of(len(tags.ill_formed), 'ill-formed tag')}"
        places = listed(f"document {doc} token {token}" for doc, token in tags.ill_formed)
        why = "This I- continues nothing. It begins an entity in training, not in strict scores."
        messages.append(Message("warn", text, f"{places}. {why}"))
    if tags.different:
        n_docs = count_of(len(tags.different), "document")
        text = f"{name}: {n_docs} whose entities differ from the tags"
        why = (
            f"document {listed(tags.different)}. A tagger learns the entities; scores use the tags."
        )
        messages.append(Message("warn", text, f"document {listed(tags.different)}. {why}"))
    return messages
