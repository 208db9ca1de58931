"""What README and docs claim is true: tests that they name, figures, files and sizes."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
GUIDES = ("reliability.md", "security.md")
# A test is `FILE::NAME`, or `::NAME` if it is in the file of the one before it.
TEST = re.compile(r"(tests/[\w/]+\.py)?(?:::(\w+))?")
REPORT = ROOT / "research" / "results" / "tables" / "report.md"
README_WORDS = 1000


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def named_tests(line: str) -> list[tuple[str, str]]:
    """Return the files and functions of the tests that a line names."""
    named: list[tuple[str, str]] = []
    for file, function in TEST.findall(line):
        if file or function:
            named.append((file or (named[-1][0] if named else ""), function))
    return named


@pytest.mark.parametrize("guide", GUIDES)
def test_every_test_that_a_guide_names_exists(guide: str) -> None:
    named = [test for line in read(DOCS / guide).splitlines() for test in named_tests(line)]
    assert named
    for path, function in named:
        assert (ROOT / path).is_file(), f"{guide}: there is no {path}"
        functions = {
            node.name
            for node in ast.walk(ast.parse(read(ROOT / path)))
            if isinstance(node, ast.FunctionDef)
        }
        assert not function or function in functions, f"{guide}: {path} has no {function}"


def test_every_case_has_a_test_or_a_reason() -> None:
    lines = read(DOCS / "reliability.md").splitlines()
    rows = [
        line for line in lines if line.startswith("| ") and not line.startswith(("| Case", "| -"))
    ]
    assert len(rows) > 100
    for row in rows:
        _, case, outcome, shown_by, _ = row.replace(r"\|", "").split("|")
        assert case.strip(), row
        assert outcome.strip(), row
        assert named_tests(shown_by) or shown_by.strip().startswith("no test: "), row


def test_the_readme_is_short() -> None:
    assert len(read(ROOT / "README.md").split()) <= README_WORDS


# Rows of the README's table, and the arms of the report that they show.
ARMS = {
    "text only": ("text-only", "none"),
    "with retrieved images": ("gated", "retrieved"),
    "difference from text only": ("gated", "retrieved"),
    "with permuted images": ("gated", "permuted"),
    "with the query vector in place of the image": ("gated", "query"),
}


def test_the_readmes_scores_are_the_reports() -> None:
    section = read(ROOT / "README.md").partition("## How well it does")[2].partition("\n## ")[0]
    header, *rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", section, re.MULTILINE)
    assert {name for name, *_ in rows} == ARMS.keys()
    for column, heading in enumerate(header[1:]):
        year, n_seeds = re.fullmatch(r"Twitter-(\d+), (\d+) seeds", heading).groups()
        scores = read(REPORT).partition(f"## twitter{year}, test\n")[2].partition("\n### The paper")
        lines = scores[0].splitlines()
        for name, *figures in rows:
            tagger, images = ARMS[name]
            (line,) = (line for line in lines if line.startswith(f"| {tagger} | {images} | "))
            cells = [cell.strip() for cell in line.split("|")]
            assert cells[3] == f"{n_seeds}/{n_seeds}", line
            assert figures[column] == cells[5 if name.startswith("difference") else 4], line


# The map of the code in docs/design.md


def test_the_tree_of_the_design_page_is_the_packages() -> None:
    tree = read(DOCS / "design.md").partition("## The tree")[2].partition("\n## ")[0]
    package = ROOT / "spacy_vokens"
    modules = {path for path in package.rglob("*.py") if path.stem != "__init__"}
    drawn: set[Path] = set()
    folders = [package]
    tree = tree.partition("spacy_vokens/\n")[2].partition("\nresearch/")[0]
    for indent, name, purpose in re.findall(r"^( +)(\S+)(.*)$", tree, re.MULTILINE):
        folders = folders[: len(indent) // 2]
        assert purpose.strip(), f"the tree doesn't say what {name} is for"
        if name.endswith("/"):
            folders.append(folders[-1] / name)
        names = [name, *re.findall(r"\b\w+\.py\b", purpose)]
        drawn.update(folders[-1] / name for name in names if name.endswith(".py"))
    assert drawn == modules


def test_what_the_design_page_says_where_to_find_is_there() -> None:
    table = read(DOCS / "design.md").partition("## Where to find things")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+\?) \| (.+?) \| (.+?) \|$", table, re.MULTILINE)
    assert len(rows) >= 15
    for question, places, names in rows:
        texts = []
        for place in re.findall(r"`([^`]+)`", places):
            path = next(
                (root / place for root in (ROOT / "spacy_vokens", ROOT) if (root / place).exists()),
                None,
            )
            assert path is not None, f"{question}: there is no {place}"
            texts += [read(file) for file in (path.glob("*.py") if path.is_dir() else [path])]
        for name in re.findall(r"`([A-Za-z_.]+)`", names):
            if "/" not in name and not name.endswith((".toml", ".py", ".jsonl")):
                for part in name.split("."):
                    assert any(re.search(rf"\b{part}\b", text) for text in texts), (
                        f"{question}: {places} has no {name}"
                    )
