"""Write and read `.spacy` corpora that keep image ids, vokens and raw tags."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from .. import extensions  # noqa: F401  # the user data below are the extensions' values
from ..files import file_written_aside

ATTRIBUTES = ("ORTH", "SPACY", "ENT_IOB", "ENT_TYPE")


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
    raises ValueError: naming the file, where it is no DocBin.
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
        return list(DocBin().from_disk(path).get_docs(vocab))
    except ValueError as error:
        raise ValueError(f"{path} is no .spacy corpus, or is damaged: {error}") from error
