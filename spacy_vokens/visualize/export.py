"""Texts of a file that somebody uploads, and documents as plain records."""

from __future__ import annotations

from typing import Any

import srsly
from spacy.tokens import Doc

MAX_TEXTS = 10_000


def read_texts(name: str, data: bytes) -> list[str]:
    """The texts of a `.txt` file, one a line, or of a `.jsonl` file, under the key "text".

    raises ValueError: naming the file, where it is neither, is no UTF-8, has no text or more than
        `MAX_TEXTS`, or has a line without a text.
    """
    suffix = name.rpartition(".")[2].lower()
    if suffix not in ("txt", "jsonl"):
        raise ValueError(f"{name} is neither a .txt file nor a .jsonl file.")
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name} is no UTF-8 text: {error.reason} at byte {error.start}."
        ) from None
    texts = []
    for number, line in enumerate(lines, start=1):
        if not (text := line.strip()):
            continue
        texts.append(text if suffix == "txt" else _text_of(text, name, number))
    if not texts:
        raise ValueError(f"{name} holds no text.")
    if len(texts) > MAX_TEXTS:
        raise ValueError(
            f"{name} holds {len(texts):,} texts, of which the app takes {MAX_TEXTS:,} at most: "
            "use nlp.pipe for it."
        )
    return texts


def _text_of(line: str, name: str, number: int) -> str:
    try:
        record = srsly.json_loads(line)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        raise ValueError(f'{name}, line {number}: expected {{"text": "…"}}, found {line[:60]!r}.')
    return record["text"]


def as_record(doc: Doc) -> dict[str, Any]:
    """A document as what JSON can hold: its text, entities and the tokens' pictures."""
    return {
        "text": doc.text,
        "ents": [
            {
                "start": ent.start_char,
                "end": ent.end_char,
                "label": ent.label_,
                "text": ent.text,
                "confidence": ent._.confidence,
                "voken": ent._.voken,
            }
            for ent in doc.ents
        ],
        "tokens": [
            {
                "text": token.text,
                "voken": token._.voken,
                "score": token._.voken_score,
                "gate": token._.visual_gate,
            }
            for token in doc
        ],
    }
