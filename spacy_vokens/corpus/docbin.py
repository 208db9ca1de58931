"""Write and read `.spacy` corpora that keep image ids, vokens and raw tags."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import srsly
from spacy.attrs import IDS
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from .. import extensions  # noqa: F401  # the user data below are the extensions' values
from ..files import CHUNK_BYTES, file_written_aside
from ..metrics.ner import repair_bio

ATTRIBUTES = ("ORTH", "SPACY", "ENT_IOB", "ENT_TYPE")
# Bound on a file's decompressed size: the tokens and vokens of some forty million words.
MAX_BYTES = 4 * 1024**3


def save_docs(docs: Iterable[Doc], path: str | Path) -> None:
    """Write documents with their tokens, entities and user data.

    docs: any number of documents.
    path: the `.spacy` file; missing folders are made, an older file is replaced once the new one
        is complete.
    """
    with file_written_aside(Path(path)) as aside:
        DocBin(attrs=ATTRIBUTES, store_user_data=True, docs=docs).to_disk(aside)


def load_docs(path: str | Path, vocab: Vocab) -> list[Doc]:
    """Read the documents of a corpus.

    Lists among the user data come back as tuples: msgpack, which DocBin stores them with, does so.

    path: a `.spacy` file, or a folder whose `.spacy` files are read in the order of their paths.
    vocab: the vocabulary that the documents share.
    raises FileNotFoundError: where there is no such file, or no `.spacy` file in the folder.
    raises ValueError: naming the file, where it is no DocBin, is damaged, has more than `MAX_BYTES`
        when decompressed, or holds entities or values of our extensions that cannot be.
    """
    return [doc for file in corpus_files(Path(path)) for doc in _load_file(file, vocab)]


def corpus_files(path: Path) -> list[Path]:
    """The `.spacy` files of a corpus: the file itself, or those in the folder, by their paths.

    raises FileNotFoundError: where there is no such file, or none in the folder.
    """
    files = sorted(path.rglob("*.spacy")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise FileNotFoundError(
            f"Can't find the corpus {path}: expected a .spacy file, or a folder that holds some. "
            "`spacy vokens convert` writes them."
        )
    return files


def _load_file(path: Path, vocab: Vocab) -> list[Doc]:
    try:
        _check_size(path)
        compressed = path.read_bytes()
        _check_arrays(srsly.msgpack_loads(zlib.decompress(compressed)))
        doc_bin = DocBin().from_bytes(compressed)
        docs = list(doc_bin.get_docs(vocab))
        _check_strings(doc_bin, vocab)
        for number, doc in enumerate(docs, start=1):
            _check_entities(doc, number)
            _check_user_data(doc, number)
    except OSError:
        raise
    # zlib, msgpack and DocBin raise whatever a damaged file leads them to.
    except Exception as error:
        raise ValueError(
            f"{path} is no .spacy corpus, or is damaged: {error} (`spacy vokens convert` writes "
            "them anew)."
        ) from error
    return docs


def _check_size(path: Path) -> None:
    """Raise ValueError where the file, decompressed, is larger than `MAX_BYTES`.

    DocBin would decompress all of it, and a file can stand for a thousand times its size.
    """
    size = 0
    inflater = zlib.decompressobj()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            while chunk:
                size += len(inflater.decompress(chunk, CHUNK_BYTES))
                if size > MAX_BYTES:
                    raise ValueError(
                        f"decompressed it has more than {MAX_BYTES:,} bytes, which is the bound: "
                        "split it into several files of one folder"
                    )
                chunk = inflater.unconsumed_tail
            if inflater.unused_data:
                raise ValueError("more bytes follow after its end")


def _check_arrays(message: dict[str, Any]) -> None:
    """Raise ValueError where the sizes of a DocBin's arrays contradict each other.

    DocBin would leave out tokens, or give a document fewer than it has.
    """
    lengths = np.frombuffer(message["lengths"], dtype=np.int32).tolist()
    n_tokens = sum(lengths)
    token_bytes = np.dtype(np.uint64).itemsize * len(message["attrs"])
    if (
        min(lengths, default=0) < 0
        or len(message["tokens"]) != n_tokens * token_bytes
        or len(message["spaces"]) != n_tokens
    ):
        raise ValueError(f"its arrays do not hold the {n_tokens} tokens of its documents")
    for name in ("cats", "flags", "span_groups", "user_data"):
        if len(message.get(name, lengths)) != len(lengths):
            raise ValueError(f"it holds {len(lengths)} documents, but {name!r} of another number")


def _check_strings(doc_bin: DocBin, vocab: Vocab) -> None:
    """Raise ValueError where an annotation is no string of the file: it could not be saved."""
    for column, attribute in enumerate(doc_bin.attrs):
        if attribute not in _STRINGS or not doc_bin.tokens:
            continue
        values = np.unique(np.concatenate([tokens[:, column] for tokens in doc_bin.tokens]))
        if not all(value in vocab.strings for value in values.tolist() if value):
            raise ValueError(f"its {_STRINGS[attribute]} holds what is no string of the file")


def _check_entities(doc: Doc, number: int) -> None:
    try:
        # spaCy looks at them when they are asked for, not when they are read.
        _ = doc.ents
    except ValueError as error:
        raise ValueError(f"the entities of document {number} are ill-formed: {error}") from error


def _check_user_data(doc: Doc, number: int) -> None:
    """Raise ValueError where a value of an extension is not of its type."""
    items: Any = doc.user_data.items()
    for key, value in items:
        if value is None or not isinstance(key, tuple) or key[:1] != ("._.",):
            continue
        is_valid = _VALUES.get(key[1])
        if is_valid is not None and not is_valid(value):
            raise ValueError(f"document {number} holds {key[1]!r} with the value {value!r:.80}")


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


def _is_bio(value: Any) -> bool:
    if not isinstance(value, tuple) or not all(isinstance(tag, str) for tag in value):
        return False
    try:
        repair_bio(value)
    except ValueError:
        return False
    return True


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


# Attributes that are hashes of strings, which spaCy looks up when they are asked for.
_STRINGS = {
    IDS[name]: name for name in ("LEMMA", "NORM", "TAG", "DEP", "ENT_TYPE", "ENT_KB_ID", "ENT_ID")
}
# What an extension's value may be besides None.
_VALUES: dict[str, Callable[[Any], bool]] = {
    "voken": _is_text,
    "voken_score": _is_number,
    "vokens": _is_ranking,
    "visual_gate": _is_number,
    "visual_attention": _is_attention,
    "confidence": _is_number,
    "image_id": _is_text,
    "voken_index": _is_text,
    "raw_tags": _is_bio,
}
