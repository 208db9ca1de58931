"""`spacy vokens select-images`: a pool of only those pictures that a corpus names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg


def select_images(
    pool: Annotated[Path, typer.Argument(help="Image pool", exists=True, file_okay=False)],
    corpus: Annotated[
        Path, typer.Argument(help="The .spacy file that names them", exists=True, dir_okay=False)
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the smaller pool")],
    overwrite: Annotated[bool, typer.Option(help="Replace a pool that is there")] = False,
) -> None:
    """Write a pool of the pictures that a corpus names, such as the training pictures only.

    The features are copied, so no picture is embedded twice.
    """
    from spacy.vocab import Vocab

    from ..corpus.docbin import load_docs
    from ..images.pool import ImagePool

    try:
        opened = ImagePool.open(pool)
        ids = {doc._.image_id for doc in load_docs(corpus, Vocab())} - {None}
        selected = opened.select(ids, output, overwrite=overwrite)
    except (OSError, ValueError) as error:
        msg.fail(f"Could not select pictures of {pool}", str(error), exits=1)
    n_absent = len(ids) - len(selected)
    if n_absent:
        msg.warn(f"{n_absent:,} pictures that {corpus} names are not in the pool")
    msg.good(f"Selected {len(selected):,} of {len(opened):,} pictures", output)
