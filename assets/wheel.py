"""Build and install the wheel of a package that `spacy package` made in a folder.

python assets/wheel.py build FOLDER
python assets/wheel.py install FOLDER
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def only(folder: Path, pattern: str) -> Path:
    """Return the only path of a folder that matches a pattern."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        names = ", ".join(map(str, found)) or "none"
        raise SystemExit(f"Expected one {pattern} in {folder}, found {names}: run 'package' again.")
    return found[0]


def main(action: str, folder: Path) -> None:
    """Build the wheel without an environment of its own, or install it without its dependencies."""
    if action == "build":
        package = only(folder, "*/setup.py").parent
        command = ["build", "--wheel", "--no-isolation", package]
    else:
        wheel = only(folder, "*/dist/*.whl")
        options = ("--quiet", "--no-index", "--no-deps", "--force-reinstall")
        command = ["pip", "install", *options, wheel]
    sys.exit(subprocess.run([sys.executable, "-m", *map(str, command)]).returncode)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
