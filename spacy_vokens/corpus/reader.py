"""The training corpus: examples that keep the corpus's tokens, image ids, vokens and raw tags."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spacy.errors import Errors
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import logger
from spacy.vocab import Vocab

from ..files import VokensError
from .docbin import load_docs


def create_corpus(path: str | Path | None, limit: int = 0) -> Corpus:
    """Build the reader `spacy-vokens.Corpus.v1`.

    Args:
        path: A `.spacy` file, or a folder of them.
        limit: If above 0, read only the first `limit` documents. Defaults to 0.

    Returns:
        The reader.

    Raises:
        VokensError: If the path is None, because the config does not set it.
    """
    if path is None:
        raise VokensError(Errors.E913)
    return Corpus(path, limit=limit)


class Corpus:
    """Iterate over the examples of a `.spacy` corpus.

    Unlike spaCy's own reader, it does not tokenize the text again: an example's predicted document
    has the reference's tokens and a copy of its user data (whose keys are character offsets), but
    not its entities. The file is read once, and its documents stay in memory.

    Args:
        path: A `.spacy` file, or a folder of them.
        limit: If above 0, read only the first `limit` documents. Defaults to 0.
    """

    def __init__(self, path: str | Path, *, limit: int = 0) -> None:
        self.path = Path(path)
        self.limit = limit
        self._vocab: Vocab | None = None
        self._references: list[Doc] = []

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """Yield the examples, each time with new predicted documents.

        Documents without tokens are skipped, as spaCy's reader skips them.

        Args:
            nlp: The pipeline whose vocabulary the documents get.

        Yields:
            The examples, in the order of the corpus.

        Raises:
            FileNotFoundError: If the corpus is missing.
            VokensError: If a file is not a `.spacy` corpus, or is damaged.
        """
        if self._vocab is not nlp.vocab:
            self._references = self._read(nlp.vocab)
            self._vocab = nlp.vocab
        for reference in self._references:
            yield Example(blank_copy(reference), reference)

    def _read(self, vocab: Vocab) -> list[Doc]:
        docs = load_docs(self.path, vocab)
        filled = [doc for doc in docs if len(doc)]
        if len(filled) < len(docs):
            logger.info("%s: skipped %d empty documents", self.path, len(docs) - len(filled))
        return filled[: self.limit] if self.limit > 0 else filled


def blank_copy(doc: Doc) -> Doc:
    """Copy a document's tokens, spaces and user data, and no other annotation."""
    # DocBin passes arrays of hashes and flags too. It takes half the time of a loop over tokens.
    words: Any = doc.to_array("ORTH")
    spaces: Any = doc.to_array("SPACY").astype(bool)
    return Doc(doc.vocab, words=words, spaces=spaces, user_data=dict(doc.user_data))
