"""`spacy vokens`: the commands. spaCy imports this module with every command of its own, so nothing
heavy may be imported at the top of any module here."""

from __future__ import annotations

import sys
from io import TextIOWrapper

from spacy.cli._util import app as spacy_app
from typer import Typer
from wasabi import msg

from .calibrate import calibrate
from .card import card
from .convert import convert
from .debug_data import debug_data
from .embed_images import embed_images
from .evaluate import evaluate
from .experiment import experiment
from .explain import explain
from .index import index
from .pool_map import pool_map
from .report import report
from .run_app import run_app
from .search import search
from .select_images import select_images
from .shrink import shrink
from .table import table
from .visualize import visualize
from .vokenize import vokenize

app = Typer(name="vokens", no_args_is_help=True, help="Ground words in pictures.")
for command in (
    convert,
    embed_images,
    select_images,
    index,
    vokenize,
    debug_data,
    search,
    evaluate,
    calibrate,
    table,
    experiment,
    report,
    visualize,
    explain,
    pool_map,
    shrink,
    card,
):
    app.command(command.__name__.replace("_", "-"))(command)
app.command("app")(run_app)


@app.callback()
def see_to_the_encoding() -> None:
    """Print names that the terminal cannot show; refuse arguments that Python cannot read."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    for argument in sys.argv[1:]:
        try:
            argument.encode()
        except UnicodeEncodeError:
            msg.fail(
                f"Cannot read the argument {argument}",
                f"This locale's encoding is {sys.getfilesystemencoding()}: set PYTHONUTF8=1.",
                exits=1,
            )


spacy_app.add_typer(app)
