"""The `spacy vokens` commands.

spaCy imports this package with every command of its own, so its modules import nothing heavy at the
top. A command parses its arguments, calls one function of the package and prints what it returns.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import TextIOWrapper

from spacy.cli._util import app as spacy_app
from typer import Typer
from wasabi import msg

from .data import convert_cli, debug_data_cli, embed_images_cli, select_images_cli, vokenize_cli
from .inspect import explain_cli, map_pool_cli, search_cli, visualize_cli
from .pipeline import (
    align_cli,
    calibrate_cli,
    compare_cli,
    evaluate_cli,
    evaluate_retrieval_cli,
    index_cli,
    shrink_cli,
    write_card_cli,
)
from .serve import serve_cli

# The panels of `spacy vokens --help`.
COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    "Data": {
        "convert": convert_cli,
        "embed-images": embed_images_cli,
        "select-images": select_images_cli,
        "vokenize": vokenize_cli,
        "debug-data": debug_data_cli,
    },
    "Pipeline": {
        "index": index_cli,
        "align": align_cli,
        "evaluate": evaluate_cli,
        "evaluate-retrieval": evaluate_retrieval_cli,
        "compare": compare_cli,
        "calibrate": calibrate_cli,
        "shrink": shrink_cli,
        "write-card": write_card_cli,
    },
    "Look inside": {
        "search": search_cli,
        "explain": explain_cli,
        "visualize": visualize_cli,
        "map-pool": map_pool_cli,
        "serve": serve_cli,
    },
}

app = Typer(name="vokens", no_args_is_help=True, help="Ground words in images.")
for panel, commands in COMMANDS.items():
    for name, command in commands.items():
        app.command(name, rich_help_panel=panel)(command)


@app.callback()
def check_encoding() -> None:
    """Escape names that the terminal cannot show; refuse arguments that Python could not decode."""
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
