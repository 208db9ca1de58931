"""The walls that import-linter cannot see; its own are in pyproject.toml, run by `lint-imports`."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

import spacy_vokens

ROOT = Path(spacy_vokens.__file__).parent
HEAVY = {"faiss", "numpy", "PIL", "spacy_transformers", "thinc", "torch", "transformers"}


def modules_of(folder: str) -> list[str]:
    return [f"spacy_vokens.{folder}.{path.stem}" for path in sorted((ROOT / folder).glob("*.py"))]


def imports_at_top(source: str) -> set[str]:
    """Top-level names of what is imported when a module is, by any statement outside a function."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # Two dots lead out of cli/, into the package.
            ours = {0: node.module or "", 1: "cli"}.get(node.level, "spacy_vokens")
            found.add(ours.split(".")[0])
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(source))
    return found


def test_imports_are_read_however_they_are_written() -> None:
    source = """
import a.b, c as d
from .near import x
from .. import up
if TYPE_CHECKING:
    import only_types
try:
    import tried
except ImportError:
    pass
class C:
    import in_class
    def f(self):
        import late
"""
    assert imports_at_top(source) == {"a", "c", "cli", "spacy_vokens", "tried", "in_class"}


@pytest.mark.parametrize("name", modules_of("cli"))
def test_commands_import_nothing_heavy_at_their_top(name: str) -> None:
    # spaCy imports them with every command of its own.
    found = imports_at_top((ROOT / "cli" / f"{name.rpartition('.')[2]}.py").read_text("utf-8"))
    assert not found & (HEAVY | {"spacy_vokens"})


@pytest.mark.parametrize("name", modules_of("pipeline"))
def test_components_hold_no_torch_module(name: str) -> None:
    classes = inspect.getmembers(importlib.import_module(name), inspect.isclass)
    own = [kind for _, kind in classes if kind.__module__ == name]
    assert not any(issubclass(kind, nn.Module) for kind in own)


def test_the_image_side_loads_no_spacy() -> None:
    names = ("files", "identity", "index", "images.embed", "models.torch.fusion")
    imports = ", ".join(f"spacy_vokens.{name}" for name in names)
    script = f"import sys, {imports}; print({{'spacy', 'thinc'}} & sys.modules.keys())"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout == "set()\n", result.stderr
