"""`spacy vokens vokenize`: annotate a corpus with vokens, once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg


def vokenize(
    model: Annotated[str, typer.Argument(help="Pipeline with an indexed voken_retriever")],
    corpus: Annotated[
        Path, typer.Argument(metavar="IN.spacy", help="Corpus", exists=True, dir_okay=False)
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT.spacy", help="The corpus with vokens")],
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU id, or -1 for CPU")] = -1,
) -> None:
    """Annotate a corpus with vokens; tokens, entities, image ids and raw tags stay as they are."""
    from spacy.cli._util import setup_gpu
    from tqdm import tqdm

    from ..corpus.docbin import load_docs, save_docs
    from ..extensions import get_token_values
    from .load import load_with_retriever

    setup_gpu(gpu_id, silent=False)
    try:
        nlp, retriever = load_with_retriever(model)
        docs = load_docs(corpus, nlp.vocab)
        n_tokens = sum(map(len, docs))
        start = time.perf_counter()
        with tqdm(total=n_tokens, unit=" tokens", disable=None, leave=False) as progress:
            for doc in retriever.pipe(iter(docs), batch_size=nlp.batch_size):
                progress.update(len(doc))
        seconds = time.perf_counter() - start
        save_docs(docs, output)
    except (ImportError, OSError, ValueError) as error:
        msg.fail(f"Could not vokenize {corpus}", str(error), exits=1)
    n_pictures = len(retriever.index.ids) if retriever.index else 0
    grounded = [v for doc in docs for v in get_token_values(doc, "voken") if v is not None]
    msg.good(f"Vokenized {len(docs):,} documents", output)
    msg.table(
        {
            "Tokens": f"{n_tokens:,}",
            "Tokens with a voken": f"{len(grounded):,} ({len(grounded) / max(1, n_tokens):.1%})",
            "Distinct pictures": f"{len(set(grounded)):,} of {n_pictures:,}",
            "Speed": f"{n_tokens / max(seconds, 1e-9):,.0f} tokens/s",
        }
    )
