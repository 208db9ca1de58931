"""Check which tokens a tagger's text encoder has no word pieces for, or more than it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import AutoTokenizer

from ..files import VokensError
from ..messages import count_of
from ..models.piece_spans import UNBOUNDED, count_pieces, piece_limit
from .report import Message, Row, Section, share, table
from .splits import Split

PATIENCE_SECONDS = 3.0


def check_pieces(splits: Sequence[Split], encoder: str | None) -> Section:
    """Count the word pieces of each split's words.

    Args:
        splits: The splits.
        encoder: Folder of the text encoder, or the name of a model in this machine's cache. Without
            one, the section says how to name it.

    Raises:
        OSError: If the encoder's tokenizer is not on this machine.
        VokensError: If it is not a fast tokenizer.
    """
    if encoder is None:
        why = "--text-encoder FOLDER_OR_NAME counts the word pieces of your words."
        text = "Not checked, because no text encoder was named"
        return Section("Word pieces", (), (Message("info", text, why),))
    tokenizer = load_tokenizer(encoder)
    room = piece_limit(tokenizer) - tokenizer.num_special_tokens_to_add()
    rows: list[Row] = []
    messages = []
    for split in tqdm(
        splits, "Tokenizing", unit=" splits", delay=PATIENCE_SECONDS, disable=None, leave=False
    ):
        words = Counter(token.text for doc in split.docs for token in doc if not token.is_space)
        found = dict(zip(words, count_pieces(list(words), tokenizer), strict=True))
        without = [word for word, n_pieces in found.items() if not n_pieces]
        long = [word for word, n_pieces in found.items() if n_pieces > room]
        n_without, n_long = (sum(words[word] for word in some) for some in (without, long))
        longest = max(found.values(), default=0)
        rows.append(
            (split.name, words.total(), n_without, share(n_without, words.total()), longest, n_long)
        )
        if without:
            text = f"{split.name}: {count_of(n_without, 'token')} without a word piece"
            why = (
                "The encoder does not see them, for instance variation selectors. They have no "
                "image, and no entity begins or ends with one."
            )
            messages.append(Message("info", text, why))
        if hidden := _hidden_entities(split, set(without)):
            text = f"{split.name}: {count_of(hidden, 'entity', 'entities')} without a word piece"
            messages.append(Message("warn", text, "They can be neither learned nor found."))
        if long:
            text = f"{split.name}: {count_of(n_long, 'word')} with more than {room:,} word pieces"
            messages.append(Message("warn", text, "The encoder sees only their beginning."))
    if not any(message.level == "warn" for message in messages):
        limit = "" if room >= UNBOUNDED else f", and none has more than {room:,}"
        messages.append(Message("good", f"Every entity has word pieces{limit}"))
    header = ("Split", "Words", "Without a piece", "Share", "Most pieces", "Too many")
    return Section("Word pieces", (table(header, rows),), tuple(messages))


def _hidden_entities(split: Split, without: set[str]) -> int:
    """Count the entities that have no token but white space and words without a piece."""
    return sum(
        all(token.is_space or token.text in without for token in ent)
        for doc in split.docs
        for ent in doc.ents
    )


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
