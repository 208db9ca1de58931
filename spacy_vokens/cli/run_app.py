"""`spacy vokens app`: try a pipeline out in the browser."""

from __future__ import annotations

import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

# Megabytes that an upload may have.
MAX_UPLOAD = 50


def run_app(
    model: Annotated[str, typer.Argument(help="Pipeline to try: a package's name or a folder")],
    port: Annotated[int, typer.Option(help="Port to listen at")] = 8501,
    address: Annotated[
        str, typer.Option(help="Address to listen at; by default this machine alone can reach it")
    ] = "localhost",
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Weights file of the pool's image encoder, for uploaded pictures",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser window")] = True,
) -> None:
    """Type a text, see entities and pictures, exchange the pictures, and see what changes.

    The app runs on this machine and sends nothing anywhere; it is for those you trust with it.
    """
    from spacy.util import is_package

    if find_spec("streamlit") is None:
        msg.fail("The app needs Streamlit", "Install 'spacy-vokens[app]'.", exits=1)
    if not (Path(model) / "config.cfg").is_file() and not is_package(model):
        msg.fail(f"There is no pipeline {model}", "Name a folder or an installed package.", exits=1)
    script = Path(__file__).parents[1] / "visualize" / "app.py"
    options = {
        "server.port": port,
        "server.address": address,
        "server.headless": str(not browser).lower(),
        "server.maxUploadSize": MAX_UPLOAD,
        "server.fileWatcherType": "none",
        # Its own greeting asks for an e-mail address, and waits for it.
        "server.showEmailPrompt": "false",
        "logger.hideWelcomeMessage": "true",
        "browser.gatherUsageStats": "false",
        "client.showErrorDetails": "none",
        "client.toolbarMode": "minimal",
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "streamlit", "run", str(script), *flags, "--", model]
    command += [] if weights is None else [str(weights)]
    msg.info(f"The app will be at http://{address}:{port}", "Ctrl+C ends it.")
    # Ended from outside, it ends Streamlit too.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        status = subprocess.run(command).returncode
    except KeyboardInterrupt:
        status = 0
    finally:
        signal.signal(signal.SIGTERM, before)
    raise typer.Exit(status)
