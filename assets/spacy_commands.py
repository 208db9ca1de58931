"""Run several spaCy commands in one process, which imports PyTorch and transformers only once.

    python assets/spacy_commands.py [--values FILE] vokens calibrate … then vokens shrink …

The words between two `then` are a command as it follows `python -m spacy`. In them, `{name}` stands
for a value of the file that assets/check_profile.py wrote for the step. It stays one word, whatever
blanks and quotes it has. The first command that fails ends the run with its status.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

# A setting in a script; `${…}` is weasel's.
PLACEHOLDER = re.compile(r"(?<!\$)\{(\w+)\}")


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


def fill_in(command: Iterable[str], values: Mapping[str, str | list[str]]) -> list[str]:
    """Put values in the place of `{name}`. A word that is a list's name alone becomes its words."""
    filled: list[str] = []
    if unknown := {name for word in command for name in PLACEHOLDER.findall(word)} - {*values}:
        raise SystemExit(f"No value for {', '.join(sorted(unknown))}: run 'check-assets' again.")
    for word in command:
        value = values.get(word[1:-1]) if PLACEHOLDER.fullmatch(word) else None
        if isinstance(value, list):
            filled += value
        else:
            filled.append(PLACEHOLDER.sub(lambda found: str(values[found[1]]), word))
    return filled


def main(words: list[str]) -> None:
    """Run the commands one after another."""
    import typer
    from spacy.cli._util import app
    from spacy.util import registry

    values: dict[str, str | list[str]] = {}
    if words[0] == "--values":
        values = json.loads(Path(words[1]).read_text(encoding="utf-8"))["values"]
        words = words[2:]
    # Imports the commands of other packages, as `python -m spacy` does.
    registry.cli.get_all()
    group = typer.main.get_command(app)
    for command in split_commands(words):
        filled = fill_in(command, values)
        # `spacy vokens` checks the encoding of the arguments that it finds here.
        sys.argv = ["spacy", *filled]
        try:
            group(filled, prog_name="python -m spacy")
        except SystemExit as status:
            if status.code not in (None, 0):
                raise


if __name__ == "__main__":
    main(sys.argv[1:])
