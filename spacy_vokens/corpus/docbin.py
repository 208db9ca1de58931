"""Write and read `.spacy` corpora that keep image ids, vokens and raw tags."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import srsly
from spacy.attrs import IDS
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab
from thinc.api import NumpyOps

from .. import attributes  # noqa: F401  # registers the attributes in the user data
from ..files import CHUNK_BYTES, VokensError, file_written_aside
from ..scoring.ner import split_tag

# What a file keeps of tokens besides their texts and spaces, if a document has it.
ANNOTATIONS = (
    *("ENT_IOB", "ENT_TYPE", "ENT_KB_ID", "ENT_ID", "TAG", "POS", "MORPH", "LEMMA", "NORM"),
    *("DEP", "HEAD", "SENT_START"),
)
# Bound on a file's decompressed size: about forty million words with their vokens.
MAX_BYTES = 4 * 1024**3


def save_docs(docs: Iterable[Doc], path: str | Path) -> None:
    """Write documents with all annotations of tokens, categories, span groups and user data.

    Args:
        docs: Any number of documents.
        path: The `.spacy` file. Missing folders are made; an existing file is replaced once the
            new one is complete.
    """
    docs = list(docs)
    # The attributes that no document has would take most of the space in memory.
    used = [name for name in ANNOTATIONS if any(doc.has_annotation(name) for doc in docs)]
    doc_bin = DocBin(attrs=["ORTH", "SPACY", *used], docs=docs)
    # DocBin would make a packer per document. Each new packer looks for encoders in all installed
    # packages, which takes a millisecond or more.
    packer = srsly.msgpack.Packer(use_bin_type=True)
    doc_bin.store_user_data = True
    doc_bin.user_data = [packer.pack(doc.user_data) for doc in docs]
    with file_written_aside(Path(path)) as aside:
        doc_bin.to_disk(aside)


def load_docs(path: str | Path, vocab: Vocab) -> list[Doc]:
    """Read the documents of a corpus.

    Lists in the user data come back as tuples, because DocBin stores them with msgpack.

    Args:
        path: A `.spacy` file, or a folder whose `.spacy` files are read in the order of their
            paths.
        vocab: The vocabulary that the documents share.

    Returns:
        The documents, empty ones too.

    Raises:
        FileNotFoundError: If there is no such file, or no `.spacy` file in the folder.
        VokensError: If a file is not a DocBin, is damaged, is larger than `MAX_BYTES` when
            decompressed, or has invalid entities or values of our attributes. The message names
            the file.
    """
    return [doc for file in corpus_files(Path(path)) for doc in _load_file(file, vocab)]


def corpus_files(path: Path) -> list[Path]:
    """Return the `.spacy` files of a corpus: the file itself, or those in the folder, sorted.

    Args:
        path: A `.spacy` file, or a folder of them.

    Returns:
        At least one file.

    Raises:
        FileNotFoundError: If there is no such file, or none in the folder.
    """
    files = sorted(path.rglob("*.spacy")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise FileNotFoundError(
            f"Can't find the corpus {path}: expected a .spacy file, or a folder that contains "
            "some. `spacy vokens convert` writes them."
        )
    return files


def _load_file(path: Path, vocab: Vocab) -> list[Doc]:
    try:
        doc_bin = _unpack(_decompress(path))
        # Not by DocBin, which would look for decoders in all installed packages per document.
        user_data, doc_bin.user_data = doc_bin.user_data, []
        docs = list(doc_bin.get_docs(vocab))
        _check_strings(doc_bin, vocab)
        hook = _msgpack_hook()
        for number, (doc, packed) in enumerate(zip(docs, user_data, strict=True), start=1):
            if packed is not None:
                doc.user_data.update(_unpack_user_data(packed, hook))
            _check_entities(doc, number)
            _check_user_data(doc, number)
    except OSError:
        raise
    # A damaged file can make zlib, msgpack and DocBin raise anything.
    except Exception as error:
        raise VokensError(
            f"{path} is not a .spacy corpus, or is damaged: {error} (`spacy vokens convert` writes "
            "it again)."
        ) from error
    return docs


def _decompress(path: Path) -> bytes:
    """Decompress a file piece by piece, and stop at the bound.

    A small file can decompress to a thousand times its size, and DocBin would decompress it whole.
    """
    pieces = []
    size = 0
    inflater = zlib.decompressobj()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            while chunk:
                piece = inflater.decompress(chunk, CHUNK_BYTES)
                pieces.append(piece)
                size += len(piece)
                if size > MAX_BYTES:
                    raise VokensError(
                        f"decompressed, it is larger than the bound of {MAX_BYTES:,} bytes: split "
                        "it into several files in one folder"
                    )
                chunk = inflater.unconsumed_tail
            if inflater.unused_data:
                raise VokensError("more bytes follow after its end")
    pieces.append(inflater.flush())
    if not inflater.eof:
        raise VokensError("it ends too early")
    return b"".join(pieces)


def _unpack(data: bytes) -> DocBin:
    """Make a DocBin of its decompressed bytes, as `DocBin.from_bytes` does of compressed ones."""
    message = srsly.msgpack_loads(data)
    lengths = np.frombuffer(message["lengths"], dtype=np.int32)
    _check_sizes(message, lengths.tolist())
    doc_bin = DocBin()
    doc_bin.attrs = message["attrs"]
    doc_bin.strings = set(message["strings"])
    tokens = np.frombuffer(message["tokens"], dtype=np.uint64).reshape(-1, len(doc_bin.attrs))
    spaces = np.frombuffer(message["spaces"], dtype=bool).reshape(-1, 1)
    ops = NumpyOps()
    doc_bin.tokens, doc_bin.spaces = ops.unflatten(tokens, lengths), ops.unflatten(spaces, lengths)
    doc_bin.cats = message["cats"]
    doc_bin.flags = message.get("flags", [{} for _ in lengths])
    doc_bin.span_groups = message.get("span_groups", [b"" for _ in lengths])
    doc_bin.user_data = message.get("user_data", [None for _ in lengths])
    return doc_bin


def _msgpack_hook() -> Callable[..., Any] | None:
    """Chain the decoders of all installed packages, as `srsly.msgpack_loads` does at every call."""
    hook = None
    for decode in srsly.msgpack.msgpack_decoders.get_all().values():
        hook = partial(decode, chain=hook)
    return hook


def _unpack_user_data(packed: bytes, hook: Callable[..., Any] | None) -> dict[Any, Any]:
    # Naming `object_pairs_hook` tells srsly not to look for decoders.
    return srsly.msgpack.loads(
        packed, raw=False, use_list=False, object_hook=hook, object_pairs_hook=None
    )


def _check_sizes(message: dict[str, Any], lengths: list[int]) -> None:
    """Check that the sizes of a DocBin's arrays agree.

    If they did not, DocBin would drop tokens silently, or give a document too few.
    """
    n_tokens = sum(lengths)
    token_bytes = np.dtype(np.uint64).itemsize * len(message["attrs"])
    if (
        min(lengths, default=0) < 0
        or len(message["tokens"]) != n_tokens * token_bytes
        or len(message["spaces"]) != n_tokens
    ):
        raise VokensError(f"its arrays do not hold the {n_tokens} tokens of its documents")
    for name in ("cats", "flags", "span_groups", "user_data"):
        n_values = len(message.get(name, lengths))
        if n_values != len(lengths):
            raise VokensError(f"it has {len(lengths)} documents, but {n_values} {name!r}")


def _check_strings(doc_bin: DocBin, vocab: Vocab) -> None:
    """Check that the file contains the strings of all annotations, so that they can be saved."""
    for column, attribute in enumerate(doc_bin.attrs):
        if attribute not in _STRINGS or not doc_bin.tokens:
            continue
        values = np.unique(np.concatenate([tokens[:, column] for tokens in doc_bin.tokens]))
        if not all(value in vocab.strings for value in values.tolist() if value):
            raise VokensError(f"its {_STRINGS[attribute]} has a value without a string in the file")


def _check_entities(doc: Doc, number: int) -> None:
    try:
        # spaCy validates entities when they are read from the document, not when it is loaded.
        _ = doc.ents
    except ValueError as error:
        raise VokensError(f"the entities of document {number} are ill-formed: {error}") from error


def _check_user_data(doc: Doc, number: int) -> None:
    """Check the types of our attributes' values."""
    items: Any = doc.user_data.items()
    for key, value in items:
        if value is None or not isinstance(key, tuple) or key[:1] != ("._.",):
            continue
        is_valid = _VALUES.get(key[1])
        if is_valid is not None and not is_valid(value):
            raise VokensError(f"document {number} has {key[1]!r} with the value {value!r:.80}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, float | int)


def _is_ranking(value: Any) -> bool:
    return _is_attention(value) and all(image_id is not None for image_id, _ in value)


def _is_attention(value: Any) -> bool:
    return isinstance(value, tuple) and all(
        isinstance(entry, tuple)
        and len(entry) == 2
        and isinstance(entry[0], str | None)
        and _is_number(entry[1])
        for entry in value
    )


def _is_confidence(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], float | int | None)
    )


def _is_bio(value: Any) -> bool:
    if not isinstance(value, tuple) or not all(isinstance(tag, str) for tag in value):
        return False
    try:
        return all(map(split_tag, value))
    except VokensError:
        return False


# Attributes whose values are hashes of strings. spaCy looks them up when they are read.
_STRINGS = {
    IDS[name]: name for name in ("LEMMA", "NORM", "TAG", "DEP", "ENT_TYPE", "ENT_KB_ID", "ENT_ID")
}
# The values that an attribute may have besides None.
_VALUES: dict[str, Callable[[Any], bool]] = {
    "voken": _is_text,
    "voken_score": _is_number,
    "vokens": _is_ranking,
    "visual_gate": _is_number,
    "visual_attention": _is_attention,
    "visual_confidence": _is_confidence,
    "visual_image_id": _is_text,
    "voken_index": _is_text,
    "visual_raw_tags": _is_bio,
}
