"""Check which words a tagger's text encoder does not see because they have too many word pieces.

spacy-transformers splits documents into spans of words. If a span has more pieces than the encoder
takes, it silently drops the last ones.
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

from ..files import VokensError
from ..messages import count_of, listed
from .report import Message, Row, Section, share, table
from .splits import Split

WINDOW, STRIDE = 128, 96
BATCH_DOCS = 256
PATIENCE_SECONDS = 3.0
# For a tokenizer without a limit, transformers sets one far above this.
UNBOUNDED = 1_000_000


@dataclass(frozen=True)
class TextEncoder:
    """A transformer, as a config names it.

    Attributes:
        name: Its folder, or the name of a model in this machine's cache.
        window: Words per span.
        stride: Words from the start of one span to the start of the next, at most `window`.
    """

    name: str
    window: int = WINDOW
    stride: int = STRIDE


@dataclass
class PieceCounts:
    """What the text encoder does not see of a split.

    Attributes:
        spans: Number of spans.
        longest: Word pieces of the longest span, special ones included.
        oversize: Number of spans with more pieces than the encoder takes.
        docs: Numbers of the documents with such spans, from 1.
        tokens: Number of tokens that lose pieces.
        lost: Number of tokens that lose all pieces, and so get a vector of zeros.
    """

    spans: int = 0
    longest: int = 0
    oversize: int = 0
    docs: list[int] = field(default_factory=list)
    tokens: int = 0
    lost: int = 0


def check_pieces(splits: Sequence[Split], encoder: TextEncoder | None) -> Section:
    """Count the word pieces that each split loses; without an encoder, say how to ask for it.

    Raises:
        OSError: If the encoder's tokenizer is not on this machine.
        VokensError: If it is not a fast tokenizer, or the stride is larger than the window.
    """
    if encoder is None:
        why = "--text-encoder FOLDER_OR_NAME counts the word pieces that it would cut off."
        text = "Not checked, because no text encoder was named"
        return Section("Word pieces", (), (Message("info", text, why),))
    if encoder.stride > encoder.window:
        raise VokensError(
            f"A stride of {encoder.stride} words skips words between windows of {encoder.window}: "
            "use a stride of at most the window."
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
            n_spans = count_of(found.oversize, "span")
            text = f"{split.name}: {n_spans} with more than {limit:,} word pieces"
            why = (
                f"document {listed(found.docs)}. The encoder does not see all of "
                f"{count_of(found.tokens, 'token')}: use a smaller window, here and in the "
                "config's get_spans."
            )
            messages.append(Message("warn", text, why))
    if not is_bounded:
        text = "The tokenizer sets no limit, so nothing is cut off"
        why = "If the encoder has one, it fails on longer spans: see its max_position_embeddings."
        messages.append(Message("info", text, why))
    elif not messages:
        messages.append(Message("good", f"No span has more than {limit:,} word pieces"))
    header = (
        *("Split", "Spans", "Longest", f"Over {limit:,}" if is_bounded else "Too long"),
        *("In documents", "Tokens cut", "Completely", "Share"),
    )
    return Section("Word pieces", (table(header, rows),), tuple(messages))


def load_tokenizer(name: str) -> Any:
    """Load the fast tokenizer of a folder, or of a model in this machine's cache.

    Nothing is downloaded.

    Raises:
        OSError: If there is no such tokenizer, or it cannot be read.
        VokensError: If it is not a fast tokenizer.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True, local_files_only=True)
    # A folder with other content makes its parsers raise anything.
    except Exception as error:
        absent = "there is no such folder, and no such model in this machine's cache"
        why = error if Path(name).is_dir() else absent
        raise OSError(f"The tokenizer of the text encoder {name} cannot be read: {why}") from error
    if not tokenizer.is_fast:
        raise VokensError(f"{name} has no fast tokenizer, which knows the places of its pieces.")
    return tokenizer


def count_pieces(docs: Sequence[Doc], tokenizer: Any, window: int, stride: int) -> PieceCounts:
    """Count what `truncate_oversize_splits` of spacy-transformers would drop.

    Args:
        docs: The documents. Empty ones have no span.
        tokenizer: A fast tokenizer. Its `model_max_length` is the limit, in pieces.
        window: Words per span.
        stride: Words from the start of one span to the start of the next.
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
    """Count the tokens of one document that lose a piece in any of its spans, and all pieces."""
    encoded = tokenizer(
        [span.text for span in spans],
        padding="longest",
        return_offsets_mapping=True,
        return_tensors="np",
        verbose=False,
    )
    # The positions of every token's pieces in the padded batch of all spans.
    align = get_alignment_via_offset_mapping(spans, encoded["offset_mapping"])
    is_cut = align.dataXd % encoded["input_ids"].shape[1] >= tokenizer.model_max_length
    n_pieces = np.asarray(align.lengths)
    tokens = np.repeat(np.arange(len(n_pieces)), n_pieces)
    n_cut = np.bincount(tokens[is_cut], minlength=len(n_pieces))
    return int((n_cut > 0).sum()), int(((n_cut > 0) & (n_cut == n_pieces)).sum())
