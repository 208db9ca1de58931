from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import said


@pytest.fixture
def started(monkeypatch) -> list[list[str]]:
    """The commands that were run in the place of Streamlit, which all end with status 3."""
    commands: list[list[str]] = []

    def run(command: list[str]) -> subprocess.CompletedProcess:
        commands.append(command)
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_runs_the_script_for_this_machine_alone(vokens, started):
    result = vokens("app", "en_vokener", "--port", 9999)
    assert result.exit_code == 3
    (command,) = started
    assert command[:4] == [sys.executable, "-m", "streamlit", "run"]
    assert Path(command[4]).is_file()
    assert command[-2:] == ["--", "en_vokener"]
    for flag in (
        "--server.port=9999",
        "--server.address=localhost",
        "--server.headless=false",
        "--browser.gatherUsageStats=false",
        "--client.showErrorDetails=none",
    ):
        assert flag in command


def test_address_and_browser(vokens, started):
    vokens("app", "x", "--address", "0.0.0.0", "--no-browser")
    assert {"--server.address=0.0.0.0", "--server.headless=true"} <= set(started[0])


def test_weights_for_uploaded_pictures(vokens, started, tmp_path):
    weights = tmp_path / "resnet18.pth"
    assert vokens("app", "x", "--weights", weights).exit_code == 2
    weights.touch()
    vokens("app", "x", "--weights", weights)
    assert [command[-3:] for command in started] == [["--", "x", str(weights)]]


def test_interrupted_is_no_error(vokens, monkeypatch):
    def run(command: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", run)
    assert vokens("app", "x").exit_code == 0


def test_missing_streamlit_is_named(vokens, started, monkeypatch):
    monkeypatch.setattr(sys.modules["spacy_vokens.cli.run_app"], "find_spec", lambda name: None)
    result = vokens("app", "x")
    assert result.exit_code == 1
    assert said(result, "spacy-vokens[app]")
    assert started == []
