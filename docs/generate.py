"""Write the reference pages that follow from the code: commands and settings.

    python docs/generate.py

A test compares the pages with what this script would write.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, get_type_hints

import spacy
import typer
from griffe import Docstring, DocstringSectionKind

from spacy_vokens.cli import COMMANDS, app

FOLDER = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/generate.py: run it after a change, and do not edit this page. -->"
# What is registered where, by the group of the entry points.
GROUPS = {
    "spacy_architectures": ("Architectures", "@architectures"),
    "spacy_span_getters": ("Span getters", "@span_getters"),
    "spacy_voken_fusions": ("Fusions", "@voken_fusions"),
    "spacy_voken_losses": ("Losses", "@voken_losses"),
    "thinc_optimizers": ("Optimizers", "@optimizers"),
    "spacy_tokenizers": ("Tokenizers", "@tokenizers"),
    "spacy_callbacks": ("Callbacks", "@callbacks"),
    "spacy_readers": ("Corpus readers", "@readers"),
    "spacy_scorers": ("Scorers", "@scorers"),
}


def cli_page() -> str:
    """Describe every command: its help, arguments and options, and the function behind it."""
    group = typer.main.get_command(app)
    blocks = [
        "# Commands",
        NOTE,
        "Every command is `python -m spacy vokens COMMAND`. All but `serve` call one function, "
        "which you can also import. Expected errors end a command with status 1, wrong arguments "
        "with status 2.",
    ]
    for panel, commands in COMMANDS.items():
        blocks.append(f"## {panel}")
        for name, function in commands.items():
            params = [param for param in group.commands[name].params if param.name != "help"]
            arguments = [param for param in params if param.param_type_name == "argument"]
            options = [param for param in params if param.param_type_name == "option"]
            usage = " ".join([name, *map(_argument, arguments)])
            blocks += [f"### {name}", f"```\npython -m spacy vokens {usage}\n```"]
            blocks += [inspect.cleandoc(function.__doc__ or "")]
            rows = [(_code(_argument(param)), param.help or "", "") for param in arguments]
            rows += [
                (", ".join(map(_code, [*p.opts, *p.secondary_opts])), p.help or "", _default(p))
                for p in options
            ]
            blocks.append(_table(("", "What it is", "Default"), rows))
            if source := imported_function(name, function):
                blocks.append(f"Function: `{source}`")
    return "\n\n".join(blocks) + "\n"


def imported_function(name: str, command: Callable[..., Any]) -> str | None:
    """Find the function of the same name that a command imports, with its module."""
    wanted = name.replace("-", "_")
    package = command.__module__.split(".")[:-1]
    for node in ast.walk(ast.parse(inspect.getsource(command))):
        if isinstance(node, ast.ImportFrom) and wanted in [alias.name for alias in node.names]:
            parents = package[: len(package) + 1 - node.level]
            return ".".join([*parents, node.module or "", wanted])
    return None


def settings_page() -> str:
    """Describe the settings of the components and of everything registered for configs."""
    blocks = ["# Settings", NOTE, "What you can set in a config, with the defaults."]
    blocks.append("## Components")
    nlp = spacy.blank("en")
    for name, make in _registered("spacy_factories"):
        defaults = dict(nlp.get_factory_meta(name).default_config)
        made = get_type_hints(make)["return"]
        blocks += _describe(name, made if inspect.isclass(made) else make, defaults)
    for group, (title, key) in GROUPS.items():
        blocks += [f"## {title}", f"Set as `{key}` in a config."]
        for name, make in _registered(group):
            parameters = inspect.signature(make).parameters.values()
            defaults = {p.name: p.default for p in parameters if p.kind is not p.VAR_KEYWORD}
            blocks += _describe(name, make, defaults)
    return "\n\n".join(blocks) + "\n"


def _registered(group: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    for point in sorted(entry_points(group=group), key=lambda point: point.name):
        if point.value.startswith("spacy_vokens."):
            yield point.name, point.load()


def _describe(name: str, documented: Callable[..., Any], defaults: dict[str, Any]) -> list[str]:
    """Return a heading, the docstring's text, and a table of the settings."""
    text = inspect.cleandoc(documented.__doc__ or "")
    sections = Docstring(text).parse("google", warnings=False)
    texts = [s.value for s in sections if s.kind is DocstringSectionKind.text]
    described = {
        parameter.name: " ".join(parameter.description.split())
        for section in sections
        if section.kind is DocstringSectionKind.parameters
        for parameter in section.value
    }
    rows = [(_code(key), _value(value), described.get(key, "")) for key, value in defaults.items()]
    return [
        f"### {name}",
        *texts[:1],
        *([_table(("Setting", "Default", ""), rows)] if rows else []),
    ]


def _value(value: Any) -> str:
    """Show a default; a registered function by its name, and a value that must be set as empty."""
    if value is inspect.Parameter.empty:
        return ""
    if isinstance(value, Mapping):
        names = [text for key, text in value.items() if key.startswith("@")]
        return _code(names[0] if names else "{}")
    if value is None or isinstance(value, bool):
        return _code(str(value).lower() if value is not None else "null")
    if callable(value):
        return _code(value.__name__)
    return _code(json.dumps(list(value) if isinstance(value, tuple) else value))


def _argument(param: Any) -> str:
    shown = param.metavar or param.name.upper()
    shown += "..." if param.nargs == -1 else ""
    return shown if param.required else f"[{shown}]"


def _default(param: Any) -> str:
    if param.required:
        return "required"
    default = getattr(param.default, "value", param.default)
    if default in (None, "", [], ()):
        return ""
    if isinstance(default, bool):
        return _code((param.opts if default else param.secondary_opts or [""])[0])
    return _code(str(default))


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


PAGES = {"cli.md": cli_page, "settings.md": settings_page}


def main() -> None:
    """Write the pages."""
    for name, make in PAGES.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
