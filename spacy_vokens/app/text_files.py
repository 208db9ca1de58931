"""Read the text files that visitors upload, and convert documents to records for download."""

from __future__ import annotations

from typing import Any

import srsly
from spacy.tokens import Doc

from ..files import VokensError

MAX_TEXTS = 10_000


def read_texts(name: str, data: bytes) -> list[str]:
    """Read the texts of an uploaded file.

    Args:
        name: Name of the file: `.txt` for one text per line, `.jsonl` for one object with the key
            "text" per line. Empty lines are skipped.
        data: Content of the file, in UTF-8.

    Returns:
        The texts, at least one.

    Raises:
        VokensError: If the file is neither of the two or not UTF-8, if it has no texts or more than
            `MAX_TEXTS`, or if a line of a `.jsonl` file has no text.
    """
    suffix = name.rpartition(".")[2].lower()
    if suffix not in ("txt", "jsonl"):
        raise VokensError(f"{name} is neither a .txt file nor a .jsonl file.")
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise VokensError(f"{name} is not UTF-8: {error.reason} at byte {error.start}.") from None
    texts = []
    for number, line in enumerate(lines, start=1):
        if text := line.strip():
            texts.append(text if suffix == "txt" else _parse_text(text, name, number))
    if not texts:
        raise VokensError(f"{name} has no texts.")
    if len(texts) > MAX_TEXTS:
        raise VokensError(
            f"{name} has {len(texts):,} texts, but the app reads at most {MAX_TEXTS:,}. "
            "Use nlp.pipe for larger files."
        )
    return texts


def to_record(doc: Doc) -> dict[str, Any]:
    """Convert a document to a record for JSON: its text, its entities and the tokens' images."""
    return {
        "text": doc.text,
        "ents": [
            {
                "start": ent.start_char,
                "end": ent.end_char,
                "label": ent.label_,
                "text": ent.text,
                "confidence": ent._.visual_confidence,
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


def _parse_text(line: str, name: str, number: int) -> str:
    try:
        record = srsly.json_loads(line)
    # Deeply nested brackets are a RecursionError.
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        raise VokensError(f'{name}, line {number}: expected {{"text": "…"}}, found {line[:60]!r}.')
    return record["text"]
