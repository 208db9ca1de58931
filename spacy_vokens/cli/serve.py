"""The command that starts the web app."""

from __future__ import annotations

import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from spacy.util import is_package
from wasabi import msg

from ._util import CodeOption, ModelArg, expected_errors

MAX_UPLOAD_MB = 50


def serve_cli(
    model: ModelArg,
    port: Annotated[int, typer.Option(help="Port to listen on")] = 8501,
    address: Annotated[
        str, typer.Option(help="Address to listen on; only this machine can reach the default")
    ] = "localhost",
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Weights of the pool's image encoder, for uploaded images",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser window")] = True,
    code: CodeOption = None,
) -> None:
    """Try a pipeline in the browser: type a text, exchange images, and see what changes.

    The app runs on this machine and sends nothing to others. Only expose it to people you trust.
    """
    with expected_errors("Could not start the app"):
        _check_requirements(model)
    script = Path(__file__).parents[1] / "app" / "app.py"
    options = {
        "server.port": port,
        "server.address": address,
        "server.headless": str(not browser).lower(),
        "server.maxUploadSize": MAX_UPLOAD_MB,
        "server.fileWatcherType": "none",
        # Streamlit's greeting asks for an e-mail address and waits for it.
        "server.showEmailPrompt": "false",
        "logger.hideWelcomeMessage": "true",
        "browser.gatherUsageStats": "false",
        "client.showErrorDetails": "none",
        "client.toolbarMode": "minimal",
    }
    command = [sys.executable, "-m", "streamlit", "run", str(script)]
    command += [f"--{name}={value}" for name, value in options.items()]
    command += ["--", model]
    for name, path in {"--weights": weights, "--code": code}.items():
        command += [] if path is None else [name, str(path)]
    msg.info(f"The app will be at http://{address}:{port}", "Press Ctrl+C to stop it.")
    raise typer.Exit(_run_until_stopped(command))


def _check_requirements(model: str) -> None:
    if find_spec("streamlit") is None:
        raise ImportError("The app needs Streamlit: install 'spacy-vokens[app]'.")
    if not (Path(model) / "config.cfg").is_file() and not is_package(model):
        raise FileNotFoundError(
            f"There is no pipeline {model}: name a folder or an installed package."
        )


def _run_until_stopped(command: list[str]) -> int:
    """Run a command and return its status, or 0 if it was interrupted or terminated."""
    # SIGTERM is handled like Ctrl+C, so that the subprocess is ended as well.
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return subprocess.run(command).returncode
    except KeyboardInterrupt:
        return 0
    finally:
        signal.signal(signal.SIGTERM, previous)
