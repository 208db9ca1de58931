"""Annotate texts or a corpus with a pipeline, and show documents of it on an HTML page."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import minibatch
from tqdm import tqdm

from ..attributes import get_token_values
from ..corpus.docbin import load_docs
from ..corpus.lines import read_lines
from ..corpus.reader import blank_copy
from ..files import VokensError, file_written_aside
from ..index import VokenIndex
from ..messages import count_of
from ..pipeline.util import find_pipe
from ..pipeline.voken_retriever import VokenRetriever
from ..scoring.image_texts import recorded_texts
from ..scoring.ner import bio_tags, strict_spans
from ..scoring.word_hit import image_stems, word_hit
from ..stems import stemmer_of
from .explain import EntitySpan, find_flips
from .render import TITLE, to_html

BATCH_SIZE = 64


@dataclass(frozen=True)
class PageOptions:
    """Which documents a page shows, and how.

    Attributes:
        limit: Number of documents, at most.
        sample_seed: Seed to draw the documents at random; None takes the first ones.
        only: "errors" limits the page to documents whose entities differ from the corpus's,
            "flips" to documents whose entities are different without images.
        style: "vokens" shows each word with its image, "ent" shows the entities only.
        top_k: Number of images per word, shown on hovering.
        title: Heading of the page.
    """

    limit: int = 20
    sample_seed: int | None = None
    only: Literal["errors", "flips"] | None = None
    style: str = "vokens"
    top_k: int = 5
    title: str = TITLE


@dataclass(frozen=True)
class PageReport:
    """What a page shows.

    Attributes:
        n_docs: Number of documents.
        n_vokens: Number of distinct vokens.
        has_images: Whether the pipeline retrieves images.
    """

    n_docs: int
    n_vokens: int
    has_images: bool


def visualize(
    model: str | Path, data: Path, output: Path, options: PageOptions | None = None
) -> PageReport:
    """Run a pipeline on texts or a corpus, and write an HTML page that shows the documents.

    Args:
        model: Name of an installed pipeline, or its folder.
        data: A `.txt` file with one text per line, or a `.spacy` corpus.
        output: Path of the page. An existing file is replaced.
        options: Which documents to show, and how.

    Returns:
        What the page shows.

    Raises:
        OSError: If there is no such pipeline or file.
        VokensError: If `data` is not a text file or corpus, or has no documents; if documents with
            errors are wanted and none has gold entities; or if flips are wanted and the pipeline
            has no `visual_ner`.
    """
    options = options or PageOptions()
    nlp = spacy.load(model)
    retriever = find_pipe(nlp, VokenRetriever)
    if retriever is not None:
        retriever.top_k = options.top_k
        # A vokenized corpus usually has the best image only.
        retriever.overwrite = True
    docs = read_documents(data, nlp)
    if options.only is None:
        docs = choose_documents(docs, options.limit, options.sample_seed)
        docs = list(tqdm(nlp.pipe(docs), total=len(docs), unit=" docs", disable=None))
    else:
        docs = find_documents(nlp, docs, options.only, options.limit, options.sample_seed)
    index = None if retriever is None else retriever.index
    page = to_html(
        docs,
        options.style,
        images=lambda voken: index.image(voken) if index is not None and voken in index else None,
        page=True,
        options={"title": options.title, "summary": _describe_word_hit(nlp, index, docs)},
    )
    with file_written_aside(output) as aside:
        aside.write_text(page, encoding="utf-8")
    vokens = {voken for doc in docs for voken in get_token_values(doc, "voken") if voken}
    return PageReport(len(docs), len(vokens), has_images=index is not None)


def _describe_word_hit(nlp: Language, index: VokenIndex | None, docs: list[Doc]) -> str:
    """Say how many words are in a text of their image; "" if that is not known."""
    if index is None:
        return ""
    stem_of = stemmer_of(nlp.lang)
    stems = image_stems(recorded_texts(index.records, nlp), stem_of)
    found = word_hit(docs, stems, n_images=len(index.records), stem_of=stem_of)
    if found is None:
        return ""
    return (
        f"{found.word_hit:.0%} of {count_of(found.content_words, 'content word')} in a text of "
        f"their image ({found.word_hit_chance:.0%} by chance)"
    )


def read_documents(path: Path, nlp: Language) -> list[Doc]:
    """Read a text file or a corpus as documents for a pipeline to annotate.

    Args:
        path: A UTF-8 `.txt` file with one text per line (empty lines are skipped), or a `.spacy`
            corpus. A corpus's documents keep their tokens, image ids and vokens. Their entities
            become `Doc._.visual_raw_tags` if that is not set.
        nlp: The pipeline, for its tokenizer and vocabulary.

    Returns:
        The documents, at least one.

    Raises:
        VokensError: If the file is neither of the two, is damaged, or has no documents.
    """
    if path.suffix == ".txt":
        docs = [nlp.make_doc(text) for _, line in read_lines(path) if (text := line.strip())]
    elif path.suffix == ".spacy":
        docs = [_without_entities(doc) for doc in load_docs(path, nlp.vocab)]
    else:
        raise VokensError(
            f"{path} is neither a .txt file with one text per line nor a .spacy corpus."
        )
    if not docs:
        raise VokensError(f"{path} has no documents.")
    return docs


def choose_documents(docs: list[Doc], limit: int, seed: int | None) -> list[Doc]:
    """Choose `limit` documents, or all if there are fewer, in the order of the file.

    Args:
        docs: The documents to choose from.
        limit: How many to choose.
        seed: Seed to draw them at random; None takes the first ones.
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
    """Annotate documents until `limit` of the wanted kind are found.

    Each document found gets a title: its number in the file and, for flips, what changes without
    images.

    Args:
        nlp: The pipeline.
        docs: Documents that the pipeline has not annotated yet.
        only: "errors" finds documents whose entities differ from the gold entities (strict
            reading), "flips" those whose entities are different without images.
        limit: How many to find.
        seed: Seed of the random order in which to look; None looks in the order of the file.

    Returns:
        The documents found, in the order of the file.

    Raises:
        VokensError: If errors are wanted and no document has gold entities, or if flips are wanted
            and the pipeline has no `visual_ner`.
    """
    if only == "errors" and all(doc._.visual_raw_tags is None for doc in docs):
        raise VokensError("The documents have no gold entities, so errors cannot be found.")
    rows = _order(len(docs), seed)
    progress = tqdm(rows, f"Looking for {only}", unit=" docs", disable=None, leave=False)
    stream = zip(rows, nlp.pipe(docs[row] for row in progress), strict=True)
    matches = _find_errors(stream) if only == "errors" else _find_flips(nlp, stream)
    return [doc for _, doc in sorted(islice(matches, limit), key=lambda match: match[0])]


def _find_errors(stream: Iterable[tuple[int, Doc]]) -> Iterator[tuple[int, Doc]]:
    for row, doc in stream:
        gold = doc._.visual_raw_tags
        if gold is None:
            continue
        if set(strict_spans(gold)) != {(ent.start, ent.end, ent.label_) for ent in doc.ents}:
            doc.user_data["title"] = f"document {row + 1}"
            yield row, doc


def _find_flips(nlp: Language, stream: Iterable[tuple[int, Doc]]) -> Iterator[tuple[int, Doc]]:
    for batch in minibatch(stream, BATCH_SIZE):
        flips = find_flips(nlp, [doc for _, doc in batch])
        for (row, doc), (found, without) in zip(batch, flips, strict=True):
            if found != without:
                gained = _names(doc, [span for span in without if span not in found])
                lost = _names(doc, [span for span in found if span not in without])
                change = f"without images: {gained or f'not {lost}'}"
                doc.user_data["title"] = f"document {row + 1} · {change}"
                yield row, doc


def _names(doc: Doc, spans: list[EntitySpan]) -> str:
    return ", ".join(f"{doc[start:end].text} {label}" for start, end, label in spans)


def _without_entities(doc: Doc) -> Doc:
    copy = blank_copy(doc)
    if copy._.visual_raw_tags is None and doc.has_annotation("ENT_IOB"):
        copy._.visual_raw_tags = bio_tags(doc)
    return copy


def _order(n: int, seed: int | None) -> list[int]:
    rows = list(range(n))
    if seed is not None:
        random.Random(seed).shuffle(rows)
    return rows
