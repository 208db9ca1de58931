"""Fail if anything that the project's steps read is missing.

    python assets/check_assets.py PATH...

`spacy project assets` succeeds even if a download failed or a checksum differs. The project
therefore checks its assets itself, against the checksums in project.yml.
"""

from __future__ import annotations

from pathlib import Path

import typer
from wasabi import msg
from weasel.util import get_checksum, load_project_config


def main(paths: list[Path]) -> None:
    """Check that the paths exist, are not empty, and have their checksums."""
    assets = load_project_config(Path.cwd()).get("assets", [])
    checksums = {Path(asset["dest"]).parts[-2:]: asset.get("checksum") for asset in assets}
    problems = []
    for path in paths:
        if not path.exists() or not (any(path.iterdir()) if path.is_dir() else path.stat().st_size):
            problems.append(f"{path} is missing or empty")
        elif (expected := checksums.get(path.parts[-2:])) and get_checksum(path) != expected:
            problems.append(f"{path} is not the file that project.yml names: its MD5 differs")
    if problems:
        for problem in problems:
            msg.text(problem)
        help_text = (
            "For your own data, set --vars.images, --vars.captions and --vars.ner, and describe "
            "the package in assets/meta. The other profiles' data are downloaded by 'python -m "
            "spacy project assets --extra', or found in --vars.data_dir."
        )
        msg.fail("Assets are missing or wrong", help_text, exits=1)
    msg.good(f"Found all {len(paths)} assets")


if __name__ == "__main__":
    typer.run(main)
