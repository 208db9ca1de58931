from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import said


@pytest.fixture
def model(tmp_path) -> Path:
    """A folder with a config is all that is asked of it here."""
    (tmp_path / "config.cfg").touch()
    return tmp_path


@pytest.fixture
def started(monkeypatch) -> list[list[str]]:
    """The commands that were run in the place of Streamlit, which all end with status 3."""
    commands: list[list[str]] = []

    def run(command: list[str]) -> subprocess.CompletedProcess:
        commands.append(command)
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_runs_the_script_for_this_machine_alone(vokens, started, model):
    result = vokens("serve", model, "--port", 9999)
    assert result.exit_code == 3
    assert said(result, "http://localhost:9999")
    (command,) = started
    assert command[:4] == [sys.executable, "-m", "streamlit", "run"]
    assert Path(command[4]).is_file()
    assert command[-2:] == ["--", str(model)]
    for flag in (
        "--server.port=9999",
        "--server.address=localhost",
        "--server.headless=false",
        "--server.showEmailPrompt=false",
        "--browser.gatherUsageStats=false",
        "--client.showErrorDetails=none",
    ):
        assert flag in command


def test_address_and_browser(vokens, started, model):
    vokens("serve", model, "--address", "0.0.0.0", "--no-browser")
    assert {"--server.address=0.0.0.0", "--server.headless=true"} <= set(started[0])


def test_weights_for_uploaded_images(vokens, started, model, tmp_path):
    weights = tmp_path / "resnet18.pth"
    assert vokens("serve", model, "--weights", weights).exit_code == 2
    weights.touch()
    vokens("serve", model, "--weights", weights)
    assert [command[-4:] for command in started] == [["--", str(model), "--weights", str(weights)]]


def test_code_is_passed_on(vokens, started, model, tmp_path):
    code = tmp_path / "fusions.py"
    assert vokens("serve", model, "--code", code).exit_code == 2
    code.touch()
    vokens("serve", model, "--code", code)
    assert [command[-4:] for command in started] == [["--", str(model), "--code", str(code)]]


@pytest.fixture
def interruptible():
    """Ctrl-C interrupts; a shell script's background jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("interruptible")
def test_ended_from_outside_is_no_error(vokens, model, monkeypatch, number):
    def run(command: list[str]) -> None:
        signal.raise_signal(number)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(subprocess, "run", run)
    assert vokens("serve", model).exit_code == 0
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_pipeline_that_is_none_is_named_before_anything_starts(vokens, started, tmp_path):
    (tmp_path / "pool").mkdir()
    for name in ("nosuch", tmp_path / "pool"):
        result = vokens("serve", name)
        assert result.exit_code == 1
        assert said(result, "There is no pipeline")
        assert started == []


def test_missing_streamlit_is_named(vokens, started, model, monkeypatch):
    monkeypatch.setattr(sys.modules["spacy_vokens.cli.serve"], "find_spec", lambda name: None)
    result = vokens("serve", model)
    assert result.exit_code == 1
    assert said(result, "spacy-vokens[app]")
    assert started == []
