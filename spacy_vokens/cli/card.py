"""`spacy vokens card`: complete a package's meta, from which spaCy writes its README."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg


def card(
    model: Annotated[str, typer.Argument(help="Pipeline to be packaged")],
    meta: Annotated[
        Path,
        typer.Argument(
            help="JSON file: description, licence, sources", exists=True, dir_okay=False
        ),
    ],
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="JSON file for 'spacy package --meta-path'", dir_okay=False
        ),
    ],
    scores: Annotated[
        Path | None,
        typer.Option(
            help="JSON file of 'spacy vokens evaluate' on a test part", exists=True, dir_okay=False
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="JSON file of 'spacy vokens calibrate'", exists=True, dir_okay=False),
    ] = None,
) -> None:
    """Complete a package's meta.json, so that the README that spaCy makes of it is a model card.

    What spaCy leaves out goes into its notes: the licences of the sources, whose pictures there
    are, the scores by type, and how far the confidences can be trusted.
    """
    import spacy

    from ..files import file_written_aside, read_object
    from ..visualize.card import complete_meta

    try:
        given = read_object(meta)
        if not given.get("description"):
            raise ValueError(f"{meta} has no description, so it is no meta of a package.")
        completed = complete_meta(
            spacy.load(model),
            given,
            scores=None if scores is None else read_object(scores),
            calibration=None if calibration is None else read_object(calibration),
        )
        with file_written_aside(output) as aside:
            aside.write_text(
                json.dumps(completed, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
            )
    except (ImportError, OSError, ValueError) as error:
        msg.fail(f"Could not write the card of {model}", str(error), exits=1)
    msg.good("Completed the meta", output)
