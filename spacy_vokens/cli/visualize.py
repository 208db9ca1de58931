"""`spacy vokens visualize`: a page that shows texts, their entities and each word's picture."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg


class Only(str, Enum):
    """Which documents."""

    errors = "errors"
    flips = "flips"


class Style(str, Enum):
    """How they are shown."""

    ent = "ent"
    vokens = "vokens"


def visualize(
    model: Annotated[str, typer.Argument(help="Pipeline to run: a package's name or a folder")],
    file: Annotated[
        Path,
        typer.Argument(
            help="Texts, one a line (.txt), or a corpus (.spacy)", exists=True, dir_okay=False
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="HTML page to write", dir_okay=False)
    ],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Documents to show")] = 20,
    sample_seed: Annotated[
        int | None,
        typer.Option(help="Draw the documents at random by this seed, not the first ones"),
    ] = None,
    only: Annotated[
        Only | None,
        typer.Option(
            help="Those with errors against the corpus's entities, or whose entities flip "
            "without the pictures"
        ),
    ] = None,
    style: Annotated[
        Style, typer.Option(help="Entities alone, or each word with its picture as well")
    ] = Style.vokens,
    top_k: Annotated[
        int, typer.Option("--top-k", "-k", min=1, help="Pictures of a word, seen on hovering")
    ] = 5,
    title: Annotated[str, typer.Option(help="Heading of the page")] = "Words and their pictures",
) -> None:
    """Show texts with their entities and, under each word, its picture, score and gate.

    Entities that the corpus has stand beside those found. The page is one file that needs no
    network. Pictures whose licence does not allow storing them with the pipeline are read from
    their own place, where this machine has them.
    """
    import spacy
    from tqdm import tqdm

    from ..extensions import get_token_values
    from ..files import file_written_aside
    from ..pipeline.loading import find_retriever
    from ..visualize.documents import choose_documents, find_documents, read_documents
    from ..visualize.render import to_html

    try:
        nlp = spacy.load(model)
        retriever = find_retriever(nlp)
        if retriever is None:
            msg.warn(f"{model} retrieves no pictures, so the page shows none.")
        else:
            retriever.top_k = top_k
            # A vokenized corpus has the best one only.
            retriever.overwrite = True
        docs = read_documents(file, nlp)
        if only is None:
            docs = choose_documents(docs, limit, sample_seed)
            docs = list(tqdm(nlp.pipe(docs), total=len(docs), unit=" docs", disable=None))
        else:
            docs = find_documents(nlp, docs, only.value, limit, sample_seed)
        page = to_html(
            docs,
            style.value,
            pictures=retriever.picture if retriever else _no_picture,
            page=True,
            options={"title": title},
        )
        with file_written_aside(output) as aside:
            aside.write_text(page, encoding="utf-8")
    except (ImportError, OSError, ValueError) as error:
        msg.fail(f"Could not show {file} with {model}", str(error), exits=1)
    vokens = {voken for doc in docs for voken in get_token_values(doc, "voken") if voken}
    msg.good(f"Wrote {output}: {len(docs)} documents, {len(vokens)} distinct vokens")
    if not docs:
        msg.warn("No document is of that kind: the page is empty.")
    if only is not None and len(docs) == limit:
        msg.info(f"It stopped at {limit}; there may be more: see --limit.")


def _no_picture(voken: str) -> None:
    return None
