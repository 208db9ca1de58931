"""Read tagged sentences with their image ids from CoNLL files with `IMGID:` lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .lines import check_image_id, quote, read_lines

IMAGE_ID_PREFIX = "IMGID:"


@dataclass(frozen=True)
class TaggedSentence:
    """One sentence of a CoNLL file.

    words: the tokens, as the file has them.
    tags: one BIO tag a token, as the file has them (they may be ill-formed).
    image_id: what stood after `IMGID:`, or None.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    image_id: str | None = None


def read_conll(path: Path, *, rename: Mapping[str, str] | None = None) -> Iterator[TaggedSentence]:
    """Yield the sentences of a CoNLL file.

    A sentence is a block of `word<TAB>tag` lines (or space-separated ones), ended by an empty
    line; of more columns the first and the last are read. An `IMGID:<id>` line starts a new
    sentence and names its picture, where an id is there. `-DOCSTART-` lines are passed over.

    path: a UTF-8 file (a byte order mark is accepted).
    rename: entity types to rename, for instance {"OTHER": "MISC"}.
    raises ValueError: naming the file, the line and its content, where a line has no tag or a tag
        is neither `O` nor `B-`/`I-` followed by a type, where a picture has no words before the
        next one, or can be in no pool; where the file has no sentence; or as `read_lines` does.
    """
    rename = rename or {}
    words: list[str] = []
    tags: list[str] = []
    image_id: str | None = None
    n_sentences = 0
    for number, line in read_lines(path):
        starts_picture = line.startswith(IMAGE_ID_PREFIX)
        if not line.strip(" \t") or starts_picture or line.startswith("-DOCSTART-"):
            if words:
                yield TaggedSentence(tuple(words), tuple(tags), image_id)
                n_sentences += 1
                words, tags, image_id = [], [], None
            if starts_picture:
                if image_id is not None:
                    raise ValueError(
                        f"{path}, line {number}: picture {quote(image_id)}, named above, has no "
                        f"words. Remove its {IMAGE_ID_PREFIX} line, or give it its sentence."
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
        raise ValueError(f"{path} holds no sentence: expected lines of 'word<TAB>tag'.")


def _split_line(line: str, path: Path, number: int) -> tuple[str, str]:
    """The word, the first column, and its tag, the last one."""
    stripped = line.rstrip(" \t")
    columns = stripped.split("\t") if "\t" in line else re.split(" +", stripped)
    if len(columns) < 2 or not columns[0]:
        raise ValueError(f"{path}, line {number}: expected 'word<TAB>tag', found {quote(line)}.")
    return columns[0], columns[-1]


def _rename_tag(tag: str, rename: Mapping[str, str], path: Path, number: int) -> str:
    prefix, dash, label = tag.partition("-")
    if tag == "O":
        return tag
    if prefix not in ("B", "I") or not dash or not label:
        raise ValueError(
            f"{path}, line {number}: expected the tag 'O', 'B-TYPE' or 'I-TYPE', found "
            f"{quote(tag)}."
        )
    return f"{prefix}-{rename.get(label, label)}"
