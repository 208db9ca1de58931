"""What all commands have in common."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from spacy_vokens.cli import COMMANDS, app
from spacy_vokens.cli._util import expected_errors
from spacy_vokens.files import VokensError

NAMES = [name for commands in COMMANDS.values() for name in commands]
# They read the pipeline's vectors or files, and compute nothing else.
WITHOUT_GPU = {"serve", "shrink", "write-card"}


def params_of(name: str) -> dict[str, Any]:
    command = typer.main.get_command(app).commands[name]
    return {param.name: param for param in command.params}


@pytest.mark.parametrize("name", NAMES)
def test_options_have_spacys_names(name: str) -> None:
    params = params_of(name)
    if "model" in params:
        assert params["code"].opts == ["--code", "-c"]
        assert ("gpu_id" in params) is (name not in WITHOUT_GPU)
    if "gpu_id" in params:
        assert params["gpu_id"].opts == ["--gpu-id", "-g"]
    if "output" in params and params["output"].param_type_name == "option":
        assert params["output"].opts == ["--output", "-o"]


@pytest.mark.parametrize("name", NAMES)
def test_an_output_that_must_be_given_is_the_last_argument(name: str) -> None:
    arguments = [p.name for p in params_of(name).values() if p.param_type_name == "argument"]
    assert "output" not in arguments[:-1]
    assert all(param.help for param in params_of(name).values())


def test_help_is_grouped(vokens) -> None:
    result = vokens("--help")
    assert result.exit_code == 0
    positions = [result.output.index(f" {panel} ") for panel in COMMANDS]
    assert positions == sorted(positions)
    assert all(f" {name} " in result.output for name in NAMES)


@pytest.mark.parametrize("error", [VokensError, FileNotFoundError, BlockingIOError, ImportError])
def test_expected_errors_end_with_status_1(error: type[Exception], capsys) -> None:
    with pytest.raises(SystemExit) as ended, expected_errors("Could not do it"):
        raise error("the reason")
    assert ended.value.code == 1
    printed = capsys.readouterr().out
    assert "Could not do it" in printed
    assert "the reason" in printed


@pytest.mark.parametrize("error", [ValueError, KeyError, TypeError])
def test_bugs_keep_their_traceback(error: type[Exception]) -> None:
    with pytest.raises(error), expected_errors("Could not do it"):
        raise error("a bug")
