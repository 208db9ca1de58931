"""Run several spaCy commands in one process, which imports PyTorch and transformers only once.

    python assets/spacy_commands.py vokens calibrate … then vokens shrink …

The words between two `then` are a command as it follows `python -m spacy`. The first that fails
ends the run with its status.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator


def split_commands(words: Iterable[str]) -> Iterator[list[str]]:
    """Split words into commands at each `then`."""
    command: list[str] = []
    for word in words:
        if word == "then":
            yield command
            command = []
        else:
            command.append(word)
    yield command


def main(words: list[str]) -> None:
    """Run the commands one after another."""
    import typer
    from spacy.cli._util import app
    from spacy.util import registry

    # Imports the commands of other packages, as `python -m spacy` does.
    registry.cli.get_all()
    group = typer.main.get_command(app)
    for command in split_commands(words):
        # `spacy vokens` checks the encoding of the arguments that it finds here.
        sys.argv = ["spacy", *command]
        try:
            group(command, prog_name="python -m spacy")
        except SystemExit as status:
            if status.code not in (None, 0):
                raise


if __name__ == "__main__":
    main(sys.argv[1:])
