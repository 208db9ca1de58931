"""`spacy vokens index`: give a vokenizer, or a whole pipeline, an index over an image pool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from wasabi import msg


def index(
    model: Annotated[str, typer.Argument(help="Trained vokenizer, or a whole pipeline with one")],
    pool: Annotated[Path, typer.Argument(help="Image pool", exists=True, file_okay=False)],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the pipeline")],
) -> None:
    """Index the pictures of a pool and save the pipeline with them.

    Every component that holds pictures takes them from the new pool: the retriever its keys, the
    tagger its image features.
    """
    import spacy

    from ..files import sole_writer
    from ..images.pool import ImagePool
    from ..pipeline.save import save_pipeline

    try:
        with sole_writer(output):
            nlp = spacy.load(model)
            opened = ImagePool.open(pool)
            holders: dict[str, Any] = {
                name: pipe for name, pipe in nlp.components if hasattr(pipe, "set_pool")
            }
            if not holders:
                raise ValueError(f"{model} has no component that takes pictures.")
            for pipe in holders.values():
                pipe.set_pool(opened)
            save_pipeline(nlp, output)
    except (ImportError, OSError, ValueError) as error:
        msg.fail(f"Could not index {pool}", str(error), exits=1)
    msg.good(f"Indexed {len(opened)} pictures for {', '.join(holders)}", output)
