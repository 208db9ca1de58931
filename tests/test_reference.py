"""The reference pages follow from the code."""

from __future__ import annotations

import importlib.util
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from spacy_vokens.cli import COMMANDS

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    pytest.importorskip("griffe")
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cli.md", "settings.md"])
def test_pages_are_up_to_date(generate: ModuleType, name: str) -> None:
    page = (DOCS / "reference" / name).read_text(encoding="utf-8")
    assert page == generate.PAGES[name](), "run 'python docs/generate.py'"


@pytest.mark.parametrize("panel", COMMANDS)
def test_every_command_calls_a_function_of_its_name(generate: ModuleType, panel: str) -> None:
    for name, command in COMMANDS[panel].items():
        source = generate.imported_function(name, command)
        assert (source is None) is (name == "serve")
        if source is not None:
            module, _, function = source.rpartition(".")
            assert callable(getattr(import_module(module), function))
            assert not module.startswith("spacy_vokens.cli")
