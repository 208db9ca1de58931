"""`spacy vokens vokenize`: annotate a corpus with vokens, once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from wasabi import msg

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

    from ..pipeline.voken_retriever import VokenRetriever


def vokenize(
    model: Annotated[str, typer.Argument(help="Pipeline with an indexed voken_retriever")],
    corpus: Annotated[
        Path, typer.Argument(metavar="IN", help="A .spacy file, or a folder of them", exists=True)
    ],
    output: Annotated[
        Path, typer.Argument(metavar="OUT", help="The same with vokens: a file, or a folder")
    ],
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU id, or -1 for CPU")] = -1,
) -> None:
    """Annotate a corpus with vokens; tokens, entities, image ids and raw tags stay as they are.

    "Own picture" is the share of vokens that are the picture that came with the document, among
    the documents whose picture the index has.
    """
    from ..corpus.docbin import corpus_files
    from ..files import sole_writer
    from ..pipeline.loading import load_with_retriever
    from .device import use_device

    if corpus.is_file() and output.suffix != ".spacy":
        raise typer.BadParameter(f"{output}: a corpus becomes one file, name it *.spacy.")
    use_device(gpu_id)
    rows = []
    try:
        with sole_writer(output):
            nlp, retriever = load_with_retriever(model)
            for source in corpus_files(corpus):
                target = output / source.relative_to(corpus) if corpus.is_dir() else output
                rows.append(_vokenize_file(nlp, retriever, source, target))
    except (ImportError, OSError, ValueError) as error:
        msg.fail(f"Could not vokenize {corpus}", str(error), exits=1)
    header = (
        "Corpus",
        "Docs",
        "Tokens",
        "With a voken",
        "Distinct pictures",
        "Own picture",
        "Tokens/s",
    )
    msg.table(rows, header=header, divider=True, aligns=("l", *"r" * (len(header) - 1)))


def _vokenize_file(
    nlp: Language, retriever: VokenRetriever, source: Path, target: Path
) -> tuple[Any, ...]:
    """Write the vokenized corpus, and return its row of the table."""
    from tqdm import tqdm

    from ..corpus.docbin import load_docs, save_docs
    from ..extensions import get_token_values

    docs = load_docs(source, nlp.vocab)
    n_tokens = sum(map(len, docs))
    start = time.perf_counter()
    with tqdm(total=n_tokens, unit=" tokens", disable=None, leave=False) as progress:
        for doc in retriever.pipe(iter(docs), batch_size=nlp.batch_size):
            progress.update(len(doc))
    seconds = time.perf_counter() - start
    save_docs(docs, target)
    vokens = [v for doc in docs for v in get_token_values(doc, "voken") if v is not None]
    share = len(vokens) / max(1, n_tokens)
    speed = n_tokens / max(seconds, 1e-9)
    own = f"{sum(taken) / len(taken):.1%}" if (taken := _is_own(docs, retriever)) else "-"
    counts = (len(docs), n_tokens, f"{share:.1%}", len(set(vokens)))
    return (str(target), *counts, own, f"{speed:,.0f}")


def _is_own(docs: list[Doc], retriever: VokenRetriever) -> list[bool]:
    """Whether a voken is its document's own picture, for documents whose picture is indexed."""
    from ..extensions import get_token_values

    return [
        voken == doc._.image_id
        for doc in docs
        if retriever.index is not None and doc._.image_id in retriever.index
        for voken in get_token_values(doc, "voken")
        if voken is not None
    ]
