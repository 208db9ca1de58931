"""What is imported when: spaCy imports our commands with every command of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

HEAVY = ("faiss", "transformers", "spacy_transformers", "torchvision", "timm", "safetensors")
COMMANDS = (
    "align calibrate compare convert debug-data embed-images evaluate evaluate-retrieval explain "
    "index map-pool search select-images serve shrink visualize vokenize write-card"
)


def run(script: str) -> Any:
    """What a script prints as JSON, run in an interpreter of its own."""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_the_package_alone_loads_neither_spacy_nor_torch() -> None:
    script = "import json, sys, spacy_vokens; print(json.dumps([*sys.modules]))"
    loaded = run(script)
    assert "spacy_vokens" in loaded
    assert not {"spacy", "thinc", "torch", "numpy"} & set(loaded)


def test_spacys_commands_load_ours_and_nothing_heavy() -> None:
    script = """
import contextlib, io, json, runpy, sys
sys.argv = ["spacy", "--help"]
with contextlib.redirect_stdout(io.StringIO()) as help, contextlib.suppress(SystemExit):
    runpy.run_module("spacy", run_name="__main__")
loaded = [*sys.modules]
from spacy.cli._util import app
groups = [group.typer_instance for group in app.registered_groups]
(vokens,) = [group for group in groups if group.info.name == "vokens"]
commands = [command.name for command in vokens.registered_commands]
print(json.dumps({"loaded": loaded, "help": help.getvalue(), "commands": commands}))
"""
    found = run(script)
    assert "vokens" in found["help"]
    assert "spacy_vokens.cli.pipeline" in found["loaded"]
    assert sorted(found["commands"]) == COMMANDS.split()
    assert not set(HEAVY) & set(found["loaded"])
    ours = {name for name in found["loaded"] if name.startswith("spacy_vokens.")}
    assert all(name.startswith("spacy_vokens.cli") for name in ours)
