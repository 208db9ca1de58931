"""Read and choose the documents that a page shows."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import minibatch
from tqdm import tqdm

from ..corpus.docbin import load_docs
from ..corpus.lines import read_lines
from ..corpus.readers import blank_copy
from ..metrics.ner import Span, bio_tags, strict_spans
from .explanation import find_flips

BATCH = 64


def read_documents(path: Path, nlp: Language) -> list[Doc]:
    """Read a text file or a corpus as documents to be annotated by a pipeline.

    path: a UTF-8 `.txt` file with one text a line (empty lines are left out), or a `.spacy`
        corpus, whose documents keep their tokens, image ids and vokens, and their entities as
        `Doc._.raw_tags`, where these are not there.
    nlp: the pipeline, for its tokenizer and vocabulary.
    raises ValueError: if the file is neither, or holds no document; or as `read_lines` and
        `load_docs` do.
    """
    if path.suffix == ".txt":
        docs = [nlp.make_doc(text) for _, line in read_lines(path) if (text := line.strip())]
    elif path.suffix == ".spacy":
        docs = [_without_entities(doc) for doc in load_docs(path, nlp.vocab)]
    else:
        raise ValueError(f"{path} is neither a .txt file with one text a line nor a .spacy corpus.")
    if not docs:
        raise ValueError(f"{path} holds no document.")
    return docs


def choose_documents(docs: list[Doc], limit: int, seed: int | None) -> list[Doc]:
    """Choose `limit` documents, all where there are fewer, in the order of the file.

    seed: draws them at random, the same for the same seed; None takes the first ones.
    """
    rows = _order(len(docs), seed)[:limit]
    return [docs[row] for row in sorted(rows)]


def find_documents(
    nlp: Language,
    docs: list[Doc],
    only: Literal["errors", "flips"],
    limit: int,
    seed: int | None,
) -> list[Doc]:
    """Annotate documents until `limit` of a kind are found; in the order of the file.

    only: "errors", whose entities are not the corpus's by the strict reading; or "flips", whose
        entities are others without the pictures. The title of such a document is its number in
        the file and, of a flip, which entities these are.
    seed: as for `choose_documents`.
    raises ValueError: for errors, where no document has entities to hold others against; for
        flips, where the pipeline has no `visual_ner`.
    """
    if only == "errors" and all(doc._.raw_tags is None for doc in docs):
        raise ValueError("the documents have no entities of their own to hold the found against.")
    rows = _order(len(docs), seed)
    progress = tqdm(rows, f"Looking for {only}", unit=" docs", disable=None, leave=False)
    stream = zip(rows, nlp.pipe(docs[row] for row in progress), strict=True)
    of_kind = _errors(stream) if only == "errors" else _flips(nlp, stream)
    return [doc for _, doc in sorted(islice(of_kind, limit), key=lambda found: found[0])]


def _errors(stream: Iterable[tuple[int, Doc]]) -> Iterator[tuple[int, Doc]]:
    for row, doc in stream:
        if doc._.raw_tags is not None and set(strict_spans(doc._.raw_tags)) != set(_entities(doc)):
            doc.user_data["title"] = f"document {row + 1}"
            yield row, doc


def _flips(nlp: Language, stream: Iterable[tuple[int, Doc]]) -> Iterator[tuple[int, Doc]]:
    for batch in minibatch(stream, BATCH):
        flips = find_flips(nlp, [doc for _, doc in batch])
        for (row, doc), (ours, without) in zip(batch, flips, strict=True):
            if ours != without:
                gained = _named(doc, [span for span in without if span not in ours])
                lost = _named(doc, [span for span in ours if span not in without])
                change = f"without pictures: {gained or f'not {lost}'}"
                doc.user_data["title"] = f"document {row + 1} · {change}"
                yield row, doc


def _named(doc: Doc, spans: list[Span]) -> str:
    return ", ".join(f"{doc[start:end].text} {label}" for start, end, label in spans)


def _entities(doc: Doc) -> list[Span]:
    return [(ent.start, ent.end, ent.label_) for ent in doc.ents]


def _without_entities(doc: Doc) -> Doc:
    copy = blank_copy(doc)
    if copy._.raw_tags is None and doc.has_annotation("ENT_IOB"):
        copy._.raw_tags = bio_tags(doc)
    return copy


def _order(n: int, seed: int | None) -> list[int]:
    rows = list(range(n))
    if seed is not None:
        random.Random(seed).shuffle(rows)
    return rows
