"""Read tagged sentences with their image ids from CoNLL files with `IMGID:` lines."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

from ..files import VokensError
from ..scoring.ner import repair_bio
from .lines import check_image_id, quote, read_lines

logger = logging.getLogger(__name__)

IMAGE_ID_PREFIX = "IMGID:"
# Tag schemes. In "IOB1", an entity begins with `I-`, and with `B-` only right after one of the
# same type. "IOBES" stands for BIOES, BILOU and BMES too.
Scheme = Literal["IOB2", "IOB1", "IOBES"]
# How the tags of other schemes begin or continue an entity, and which of them end it.
_BEGINS, _CONTINUES, _ENDS = "BSU", "IMEL", "ESLU"
# A word and its tag, which is no comment although the word may be a hashtag.
_TAGGED = re.compile(r"[^\t ]+(\t| +)(O|[BIESLUM]-\S+)")
# Sentences of at least this length show whether a column holds words.
MIN_COUNTED = 3
# In a file with fewer entities, all of them may begin with `I-` by mistake.
MIN_ENTITIES = 10
_NUMBER = re.compile(r"(\d+)\.?$")


@dataclass(frozen=True)
class ConllOptions:
    """How to read CoNLL files.

    Attributes:
        word_column: The column of the words, counted from 1.
        tag_column: The column of the tags; the last one if None.
        header: Whether the first line names the columns.
        comment: Lines that begin with this are skipped, unless they are a word and a tag, which is
            an error; None skips none.
        scheme: How the tags mark the beginning of an entity; found out if None.
        rename: Entity types to rename, for instance {"OTHER": "MISC"}.
        merge: Whether types may be renamed to a type that the files already have.
    """

    word_column: int = 1
    tag_column: int | None = None
    header: bool = False
    comment: str | None = None
    scheme: Scheme | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    merge: bool = False


@dataclass(frozen=True)
class TaggedSentence:
    """One sentence of a CoNLL file.

    Attributes:
        words: The tokens, as written in the file.
        tags: One tag per token; BIO tags may be ill-formed.
        image_id: The text after `IMGID:`, or None.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    image_id: str | None = None


@dataclass(frozen=True)
class Conll:
    """The content of CoNLL files.

    Attributes:
        sentences: The sentences of each file, with BIO tags: the file's own if its scheme is
            "IOB2", which may be ill-formed, or else those that they were converted to.
        scheme: The scheme that the files are written in.
    """

    sentences: dict[Path, list[TaggedSentence]]
    scheme: Scheme


def read_conll(paths: Sequence[Path], options: ConllOptions = ConllOptions()) -> Conll:
    """Read CoNLL files that belong together.

    A sentence is a block of `word<TAB>tag` lines (or space-separated ones) that ends at an empty
    line. An `IMGID:<id>` line starts a new sentence and names its image; the id may be left out.
    `-DOCSTART-` lines are skipped.

    Args:
        paths: UTF-8 files (byte order marks are accepted), all with tags of one scheme.
        options: How to read them.

    Returns:
        The sentences of each file, in order.

    Raises:
        VokensError: If a line has no tag, a tag is neither `O` nor a prefix and a type, an image
            has no words before the next one, no pool can contain an image of that name, the words
            are numbers that count up, it is not clear which scheme the tags have, a type would be
            merged with another one, a file has no sentences, or is not valid text. The message
            names the file, the line and what was found.
    """
    found = {path: list(_read_file(path, options)) for path in paths}
    names = ", ".join(map(str, paths)) if len(paths) < 3 else f"{paths[0].parent}"
    every = [sentence for sentences in found.values() for sentence in sentences]
    _check_words([sentence.words for sentence in every], names)
    scheme = options.scheme or find_scheme([sentence.tags for sentence in every], names)
    if options.scheme is None and scheme == "IOB2":
        _check_each_scheme(found)
    for tag in sorted({tag for sentence in every for tag in sentence.tags}):
        if scheme != "IOBES" and tag[0] not in "OBI":
            raise VokensError(f"{names}: {quote(tag)} is not a tag of {scheme}, but of IOBES.")
    _check_rename({_split(tag)[1] for sentence in every for tag in sentence.tags}, options, names)

    def convert(sentence: TaggedSentence) -> TaggedSentence:
        tags = to_bio(sentence.tags, scheme)
        return replace(sentence, tags=tuple(_rename(tag, options.rename) for tag in tags))

    return Conll({path: list(map(convert, read)) for path, read in found.items()}, scheme)


def find_scheme(sentences: Sequence[Sequence[str]], names: str = "The tags") -> Scheme:
    """Find out which scheme tags are written in.

    Args:
        sentences: The tags of each sentence.
        names: What the message calls them.

    Returns:
        The scheme.

    Raises:
        VokensError: If many entities begin with `I-`, and others with `B-`.
    """
    if any(tag[0] in "ESLUM" for tags in sentences for tag in tags):
        return "IOBES"
    n_begun = _count_begun(sentences)
    if n_begun["I"] and not n_begun["B"]:
        return "IOB1"
    if n_begun["I"] > n_begun["B"]:
        raise VokensError(
            f"{names}: {n_begun['I']:,} entities begin with I-, and {n_begun['B']:,} with B-, so "
            "it is not clear which scheme the tags have. Name it: --scheme IOB1 if entities begin "
            "with I-, or --scheme IOB2 if they begin with B- and the others are mistakes."
        )
    return "IOB2"


def _count_begun(sentences: Iterable[Sequence[str]]) -> dict[str, int]:
    """Count the entities that begin with `B-` and with `I-`."""
    n_begun = {"B": 0, "I": 0}
    for tags in sentences:
        previous = ""
        for prefix, label in map(_split, tags):
            # A `B-` right after the same type says nothing: both schemes write it.
            if label and label != previous:
                n_begun[prefix] += 1
            previous = label
    return n_begun


def _check_each_scheme(found: Mapping[Path, Sequence[TaggedSentence]]) -> None:
    """Check that no file is in IOB1 beside others in IOB2."""
    for path, sentences in found.items():
        n_begun = _count_begun(sentence.tags for sentence in sentences)
        if n_begun["I"] >= MIN_ENTITIES and n_begun["I"] > n_begun["B"]:
            raise VokensError(
                f"{path}: {n_begun['I']:,} entities begin with I-, and {n_begun['B']:,} with B-, "
                "but in the other files they begin with B-. Convert this file apart with --scheme "
                "IOB1 if that is its scheme, or all of them with --scheme IOB2 if it has mistakes."
            )


def to_bio(tags: Sequence[str], scheme: Scheme) -> list[str]:
    """Convert tags to BIO (IOB2), in which every entity begins with `B-`.

    Args:
        tags: The tags of a sentence.
        scheme: Their scheme. Tags in IOB2 are returned as they are, ill-formed ones too.

    Returns:
        BIO tags.
    """
    if scheme == "IOB2":
        return list(tags)
    if scheme == "IOB1":
        return repair_bio(tags)
    converted = []
    # The type of an entity that may go on.
    current = ""
    for prefix, label in map(_split, tags):
        goes_on = prefix in _CONTINUES and label == current
        converted.append(f"{'I' if goes_on else 'B'}-{label}" if label else "O")
        current = "" if prefix in _ENDS else label
    return converted


def _read_file(path: Path, options: ConllOptions) -> Iterator[TaggedSentence]:
    words: list[str] = []
    tags: list[str] = []
    image_id: str | None = None
    n_sentences = 0
    for number, line in read_lines(path):
        if options.header and number == 1:
            continue
        if options.comment and line.startswith(options.comment):
            if _TAGGED.fullmatch(line):
                raise VokensError(
                    f"{path}, line {number}: {quote(line)} begins with {options.comment!r} but has "
                    "a word and a tag. Give --comment more of what comments begin with."
                )
            continue
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
        word, tag = _split_line(line, path, number, options)
        words.append(word)
        tags.append(tag)
    if words:
        yield TaggedSentence(tuple(words), tuple(tags), image_id)
        n_sentences += 1
    if not n_sentences:
        raise VokensError(f"{path} has no sentences: expected lines of 'word<TAB>tag'.")


def _split_line(line: str, path: Path, number: int, options: ConllOptions) -> tuple[str, str]:
    """Return the word and its tag."""
    stripped = line.rstrip(" \t")
    columns = stripped.split("\t") if "\t" in line else re.split(" +", stripped)
    word = options.word_column
    last = max(word, options.tag_column or word + 1)
    if len(columns) < last or not columns[word - 1]:
        expected = "'word<TAB>tag'" if last == 2 else f"{last} columns"
        raise VokensError(
            f"{path}, line {number}: expected {expected}, found {quote(line)}."
            + _hint(line, number)
        )
    tag = columns[-1 if options.tag_column is None else options.tag_column - 1]
    prefix, label = _split(tag)
    if tag != "O" and not (label and len(prefix) == 1 and prefix in _BEGINS + _CONTINUES):
        raise VokensError(
            f"{path}, line {number}: expected the tag 'O', 'B-TYPE' or 'I-TYPE' (or of IOBES), "
            f"found {quote(tag)}." + _hint(line, number)
        )
    return columns[word - 1], tag


def _hint(line: str, number: int) -> str:
    """Say how to skip a line that may be a comment or a header."""
    if line.startswith("#"):
        return " If lines like this one are comments, skip them with --comment '#'."
    if number == 1:
        return " If the first line names the columns, skip it with --header."
    return " Name the columns with --word-column and --tag-column if there are others."


def _check_words(sentences: Sequence[Sequence[str]], names: str) -> None:
    """Check that the words of most sentences are no numbers that count up, and not all the same."""
    long = [words for words in sentences if len(words) >= MIN_COUNTED]
    counted = [words for words in long if _is_counted(words)]
    if 2 * len(counted) > len(long):
        raise VokensError(
            f"{names}: the words are {', '.join(counted[0][:MIN_COUNTED])}, … in {len(counted):,} "
            f"of {len(long):,} sentences, so this column counts words or sentences. Name the "
            "column of the words with --word-column, and that of the tags with --tag-column."
        )


def _is_counted(words: Sequence[str]) -> bool:
    """Tell whether words are numbers that count up, such as "7." or "2-7", or one number."""
    found = [_NUMBER.search(word) for word in words]
    numbers = [int(number[1]) for number in found if number is not None]
    steps = {after - before for before, after in pairwise(numbers)}
    return len(numbers) == len(words) and (steps == {1} or len(set(words)) == 1)


def _check_rename(labels: set[str], options: ConllOptions, names: str) -> None:
    """Check that no two types would become one, and warn if a type to rename does not occur."""
    renamed = {old: new for old, new in options.rename.items() if old in labels}
    if absent := sorted(options.rename.keys() - labels):
        logger.warning(
            "%s: there is no entity type %s to rename. The types are %s.",
            names,
            ", ".join(absent),
            ", ".join(sorted(labels - {""})) or "none",
        )
    kept = {label: label for label in labels - {""} if label not in renamed}
    became: dict[str, str] = {}
    for old, new in sorted({**kept, **renamed}.items()):
        other = became.setdefault(new, old)
        if other != old and not options.merge:
            raise VokensError(
                f"{names}: renaming would make one type, {new}, of {other} and {old}. To merge "
                "them, use --merge; otherwise rename to a type that does not occur."
            )


def _split(tag: str) -> tuple[str, str]:
    """Return the prefix and the type of a tag; "O" and "" if it is outside of entities."""
    prefix, _, label = tag.partition("-")
    return prefix, label


def _rename(tag: str, rename: Mapping[str, str]) -> str:
    prefix, label = _split(tag)
    return f"{prefix}-{rename.get(label, label)}" if label else tag
