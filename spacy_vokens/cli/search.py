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
    import spacy

    try:
        nlp = spacy.load(model)
        retriever = nlp.get_pipe("voken_retriever")
        retriever.top_k = top_k
        doc = retriever(nlp.make_doc(text))
    except (ImportError, KeyError, OSError, ValueError) as error:
        msg.fail(f"Could not search with {model}", str(error), exits=1)
    rows = []
    for token in doc:
        found = token._.vokens if top_k > 1 else [[token._.voken, token._.voken_score]]
        pictures = [f"{image_id} {score:.2f}" for image_id, score in found or () if image_id]
        rows.append((token.text, *(pictures or ["no picture"]), *[""] * (top_k - len(pictures))))
    rows = [row[: top_k + 1] for row in rows]
    msg.table(rows, header=("Word", *(f"#{i + 1}" for i in range(top_k))), divider=True)
