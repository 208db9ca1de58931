from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "assets" / "check_assets.py"
PROJECT = """
title: test
assets:
  - dest: "data/corpus/train.txt"
    checksum: "{md5}"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    md5 = hashlib.md5(b"right").hexdigest()
    (tmp_path / "project.yml").write_text(PROJECT.format(md5=md5), encoding="utf-8")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "train.txt").write_text("right")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").touch()
    return tmp_path


def check(folder: Path, *paths: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, *paths], cwd=folder, capture_output=True, text=True, check=False
    )


def test_what_is_there_passes(project: Path) -> None:
    result = check(project, "corpus/train.txt", "pictures")
    assert result.returncode == 0, result.stderr
    assert "Found all 2 assets" in result.stdout


def test_everything_wrong_is_named_and_fails(project: Path) -> None:
    (project / "corpus" / "train.txt").write_text("wrong")
    (project / "pictures" / "a.png").unlink()
    (project / "empty.tsv").touch()
    result = check(project, "corpus/train.txt", "pictures", "empty.tsv", "missing.tsv")
    assert result.returncode == 1
    said = " ".join(result.stdout.split())
    assert "its MD5 differs" in said
    for path in ("pictures", "empty.tsv", "missing.tsv"):
        assert f"{path} is missing or empty" in said
    assert "--vars.data_dir" in said
