"""What the guides claim to be tested is tested."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDES = ("reliability.md", "security.md")
TEST = re.compile(r"(tests/[\w/]+\.py)(?:::(\w+))?")


@pytest.mark.parametrize("guide", GUIDES)
def test_every_test_that_a_guide_names_is_there(guide: str) -> None:
    named = TEST.findall((ROOT / "docs" / guide).read_text(encoding="utf-8"))
    assert named
    for path, function in named:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert not function or function in functions, f"{guide}: {path} has no {function}"


def test_every_fault_of_the_table_has_a_test_or_a_reason() -> None:
    lines = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8").splitlines()
    rows = [
        line for line in lines if line.startswith("| ") and not line.startswith(("| What", "| -"))
    ]
    assert len(rows) > 100
    for row in rows:
        _, fault, outcome, shown_by, _ = row.replace(r"\|", "").split("|")
        assert fault.strip(), row
        assert outcome.strip(), row
        assert TEST.search(shown_by) or shown_by.strip().startswith("no test: "), row


def test_the_readmes_table_is_the_reports() -> None:
    readme, report = (
        (ROOT / path).read_text(encoding="utf-8")
        for path in ("README.md", "docs/results/tables/report.md")
    )
    table = readme.partition("## Do the pictures help?")[2].partition("\n## ")[0]
    sections = re.split(r"^\| Twitter-(\d+), test ", table, flags=re.MULTILINE)[1:]
    for year, rows in zip(sections[::2], sections[1::2], strict=True):
        _, _, ours = report.partition(f"## twitter{year}, test\n")
        lines = ours.partition("\n### The paper")[0].splitlines()
        found = re.findall(r"^\| (text-only|gated|attention), (\w+) \| (.*)", rows, re.MULTILINE)
        assert len(found) >= 3
        for tagger, images, figures in found:
            (line,) = (line for line in lines if line.startswith(f"| {tagger} | {images} | "))
            assert all(figure.strip() in line for figure in figures.split("|")), line
    assert sections
