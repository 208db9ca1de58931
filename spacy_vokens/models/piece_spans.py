"""Split documents into spans that a transformer reads to their end.

An encoder takes a number of word pieces, for instance 512. The spans of spacy-transformers have a
number of tokens, whatever their pieces, and pieces that are too many are dropped. A word that loses
all its pieces gets a vector of zeros.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any
from unicodedata import normalize

import numpy as np
from spacy.tokens import Doc, Span
from spacy_transformers.layers.hf_shim import HFShim

from ..files import VokensError

# Word pieces that an encoder takes if nothing says it, and how many of them may be special ones.
DEFAULT_LIMIT, DEFAULT_SPECIAL = 512, 8
# For a tokenizer without a limit, transformers sets one far above this.
UNBOUNDED = 1_000_000
# Characters that are tokenized at once, with the padding of each text to the longest one.
MAX_PADDED = 1 << 17


class PieceSpans:
    """Split documents into overlapping spans of words whose pieces the encoder takes.

    The white space after a word belongs to the word, so that line breaks and doubled blanks do not
    change which words share a span.

    In `spacy-vokens.TransformerModel.v1` and `spacy-vokens.Tok2VecTransformer.v1`, the encoder's
    own tokenizer counts the pieces. In other architectures that is not known, so each word counts
    with the largest number of pieces that a tokenizer could make of it, and a span takes 512.

    Args:
        window: The largest number of words per span.
        stride: Words from the start of one span to the start of the next. Spans that are shorter
            because of their pieces overlap by the same share.

    Raises:
        VokensError: If the stride is not 1 to `window`.
    """

    def __init__(self, window: int, stride: int) -> None:
        if not 1 <= stride <= window:
            raise VokensError(
                "get_spans: stride must be 1 to window, so that no word is left out, but stride is "
                f"{stride} and window {window}."
            )
        self.window = window
        self.stride = stride
        self._shim: HFShim | None = None

    def fit(self, shim: HFShim) -> None:
        """Let the tokenizer of a transformer count the pieces.

        Args:
            shim: The shim of the transformer. It may get its tokenizer later.
        """
        self._shim = shim

    def __call__(self, docs: Sequence[Doc]) -> list[list[Span]]:
        """Split documents.

        Args:
            docs: The documents. They may be empty.

        Returns:
            The spans of each document, in order. Together they have all of its tokens. Only a
            single word can have more pieces than the encoder takes.
        """
        shim = self._shim
        tokenizer = None if shim is None else shim._hfmodel.tokenizer
        room = DEFAULT_LIMIT - DEFAULT_SPECIAL
        if shim is not None and tokenizer is not None:
            limit = piece_limit(tokenizer, shim._hfmodel.transformer.config)
            room = limit - tokenizer.num_special_tokens_to_add()
        spans: list[list[Span]] = []
        for doc in docs:
            if len(doc) <= self.window and max_pieces(doc.text) <= room:
                spans.append([doc[:]] if len(doc) else [])
            else:
                spans.append(self._split(doc, tokenizer, room))
        return spans

    def _split(self, doc: Doc, tokenizer: Any, room: int) -> list[Span]:
        words = np.flatnonzero(doc.to_array("IS_SPACE") == 0)
        if not len(words):
            return [doc[:]]
        # The token at which each word begins: the first one with the white space before it.
        starts = [0, *words[1:].tolist(), len(doc)]
        texts = [doc[start:end].text_with_ws for start, end in pairwise(starts)]
        totals = np.cumsum([0, *count_pieces(texts, tokenizer)])
        spans: list[Span] = []
        for start, end in self._lay(totals, room):
            spans += self._halve(doc, starts[start : end + 1], tokenizer, room)
        return spans

    def _halve(self, doc: Doc, starts: list[int], tokenizer: Any, room: int) -> list[Span]:
        """Split a span that has more pieces than its words have one by one.

        Args:
            doc: The document.
            starts: The token at which each word of the span begins, and the end of the last one.
            tokenizer: The tokenizer, or None.
            room: The largest number of pieces.
        """
        span = doc[starts[0] : starts[-1]]
        n_words = len(starts) - 1
        if n_words == 1 or count_pieces([span.text], tokenizer)[0] <= room:
            return [span]
        half = n_words // 2
        halves = (starts[: half + 1], starts[half:])
        return [part for each in halves for part in self._halve(doc, each, tokenizer, room)]

    def _lay(self, totals: np.ndarray, allowed: int) -> list[tuple[int, int]]:
        """Lay spans over words.

        Args:
            totals: How many pieces the words before each word have, (n_words + 1,).
            allowed: The largest number of pieces in a span of several words.

        Returns:
            The first word of each span, and the one after its last word.
        """
        n_words = len(totals) - 1
        bounds = []
        start = end = 0
        while end < n_words:
            fitting = int(np.searchsorted(totals, totals[start] + allowed, side="right")) - 1
            end = min(max(fitting, start + 1), start + self.window, n_words)
            bounds.append((start, end))
            start += max(1, (end - start) * self.stride // self.window)
        return bounds


def build_piece_spans_v1(window: int = 128, stride: int = 96) -> PieceSpans:
    """Build `spacy-vokens.piece_spans.v1`: spans of words whose pieces the encoder takes.

    Args:
        window: The largest number of words per span. Defaults to 128.
        stride: Words from the start of one span to the start of the next. Defaults to 96.

    Returns:
        The span getter.

    Raises:
        VokensError: If the stride is not 1 to `window`.
    """
    return PieceSpans(window, stride)


def piece_limit(tokenizer: Any, config: Any = None) -> int:
    """Return how many word pieces an encoder takes, special ones included.

    Args:
        tokenizer: Its tokenizer.
        config: Its config, which counts if the tokenizer has no limit or a larger one; or None.

    Returns:
        The number of pieces; `UNBOUNDED` or more if neither has a limit.
    """
    limit = int(min(tokenizer.model_max_length, 2 * UNBOUNDED))
    positions = getattr(config, "max_position_embeddings", None)
    if isinstance(positions, int) and 0 < positions < limit:
        # Some encoders, such as RoBERTa, leave the first two positions free.
        return positions - 2
    return limit


def count_pieces(texts: Sequence[str], tokenizer: Any) -> list[int]:
    """Count the word pieces of texts, without special ones.

    Args:
        texts: The texts.
        tokenizer: The tokenizer, or None to count the largest possible number.

    Returns:
        The number of pieces of each text.
    """
    if tokenizer is None:
        return [max_pieces(text) for text in texts]
    counts = [0] * len(texts)
    for batch in _batches(texts):
        # Padded as everywhere, since another thread may use the tokenizer at the same time, and a
        # change of its padding is no thread's own. Not verbose: long texts are split afterwards.
        found = tokenizer(
            [texts[i] for i in batch],
            add_special_tokens=False,
            padding="longest",
            return_attention_mask=True,
            verbose=False,
        )
        for i, mask in zip(batch, found["attention_mask"], strict=True):
            counts[i] = sum(mask)
    return counts


def _batches(texts: Sequence[str]) -> Iterator[list[int]]:
    """Yield the places of texts of similar length. A long text is alone."""
    batch: list[int] = []
    for i in sorted(range(len(texts)), key=lambda i: len(texts[i])):
        if batch and (len(batch) + 1) * len(texts[i]) > MAX_PADDED:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def max_pieces(text: str) -> int:
    """Return the largest number of word pieces that a tokenizer could make of a text.

    It is one piece per byte, of the text or of its compatibility decomposition, which tokenizers
    use.
    """
    n_bytes = len(text.encode("utf-8", "surrogatepass"))
    if n_bytes == len(text):
        return n_bytes
    return max(n_bytes, len(normalize("NFKD", text).encode("utf-8", "surrogatepass")))
