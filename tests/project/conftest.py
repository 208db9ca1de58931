"""The project as its users run it: a copy, and `spacy project run` in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT_FILES = (
    "project.yml",
    "configs",
    "assets/check_profile.py",
    "assets/profiles",
    "assets/spacy_commands.py",
    "assets/wheel.py",
    "assets/meta",
)
TIMEOUT_S = 7200


@pytest.fixture(scope="session")
def copy_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Copy what the project's steps read into a new folder."""

    def copy() -> Path:
        project = tmp_path_factory.mktemp("project")
        (project / "assets").mkdir()
        for name in PROJECT_FILES:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, project / name)
        # An environment of its own, where the project's package is installed; it sees ours.
        venv.create(project / "venv", symlinks=True)
        path = installed(project) / "ours.pth"
        path.write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
        return project

    return copy


def installed(project: Path) -> Path:
    """Where the project's package is installed."""
    (site_packages,) = (project / "venv/lib").glob("python*/site-packages")
    return site_packages


def run_project(project: Path, *arguments: str, **environment: str) -> str:
    """What `spacy project run` prints; its last lines are shown where it fails."""
    own = {"PYTHONPATH": str(ROOT), "COLUMNS": "500"}
    finished = subprocess.run(
        [project / "venv/bin/python", "-m", "spacy", "project", "run", *arguments],
        cwd=project,
        env=os.environ | own | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=TIMEOUT_S,
    )
    assert finished.returncode == 0, finished.stdout[-6000:]
    return finished.stdout
