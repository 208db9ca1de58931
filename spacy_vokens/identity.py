"""Ids of images, encoders, pools and indexes, as files and documents store them.

An image id is a relative path that names the same file on every operating system. Encoders, pools
and indexes are identified by hashes of their content, so that a mismatch is always noticed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PureWindowsPath
from unicodedata import normalize

from .files import VokensError

# Number of hexadecimal digits of a hash in index marks and messages.
SHORT_HASH_DIGITS = 16
_SHA256 = re.compile("[0-9a-f]{64}")
_MARK = re.compile(rf"([0-9a-f]{{{SHORT_HASH_DIGITS}}})-([0-9a-z_]+)(-not-own)?")


@dataclass(frozen=True)
class EncoderId:
    """Identifies an image encoder and its weights. Its text form is `name@sha256`.

    Attributes:
        name: The spec that loads it, for instance "torchvision:resnet152".
        sha256: SHA-256 of its weights, in hexadecimal.
    """

    name: str
    sha256: str

    @classmethod
    def parse(cls, text: str) -> EncoderId:
        """Parse the text form.

        Args:
            text: The text form.

        Returns:
            The identifier.

        Raises:
            VokensError: If the text has another form.
        """
        name, _, sha256 = text.rpartition("@")
        if not name or not _SHA256.fullmatch(sha256):
            raise VokensError(f"expected an encoder as NAME@SHA256, found {text!r}.")
        return cls(name, sha256)

    def __str__(self) -> str:
        return f"{self.name}@{self.sha256}"

    @property
    def short(self) -> str:
        """The name and the first digits of the hash, for messages."""
        return f"{self.name} (weights {self.sha256[:SHORT_HASH_DIGITS]})"


@dataclass(frozen=True)
class PoolId:
    """Identifies an image pool by its ids, features and texts. Its text form is the hash.

    Attributes:
        sha256: SHA-256 over the hashes of ids, features and, if there are any, texts, in
            hexadecimal.

    Raises:
        VokensError: If it is not a SHA-256.
    """

    sha256: str

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.sha256):
            raise VokensError(f"expected a pool's SHA-256, found {self.sha256!r}.")

    def __str__(self) -> str:
        return self.sha256

    @property
    def short(self) -> str:
        """The first digits of the hash, for index marks and messages."""
        return self.sha256[:SHORT_HASH_DIGITS]


@dataclass(frozen=True)
class IndexMark:
    """Identifies the index that a document's vokens come from; stored in `Doc._.voken_index`.

    Its text form is `POOL-KEYS`, followed by `-not-own` if `exclude_own` was set. Vokens that were
    retrieved with and without that setting are therefore never confused.

    Attributes:
        pool: `PoolId.short` of the index's pool.
        keys: The first digits of the SHA-256 of the index's keys. For vokens that were not
            retrieved, the name of the method that chose them.
        exclude_own: Whether a document's own image was excluded from its vokens.
    """

    pool: str
    keys: str
    exclude_own: bool = False

    @classmethod
    def parse(cls, text: str | None) -> IndexMark | None:
        """Parse what `Doc._.voken_index` holds.

        Args:
            text: The value of the attribute.

        Returns:
            The mark, or None if the document has no vokens or anything other than a
            `voken_retriever` set them.
        """
        found = _MARK.fullmatch(text or "")
        return cls(found[1], found[2], exclude_own=found[3] is not None) if found else None

    def __str__(self) -> str:
        return f"{self.pool}-{self.keys}" + ("-not-own" if self.exclude_own else "")


MAX_ID_LENGTH = 255
_EXTENSION = re.compile(r"(?<=[^/])\.(jpe?g|png|webp)$", re.IGNORECASE)
CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# Windows treats these as separators, streams or devices, and drops trailing dots and spaces.
_ELSEWHERE_ON_WINDOWS = re.compile(
    r"[\\:]|[. ](/|$)|(^|/)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *([./]|$)",
    re.IGNORECASE,
)


def image_id_of(name: str) -> str:
    """Return the id of an image: its file name or relative POSIX path without the extension."""
    return _EXTENSION.sub("", name)


def check_id(id: str, *, max_length: int | None = MAX_ID_LENGTH) -> None:
    """Check that a string can be an image id, or the relative path of an image file.

    Both stay in their folder and name the same file on every operating system.

    Args:
        id: The id or path.
        max_length: The largest number of characters; None for paths, which have no limit.

    Raises:
        VokensError: If it is too long or empty, leaves its folder, names something else on Windows,
            or contains control characters.
    """
    if max_length is not None and len(id) > max_length:
        raise VokensError(f"the id {id[:20]!r}… has {len(id)} characters, more than {max_length}")
    # Windows paths know both separators, drives and roots, so they cover every system.
    parsed = PureWindowsPath(id)
    if not id.strip():
        raise VokensError("an id or path is empty")
    if parsed.anchor or ".." in parsed.parts:
        raise VokensError(f"{id!r} leads out of its folder")
    if _ELSEWHERE_ON_WINDOWS.search(id):
        raise VokensError(f"{id!r} would name something else on Windows")
    if CONTROL_CHARACTERS.search(id):
        raise VokensError(f"{id!r} holds control characters, or is not valid Unicode")


def caseless(id: str) -> str:
    """Return what is equal of ids that differ in case and Unicode form only.

    Such ids are one file on Windows and macOS. This is the Unicode standard's canonical caseless
    match.
    """
    return normalize("NFD", normalize("NFD", id).casefold())


def describe_lookalike(unknown: Iterable[str], known: Iterable[str]) -> str:
    """Say which unknown id is nearly a known one, for a message.

    Args:
        unknown: Ids that were not found.
        known: The ids that they were looked up in.

    Returns:
        A sentence with a space before it, or "" if no id differs in case and Unicode form only.
    """
    wanted = {caseless(id): id for id in sorted(unknown, reverse=True)}
    if not wanted:
        return ""
    found = next(((wanted[key], id) for id in known if (key := caseless(id)) in wanted), None)
    if found is None:
        return ""
    one, other = found
    same_letters = normalize("NFC", one) == normalize("NFC", other)
    what = "in their Unicode form" if same_letters else "in case"
    shown = (ascii(id) if same_letters else repr(id) for id in found)
    return f" {' and '.join(shown)} differ only {what}: write both the same way."


def check_ids(ids: Sequence[str]) -> None:
    """Check the ids of a pool or an index.

    Args:
        ids: The ids.

    Raises:
        VokensError: If there are no ids, if one is not valid, or if they are not sorted and unique.
    """
    if not ids:
        raise VokensError("there are no images")
    for id in ids:
        check_id(id)
    for one, other in pairwise(ids):
        if one >= other:
            problem = "appears twice" if one == other else f"comes after {one!r}"
            raise VokensError(f"ids must be sorted and unique, but {other!r} {problem}")


def hash_ids(ids: Iterable[str]) -> str:
    """Return the SHA-256 over the ids in order, each followed by NUL, which no id contains."""
    digest = hashlib.sha256()
    for id in ids:
        digest.update(id.encode("utf-8") + b"\0")
    return digest.hexdigest()
