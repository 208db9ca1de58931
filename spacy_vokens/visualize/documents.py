"""Read the documents that a page shows, without the annotations that the pipeline will make."""

from __future__ import annotations

import random
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc

from ..corpus.docbin import load_docs
from ..corpus.lines import read_lines
from ..corpus.readers import blank_copy


def read_documents(path: Path, nlp: Language) -> list[Doc]:
    """Read a text file or a corpus as documents to be annotated by a pipeline.

    path: a UTF-8 `.txt` file with one text a line (empty lines are left out), or a `.spacy`
        corpus, whose documents keep their tokens, image ids, raw tags and vokens.
    nlp: the pipeline, for its tokenizer and vocabulary.
    raises ValueError: if the file is neither, or holds no document; or as `read_lines` and
        `load_docs` do.
    """
    if path.suffix == ".txt":
        docs = [nlp.make_doc(text) for _, line in read_lines(path) if (text := line.strip())]
    elif path.suffix == ".spacy":
        docs = [blank_copy(doc) for doc in load_docs(path, nlp.vocab)]
    else:
        raise ValueError(f"{path} is neither a .txt file with one text a line nor a .spacy corpus.")
    if not docs:
        raise ValueError(f"{path} holds no document.")
    return docs


def choose_documents(docs: list[Doc], limit: int, seed: int | None) -> list[Doc]:
    """Choose `limit` documents, all where there are fewer, in the order of the file.

    seed: draws them at random, the same for the same seed; None takes the first ones.
    """
    if seed is None or limit >= len(docs):
        return docs[:limit]
    rows = random.Random(seed).sample(range(len(docs)), limit)
    return [docs[row] for row in sorted(rows)]
