from __future__ import annotations

import importlib.util
import shlex
import sys
from pathlib import Path

import pytest
import srsly

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("commands", ROOT / "assets" / "spacy_commands.py")
assert SPEC is not None
assert SPEC.loader is not None
commands = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(commands)


@pytest.fixture(autouse=True)
def _argv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["spacy"])


def convert(source: Path, output: Path) -> list[str]:
    return ["vokens", "convert", str(source), str(output)]


def test_commands_run_one_after_another(tmp_path: Path) -> None:
    source = tmp_path / "posts.txt"
    source.write_text("Ada\tB-PER\n", encoding="utf-8")
    one, other = tmp_path / "one.spacy", tmp_path / "other.spacy"
    commands.main([*convert(source, one), "then", *convert(source, other)])
    assert one.read_bytes() == other.read_bytes()


def test_the_first_failure_ends_the_run_with_its_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = tmp_path / "posts.txt", tmp_path / "posts.spacy"
    source.write_text("Ada\tB-PER\n\nBob\n", encoding="utf-8")
    with pytest.raises(SystemExit) as status:
        commands.main([*convert(source, output), "then", "vokens", "search"])
    assert status.value.code == 1
    assert "found 'Bob'" in capsys.readouterr().out
    with pytest.raises(SystemExit) as status:
        commands.main(["vokens", "search", "then", *convert(source, output)])
    assert status.value.code == 2


def test_the_project_separates_its_commands() -> None:
    project = srsly.read_yaml(ROOT / "project.yml")
    scripts = [script for command in project["commands"] for script in command["script"]]
    chained = [script for script in scripts if "spacy_commands.py" in script]
    assert chained
    for script in chained:
        words = shlex.split(script)[2:]
        if words[0] == "--values":
            words = words[2:]
        separated = list(commands.split_commands(words))
        assert {command[0] for command in separated} <= {"vokens", "train", "package"}
