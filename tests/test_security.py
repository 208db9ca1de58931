"""What `docs/security.md` promises about the code as a whole."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import spacy_vokens

PACKAGE = Path(spacy_vokens.__file__).parent
ROOT = PACKAGE.parent
SOURCES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for folder in (PACKAGE, ROOT / "research")
    for path in folder.rglob("*.py")
}
# Modules that run what they read, start programs, or unpack archives.
DANGEROUS_MODULES = {
    *("pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml"),
    *("subprocess", "pty", "tarfile", "zipfile"),
}
DANGEROUS_CALLS = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "shutil.unpack_archive"),
    *("faiss.read_index", "faiss.deserialize_index", "torch.hub.load", "srsly.read_yaml"),
    *("srsly.pickle_loads", "srsly.yaml_loads"),
}
# Calls that are safe only with this argument.
SAFE_ONLY_WITH = {
    "np.load": "allow_pickle=False",
    "np.save": "allow_pickle=False",
    "torch.load": "weights_only=True",
    "get_state_dict": "weights_only=True",
}
# The first versions without known vulnerabilities; see the table in `docs/security.md`.
FIXED_IN = {
    "torch": "2.10",
    "pillow": "12.3",
    "filelock": "3.20.3",
    "transformers": "4.53",
    "tqdm": "4.66.3",
    "setuptools": "78.1.1",
}


def find_dangers(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            yield from (name for name in names if name.split(".")[0] in DANGEROUS_MODULES)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            arguments = {ast.unparse(keyword) for keyword in node.keywords}
            if called in DANGEROUS_CALLS or "shell=True" in arguments:
                yield called
            for name, argument in SAFE_ONLY_WITH.items():
                if called.removeprefix("published.") == name and argument not in arguments:
                    yield called


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from yaml import load",
        "import os; os.system(x)",
        "eval(x)",
        "np.load(x)",
        "np.load(x, allow_pickle=True)",
        "torch.load(x, weights_only=False)",
        "published.get_state_dict(progress=True)",
        "run(x, shell=True)",
        "faiss.read_index(x)",
    ],
)
def test_dangers_are_found(source: str) -> None:
    assert list(find_dangers(ast.parse(source)))


# The app runs Streamlit, and research runs git, without a shell.
# A plan of research is written by the person who runs it, and srsly's YAML creates no objects.
STATED = {
    "spacy_vokens/cli/serve.py": {"subprocess"},
    "research/grid.py": {"srsly.read_yaml"},
    "research/run_cell.py": {"subprocess"},
}


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_that_is_read_is_run(name: str) -> None:
    assert set(find_dangers(SOURCES[name])) == STATED.get(name, set())


def test_images_are_opened_in_one_place_only() -> None:
    opening = [name for name, tree in SOURCES.items() if "Image.open(" in ast.unparse(tree)]
    assert opening == ["spacy_vokens/images/decode.py"]


def test_dependencies_exclude_versions_with_known_vulnerabilities() -> None:
    tomllib = pytest.importorskip("tomllib", reason="new in Python 3.11")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    stated = [
        *project["project"]["dependencies"],
        *project["build-system"]["requires"],
        *extras["cpu"],
        *extras["gpu"],
    ]
    requirements = [Requirement(text) for text in stated]
    assert FIXED_IN.keys() <= {requirement.name for requirement in requirements}
    for requirement in requirements:
        if fixed := FIXED_IN.get(requirement.name):
            floor = next(s.version for s in requirement.specifier if s.operator == ">=")
            assert Requirement(f"x>={fixed}").specifier.contains(floor), requirement


def test_the_bounds_of_the_docs_are_those_of_the_code() -> None:
    docs = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(spacy_vokens[\w.]+)\.(\w+)` \| ([\d,]+) \|", docs, re.MULTILINE)
    assert len(rows) >= 4
    for module, name, value in rows:
        assert getattr(importlib.import_module(module), name) == int(value.replace(",", ""))
