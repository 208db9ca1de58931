"""`spacy vokens debug-data`: what a corpus would do to a training, before it is trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from wasabi import msg

if TYPE_CHECKING:
    from ..corpus.sections import Section

# Of a column: the id of an index should keep its line.
MAX_WIDTH = 64


def debug_data(
    corpus: Annotated[
        Path,
        typer.Argument(
            help="A folder of .spacy files, each a part (train, dev or valid, test), or one file",
            exists=True,
        ),
    ],
    pool: Annotated[
        Path | None,
        typer.Argument(help="Image pool that the vokens come from", exists=True, file_okay=False),
    ] = None,
    text_encoder: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER_OR_NAME",
            help="The tagger's text encoder, to count the word pieces that it would cut off",
        ),
    ] = None,
    window: Annotated[int, typer.Option(help="Words of one of its spans", min=1)] = 128,
    stride: Annotated[int, typer.Option(help="Words from one span to the next", min=1)] = 96,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="HTML page of the same", dir_okay=False),
    ] = None,
) -> None:
    """Check a corpus, its vokens and their pool before a tagger is trained on them.

    Counts documents, labels and pictures, and looks for ill-formed tags, duplicates, names and
    labels that training lacks, vokens that the tagger refuses, and words that its text encoder
    cuts off. Ends with status 1 where training would fail, or learn nothing.
    """
    from spacy.vocab import Vocab

    from ..corpus.debug import debug_corpus
    from ..corpus.sections import count_levels, count_of
    from ..corpus.splits import read_splits
    from ..corpus.truncation import TextEncoder
    from ..files import file_written_aside
    from ..images.pool import ImagePool
    from ..visualize.debug_page import render_debug_page

    encoder = None if text_encoder is None else TextEncoder(text_encoder, window, stride)
    try:
        splits = read_splits(corpus, Vocab())
        opened = None if pool is None else ImagePool.open(pool)
        sections = debug_corpus(splits, pool=opened, encoder=encoder)
    except (OSError, ValueError) as error:
        msg.fail(f"Could not check {corpus}", str(error), exits=1)
    for section in sections:
        _print_section(section)
    counts = count_levels(sections)
    msg.divider("Summary")
    if output is not None:
        names = {"pool": pool, "text encoder": text_encoder}
        compared = [f"{kind} {Path(name).name}" for kind, name in names.items() if name]
        page = render_debug_page(
            sections,
            title=f"Corpus {corpus.resolve().name}",
            subtitle=f"Checked with {' and '.join(compared) or 'no pool and no text encoder'}",
        )
        try:
            with file_written_aside(output) as aside:
                aside.write_text(page, encoding="utf-8")
        except (OSError, ValueError) as error:
            msg.fail(f"Could not write {output}", str(error), exits=1)
        msg.good(f"Wrote {output}")
    found = f"{count_of(counts['warn'], 'warning')}, {count_of(counts['fail'], 'failure')}"
    if counts["fail"]:
        msg.fail(found, exits=1)
    if counts["warn"]:
        msg.warn(found)
    else:
        msg.good(found)


def _print_section(section: Section) -> None:
    msg.divider(section.title)
    for table in section.tables:
        rows = [[cell.text for cell in row] for row in table.rows]
        aligns = ("l", *"r" * (len(table.header) - 1))
        msg.table(rows, header=table.header, divider=True, aligns=aligns, max_col=MAX_WIDTH)
    for message in section.messages:
        getattr(msg, message.level)(message.text, message.detail)
