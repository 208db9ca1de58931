"""What a tagger's text encoder never sees: word pieces beyond the most that it takes at a time.

spacy-transformers cuts documents into spans of words and drops the last pieces of a span that has
too many, without a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from spacy.tokens import Doc, Span
from spacy.util import minibatch
from spacy_transformers.align import get_alignment_via_offset_mapping
from spacy_transformers.span_getters import get_strided_spans
from tqdm import tqdm
from transformers import AutoTokenizer

from .sections import Message, Row, Section, count_of, listed, share, table
from .splits import Split

WINDOW, STRIDE = 128, 96
BATCH_DOCS = 256
PATIENCE_SECONDS = 3.0
# What transformers gives for a tokenizer that names no bound is larger, a word's length is not.
UNBOUNDED = 1_000_000


@dataclass(frozen=True)
class TextEncoder:
    """A transformer as a config names it.

    name: folder, or name of a model that is on this machine already.
    window: words of a span.
    stride: words between the beginnings of two spans, at most `window`.
    """

    name: str
    window: int = WINDOW
    stride: int = STRIDE


@dataclass
class PieceCounts:
    """What becomes of a part's words.

    spans: how many there are.
    longest: word pieces of the longest span, special ones included.
    oversize: spans with more pieces than the encoder takes.
    docs: the documents that have such spans, by their numbers, from 1.
    tokens: those that lose pieces.
    lost: those that lose all of them, and so have a vector of zeros.
    """

    spans: int = 0
    longest: int = 0
    oversize: int = 0
    docs: list[int] = field(default_factory=list)
    tokens: int = 0
    lost: int = 0


def describe_pieces(splits: Sequence[Split], encoder: TextEncoder | None) -> Section:
    """Count the word pieces that each part loses; without an encoder say how to ask for it.

    raises OSError: where the encoder's tokenizer is not on this machine.
    raises ValueError: where that is no fast tokenizer, or strides leave out words.
    """
    if encoder is None:
        why = "--text-encoder FOLDER_OR_NAME counts the word pieces that it would cut off."
        text = "Not looked at, for want of a text encoder"
        return Section("Word pieces", (), (Message("info", text, why),))
    if encoder.stride > encoder.window:
        raise ValueError(
            f"A stride of {encoder.stride} words leaves out some between windows of "
            f"{encoder.window}: it may be as large as the window at most."
        )
    tokenizer = load_tokenizer(encoder.name)
    limit = tokenizer.model_max_length
    is_bounded = limit <= UNBOUNDED
    rows: list[Row] = []
    messages = []
    for split in splits:
        found = count_pieces(split.docs, tokenizer, encoder.window, encoder.stride)
        counts = (found.spans, found.longest, found.oversize, len(found.docs), found.tokens)
        lost = (found.lost, share(found.tokens, sum(map(len, split.docs))))
        rows.append((split.name, *counts, *lost))
        if found.oversize:
            text = (
                f"{split.name}: {count_of(found.oversize, 'span')} with more than {limit:,} word "
            )
            cut = count_of(found.tokens, "token")
            why = (
                f"document {listed(found.docs)}. Pieces of {cut} are cut off, which the encoder "
                "never sees: take a smaller window, here and for get_spans in the config."
            )
            messages.append(Message("warn", f"{text}pieces", why))
    if not is_bounded:
        text = "The tokenizer names no bound, so nothing is cut off"
        why = "An encoder that has one fails on longer spans: see its max_position_embeddings."
        messages.append(Message("info", text, why))
    elif not messages:
        messages.append(Message("good", f"No span has more than {limit:,} word pieces"))
    header = (
        *("Part", "Spans", "Longest", f"Over {limit:,}" if is_bounded else "Too long"),
        *("In documents", "Tokens cut", "Of these whole", "Share"),
    )
    return Section("Word pieces", (table(header, rows),), tuple(messages))


def load_tokenizer(name: str) -> Any:
    """The fast tokenizer of a folder or of a model on this machine; nothing is downloaded.

    raises OSError, ValueError: as `describe_pieces` does.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True, local_files_only=True)
    # A folder that holds something else makes it raise whatever its parsers do.
    except Exception as error:
        absent = "there is no such folder, nor such a model in this machine's cache"
        why = error if Path(name).is_dir() else absent
        raise OSError(f"The tokenizer of the text encoder {name} cannot be read: {why}") from error
    if not tokenizer.is_fast:
        raise ValueError(f"{name} has no fast tokenizer, which tells the place of its pieces.")
    return tokenizer


def count_pieces(docs: Sequence[Doc], tokenizer: Any, window: int, stride: int) -> PieceCounts:
    """Count what `truncate_oversize_splits` of spacy-transformers would drop.

    docs: empty ones have no span.
    tokenizer: a fast one; `model_max_length` is its bound, in pieces.
    window, stride: in words, see `TextEncoder`.
    """
    found = PieceCounts()
    progress = tqdm(
        docs, "Splitting", unit=" docs", delay=PATIENCE_SECONDS, disable=None, leave=False
    )
    for batch in minibatch(enumerate(progress, start=1), BATCH_DOCS):
        numbers, in_batch = zip(*batch, strict=True)
        spans_of = get_strided_spans(in_batch, window, stride)
        texts = [span.text for spans in spans_of for span in spans]
        pieces = iter(tokenizer(texts, verbose=False)["input_ids"] if texts else ())
        for number, spans in zip(numbers, spans_of, strict=True):
            lengths = [len(next(pieces)) for _ in spans]
            n_oversize = sum(length > tokenizer.model_max_length for length in lengths)
            found.spans += len(spans)
            found.longest = max(found.longest, *lengths, 0)
            if n_oversize:
                n_cut, n_lost = _count_cut_tokens(spans, tokenizer)
                found.oversize += n_oversize
                found.docs.append(number)
                found.tokens += n_cut
                found.lost += n_lost
    return found


def _count_cut_tokens(spans: list[Span], tokenizer: Any) -> tuple[int, int]:
    """How many tokens of one document lose a piece in any of its spans, and how many lose all."""
    encoded = tokenizer(
        [span.text for span in spans],
        padding="longest",
        return_offsets_mapping=True,
        return_tensors="np",
        verbose=False,
    )
    # For every token the numbers of its pieces, among those of all spans padded to one length.
    align = get_alignment_via_offset_mapping(spans, encoded["offset_mapping"])
    is_cut = align.dataXd % encoded["input_ids"].shape[1] >= tokenizer.model_max_length
    n_pieces = np.asarray(align.lengths)
    tokens = np.repeat(np.arange(len(n_pieces)), n_pieces)
    n_cut = np.bincount(tokens[is_cut], minlength=len(n_pieces))
    return int((n_cut > 0).sum()), int(((n_cut > 0) & (n_cut == n_pieces)).sum())
