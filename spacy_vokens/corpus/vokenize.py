"""Annotate a corpus with vokens once, so that training does not retrieve them again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from spacy.tokens import Doc
from tqdm import tqdm

from ..attributes import get_token_values
from ..files import VokensError, sole_writer
from ..pipeline.util import load_with_pipe
from ..pipeline.voken_retriever import VokenRetriever
from .docbin import corpus_files, load_docs, save_docs


@dataclass(frozen=True)
class VokenizedCorpus:
    """One file that `vokenize` wrote.

    Attributes:
        path: The file.
        n_docs: Number of documents.
        n_tokens: Number of tokens.
        n_vokens: Number of tokens that have a voken.
        n_images: Number of different images among the vokens.
        own_image: Share of the vokens that are the image that came with their document, 0 to 1.
            Only documents whose image is in the index count; None if there are none.
        seconds: Time that retrieval took.
    """

    path: Path
    n_docs: int
    n_tokens: int
    n_vokens: int
    n_images: int
    own_image: float | None
    seconds: float


def vokenize(model: str | Path, corpus: Path, output: Path) -> list[VokenizedCorpus]:
    """Annotate a corpus with vokens. All other annotations stay as they are.

    Args:
        model: A pipeline with an indexed `voken_retriever`: the name of an installed one, or its
            folder.
        corpus: A `.spacy` file, or a folder of them.
        output: The `.spacy` file to write, or for a folder the folder to write to.

    Returns:
        What was written, one entry per file.

    Raises:
        VokensError: If the pipeline has no `voken_retriever` or that has no index, a corpus is
            damaged, or `output` is not a `.spacy` file although `corpus` is.
        OSError: If a file is missing or cannot be written.
    """
    if corpus.is_file() and output.suffix != ".spacy":
        raise VokensError(f"{output}: {corpus} is one file. Give a path that ends in .spacy.")
    written = []
    with sole_writer(output):
        nlp, retriever = load_with_pipe(model, VokenRetriever)
        for source in corpus_files(corpus):
            docs = load_docs(source, nlp.vocab)
            start = time.perf_counter()
            total = sum(map(len, docs))
            with tqdm(total=total, unit=" tokens", disable=None, leave=False) as progress:
                for doc in retriever.pipe(iter(docs), batch_size=nlp.batch_size):
                    progress.update(len(doc))
            seconds = time.perf_counter() - start
            target = output / source.relative_to(corpus) if corpus.is_dir() else output
            save_docs(docs, target)
            written.append(_describe(docs, retriever, target, seconds))
    return written


def _describe(
    docs: list[Doc], retriever: VokenRetriever, path: Path, seconds: float
) -> VokenizedCorpus:
    vokens = []
    is_own = []
    for doc in docs:
        found = [voken for voken in get_token_values(doc, "voken") if voken is not None]
        vokens += found
        own = doc._.visual_image_id
        if retriever.index is not None and own in retriever.index:
            is_own += [voken == own for voken in found]
    return VokenizedCorpus(
        path=path,
        n_docs=len(docs),
        n_tokens=sum(map(len, docs)),
        n_vokens=len(vokens),
        n_images=len(set(vokens)),
        own_image=sum(is_own) / len(is_own) if is_own else None,
        seconds=seconds,
    )
