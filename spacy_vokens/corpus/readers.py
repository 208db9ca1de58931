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

from .docbin import load_docs


def create_corpus(path: str | Path | None, limit: int = 0) -> Corpus:
    """Build the reader `spacy-vokens.Corpus.v1`.

    path: a `.spacy` file, or a folder of them.
    limit: read the first `limit` documents only, where above 0. Defaults to 0.
    raises ValueError: where the path is None, as it is in a config that was not told any.
    """
    if path is None:
        raise ValueError(Errors.E913)
    return Corpus(path, limit=limit)


class Corpus:
    """Iterate over the examples of a `.spacy` corpus.

    Unlike spaCy's own reader it does not tokenise anew: an example's predicted document has the
    reference's tokens and a copy of its user data (whose keys are character offsets), but not its
    entities. The file is read once and its documents stay in memory.

    path: a `.spacy` file, or a folder of them.
    limit: read the first `limit` documents only, where above 0. Defaults to 0.
    """

    def __init__(self, path: str | Path, *, limit: int = 0) -> None:
        self.path = Path(path)
        self.limit = limit
        self._vocab: Vocab | None = None
        self._references: list[Doc] = []

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """Yield the examples, each time with new predicted documents.

        Documents without tokens are left out, as spaCy's reader leaves them out.

        raises FileNotFoundError: where the corpus is missing.
        raises ValueError: where a file is no DocBin.
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
            logger.info("%s: left out %d empty documents", self.path, len(docs) - len(filled))
        return filled[: self.limit] if self.limit > 0 else filled


def blank_copy(doc: Doc) -> Doc:
    """A document with the same tokens, spaces and user data, and no other annotation."""
    # Hashes and flags as arrays, as DocBin passes them: half the time of going through the tokens.
    words: Any = doc.to_array("ORTH")
    spaces: Any = doc.to_array("SPACY").astype(bool)
    return Doc(doc.vocab, words=words, spaces=spaces, user_data=dict(doc.user_data))
