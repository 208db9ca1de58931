"""`spacy vokens search`: each word of a text with its best pictures."""

from __future__ import annotations

from typing import Annotated

import typer
from wasabi import msg


def search(
    model: Annotated[str, typer.Argument(help="Pipeline with an indexed voken_retriever")],
    text: Annotated[str, typer.Argument(help="The text")],
    top_k: Annotated[int, typer.Option("--top-k", "-k", help="Pictures a word", min=1)] = 3,
) -> None:
    """Print each word of a text with its best pictures and their relevance scores."""
    from ..pipeline.loading import load_with_retriever

    try:
        nlp, retriever = load_with_retriever(model)
        retriever.top_k = top_k
        doc = nlp.make_doc(text)
        (found,) = retriever.predict([doc])
    except (ImportError, OSError, ValueError) as error:
        msg.fail(f"Could not search with {model}", str(error), exits=1)
    rows = []
    for token, ids, scores in zip(doc, found.ids, found.scores, strict=True):
        best = [f"{i} {s:.2f}" for i, s in zip(ids, scores, strict=True) if i is not None]
        rows.append((token.text, *(best or ["no picture"]), *[""] * (top_k - max(1, len(best)))))
    msg.table(rows, header=("Word", *(f"#{i + 1}" for i in range(top_k))), divider=True)
