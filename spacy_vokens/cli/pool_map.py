"""`spacy vokens pool-map`: a page to look at an image pool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg


def pool_map(
    pool: Annotated[Path, typer.Argument(help="Image pool", exists=True, file_okay=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="HTML page to write", dir_okay=False)
    ],
    corpus: Annotated[
        list[Path] | None,
        typer.Option(
            help="A corpus with vokens of this pool, or a folder of them; may be given again",
            exists=True,
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Pictures on the map")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn at random")] = 0,
    title: Annotated[str, typer.Option(help="Heading of the page")] = "A map of an image pool",
) -> None:
    """Show a pool's pictures, those near each other whose features are alike.

    With --corpus: how evenly its words are spread over the pictures, which pictures are hubs, for
    which words, and which are never retrieved. The page is one file that needs no network; it holds
    pictures of the pool, and words of the corpus. Pictures that the pool keeps no thumbnails of are
    read from their own place, where this machine has them.
    """
    from ..files import file_written_aside
    from ..images.pool import ImagePool
    from ..visualize.pool_map import render_pool_map
    from ..visualize.voken_usage import read_usage

    try:
        opened = ImagePool.open(pool)
        usage = read_usage(corpus, opened) if corpus else None
        n_shown = min(limit, len(opened))
        msg.info(f"Laying out {n_shown:,} pictures: ten seconds or so for every thousand")
        page = render_pool_map(opened, usage, title=title, limit=limit, seed=seed)
        with file_written_aside(output) as aside:
            aside.write_text(page, encoding="utf-8")
    except (ImportError, OSError, ValueError) as error:
        msg.fail(f"Could not map {pool}", str(error), exits=1)
    msg.good(f"Wrote {output}: a map of {n_shown:,} of {len(opened):,} pictures")
