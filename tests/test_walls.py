"""The house rules: who may import whom."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from torch import nn

import spacy_vokens

ROOT = Path(spacy_vokens.__file__).parent
# A module imports only from entries above its own, or from its own folder.
HOUSE = (
    "files",
    "arrays",
    "extensions",
    "images",
    "matching",
    "retrieval",
    "tagger",
    "metrics",
    "layers",
    "architectures",
    "pipeline",
    "corpus",
    "experiments",
    "visualize",
    "cli",
)
WITHOUT_SPACY = ("images", "matching", "retrieval", "tagger", "metrics")


@dataclass(frozen=True)
class Import:
    """One imported module.

    name: with all its packages, also where the import is a relative one.
    is_relative: written with dots.
    is_at_top: run when the importing module is imported.
    """

    name: str
    is_relative: bool
    is_at_top: bool


def read_imports(source: str, module: str, *, is_package: bool = False) -> Iterator[Import]:
    """The imports of a module; of `from a import b` it is `a.b`, whatever b is."""
    package = module.split(".") if is_package else module.split(".")[:-1]

    def visit(node: ast.AST, is_at_top: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, False, is_at_top)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            for alias in node.names:
                yield Import(".".join([*base, alias.name]), node.level > 0, is_at_top)
        is_deferred = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        is_typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, is_at_top and not is_deferred and not is_typing)

    yield from visit(ast.parse(source), True)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def entry(name: str) -> str:
    """The house's entry that a module of ours belongs to; "" for the package itself."""
    return [*name.split("."), ""][1]


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}
IMPORTS = {
    name: list(read_imports(path.read_text("utf-8"), name, is_package=path.stem == "__init__"))
    for name, path in MODULES.items()
}


def is_ours(name: str) -> bool:
    return name.split(".")[0] == "spacy_vokens"


def names_in(folder: str) -> list[str]:
    return [name for name in MODULES if entry(name) == folder]


def test_imports_are_read_however_they_are_written() -> None:
    source = """
import a.b, c as d
from . import near
from .near import x
from .. import up
from ..up.deep import y
from e import *
if TYPE_CHECKING:
    import only_types
try:
    import tried
except ImportError:
    pass
class C:
    import in_class
    def f(self):
        from ..up import late
"""
    found = list(read_imports(source, "p.q.m"))
    at_top = [i.name for i in found if i.is_at_top]
    assert at_top == [
        "a.b",
        "c",
        "p.q.near",
        "p.q.near.x",
        "p.up",
        "p.up.deep.y",
        "e.*",
        "tried",
        "in_class",
    ]
    assert [i.name for i in found if not i.is_at_top] == ["only_types", "p.up.late"]
    assert [i.name for i in found if i.is_relative][:2] == ["p.q.near", "p.q.near.x"]
    (of_package,) = read_imports("from .m import x", "p.q", is_package=True)
    assert of_package.name == "p.q.m.x"


def test_the_house_has_a_place_for_every_module() -> None:
    assert {entry(name) for name in MODULES} - {""} <= set(HOUSE)
    # Else the checks below check nothing.
    assert {"images", "pipeline", "cli"} < {entry(name) for name in MODULES}
    assert any(is_ours(i.name) for i in IMPORTS["spacy_vokens.pipeline.visual_ner"])


@pytest.mark.parametrize("name", MODULES)
def test_imports_come_from_above_or_from_the_own_folder(name: str) -> None:
    ours = {entry(i.name) for i in IMPORTS[name] if is_ours(i.name)}
    if name == "spacy_vokens":
        assert not ours
        return
    above = HOUSE[: HOUSE.index(entry(name))]
    assert ours <= {*above, entry(name)}


# Streamlit runs it as a script, which is in no package.
SCRIPT = "spacy_vokens.visualize.app"


@pytest.mark.parametrize("name", [name for name in MODULES if name != SCRIPT])
def test_own_modules_are_imported_with_dots(name: str) -> None:
    assert [i.name for i in IMPORTS[name] if is_ours(i.name) and not i.is_relative] == []


@pytest.mark.parametrize("folder", ["files", "arrays", *WITHOUT_SPACY])
def test_no_spacy_is_imported(folder: str) -> None:
    for name in names_in(folder):
        for imported in IMPORTS[name]:
            assert imported.name.split(".")[0] not in ("spacy", "spacy_transformers", "thinc")
            assert not is_ours(imported.name) or entry(imported.name) in (
                "files",
                "arrays",
                *WITHOUT_SPACY,
            )


def test_no_spacy_is_loaded() -> None:
    names = [name for folder in ("files", "arrays", *WITHOUT_SPACY) for name in names_in(folder)]
    script = (
        f"import sys, {', '.join(names)}; print('spacy' in sys.modules, 'thinc' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout == "False False\n", result.stderr


def test_pipeline_holds_no_torch_module() -> None:
    for name in names_in("pipeline"):
        assert not any(i.name.split(".")[0] == "torch" for i in IMPORTS[name])
        classes = inspect.getmembers(importlib.import_module(name), inspect.isclass)
        own = [kind for _, kind in classes if kind.__module__ == name]
        assert not any(issubclass(kind, nn.Module) for kind in own)


@pytest.mark.parametrize("name", names_in("cli"))
def test_commands_import_nothing_heavy_at_their_top(name: str) -> None:
    for imported in IMPORTS[name]:
        if imported.is_at_top:
            assert imported.name.split(".")[0] not in ("torch", "faiss", "numpy", "thinc")
            assert not is_ours(imported.name) or entry(imported.name) == "cli"
