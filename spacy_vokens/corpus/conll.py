"""Read tagged sentences with their image ids from CoNLL files with `IMGID:` lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..files import VokensError
from ..scoring.ner import split_tag
from .lines import check_image_id, quote, read_lines

IMAGE_ID_PREFIX = "IMGID:"


@dataclass(frozen=True)
class TaggedSentence:
    """One sentence of a CoNLL file.

    Attributes:
        words: The tokens, as written in the file.
        tags: One BIO tag per token, as written in the file (they may be ill-formed).
        image_id: The text after `IMGID:`, or None.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    image_id: str | None = None


def read_conll(path: Path, *, rename: Mapping[str, str] | None = None) -> Iterator[TaggedSentence]:
    """Yield the sentences of a CoNLL file.

    A sentence is a block of `word<TAB>tag` lines (or space-separated ones) that ends at an empty
    line. If there are more columns, the first and the last are read. An `IMGID:<id>` line starts a
    new sentence and names its image; the id may be left out. `-DOCSTART-` lines are skipped.

    Args:
        path: A UTF-8 file (a byte order mark is accepted).
        rename: Entity types to rename, for instance {"OTHER": "MISC"}.

    Yields:
        The sentences, in the order of the file.

    Raises:
        VokensError: If a line has no tag, a tag is neither `O` nor `B-`/`I-` followed by a type,
            an image has no words before the next one, no pool can contain an image of that name,
            the file has no sentences, or the file is not valid text. The message names the file,
            the line and what was found.
    """
    rename = rename or {}
    words: list[str] = []
    tags: list[str] = []
    image_id: str | None = None
    n_sentences = 0
    for number, line in read_lines(path):
        starts_image = line.startswith(IMAGE_ID_PREFIX)
        if not line.strip(" \t") or starts_image or line.startswith("-DOCSTART-"):
            if words:
                yield TaggedSentence(tuple(words), tuple(tags), image_id)
                n_sentences += 1
                words, tags, image_id = [], [], None
            if starts_image:
                if image_id is not None:
                    raise VokensError(
                        f"{path}, line {number}: image {quote(image_id)}, named above, has no "
                        f"words. Remove its {IMAGE_ID_PREFIX} line, or add its sentence."
                    )
                image_id = line.removeprefix(IMAGE_ID_PREFIX).strip() or None
                if image_id is not None:
                    check_image_id(image_id, path, number)
            continue
        word, tag = _split_line(line, path, number)
        words.append(word)
        tags.append(_rename_tag(tag, rename, path, number))
    if words:
        yield TaggedSentence(tuple(words), tuple(tags), image_id)
        n_sentences += 1
    if not n_sentences:
        raise VokensError(f"{path} has no sentences: expected lines of 'word<TAB>tag'.")


def _split_line(line: str, path: Path, number: int) -> tuple[str, str]:
    """Return the word (first column) and its tag (last column)."""
    stripped = line.rstrip(" \t")
    columns = stripped.split("\t") if "\t" in line else re.split(" +", stripped)
    if len(columns) < 2 or not columns[0]:
        raise VokensError(f"{path}, line {number}: expected 'word<TAB>tag', found {quote(line)}.")
    return columns[0], columns[-1]


def _rename_tag(tag: str, rename: Mapping[str, str], path: Path, number: int) -> str:
    try:
        prefix, label = split_tag(tag)
    except VokensError as error:
        raise VokensError(f"{path}, line {number}: {error}") from None
    return f"{prefix}-{rename.get(label, label)}" if label else tag
