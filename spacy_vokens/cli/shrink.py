"""`spacy vokens shrink`: store a pipeline's transformers in half precision."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg


def shrink(
    model: Annotated[str, typer.Argument(help="Trained pipeline")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the smaller one")],
) -> None:
    """Store a pipeline's transformers in half precision: half the size.

    They are loaded in single precision again, so speed and memory stay as they are.
    """
    import spacy

    from ..files import sole_writer
    from ..pipeline.save import halve_transformers, save_pipeline

    try:
        with sole_writer(output):
            nlp = spacy.load(model)
            n_halved = halve_transformers(nlp)
            save_pipeline(nlp, output)
    except (OSError, ValueError) as error:
        msg.fail(f"Could not shrink {model}", str(error), exits=1)
    size = sum(file.stat().st_size for file in output.rglob("*") if file.is_file())
    msg.good(f"Halved {n_halved} transformers: {size / 1e6:.0f} MB", output)
