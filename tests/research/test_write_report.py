from __future__ import annotations

import pytest
from typer.testing import CliRunner

from research import significance
from research.__main__ import app
from tests.cli.conftest import said
from tests.research.sample_runs import write_data, write_runs, write_runs_with_corpus


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setattr(significance, "DRAWS", 200)
    monkeypatch.setattr(significance, "BLOCK", 200)
    return lambda *arguments: CliRunner().invoke(app, ["report", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path):
    return write_runs(tmp_path / "runs")


def test_the_report_is_written_beside_the_runs_or_elsewhere(run, folder, tmp_path):
    assert run(folder).exit_code == 0
    assert run(folder, "--output", tmp_path / "elsewhere").exit_code == 0
    names = ["report.html", "report.md", "plots/twitter2017/f1.svg"]
    for name in names:
        assert (folder / name).read_bytes() == (tmp_path / "elsewhere" / name).read_bytes()


def test_verified_scores_are_said_to_follow(run, tmp_path):
    gold = write_data(tmp_path / "data")
    folder = write_runs(tmp_path / "true", gold)
    result = run(folder, "--verify", tmp_path / "data")
    assert result.exit_code == 0
    assert said(result, "The scores of all 6 runs follow from their entities")


def test_verification_says_what_does_not_hold_and_writes_nothing(run, folder, tmp_path):
    (tmp_path / "twitter2017").mkdir()
    (tmp_path / "twitter2017" / "test.txt").write_text("Bonn\tB-LOC\n", encoding="utf-8")
    result = run(folder, "--verify", tmp_path)
    assert result.exit_code == 1
    assert said(result, "the gold entities are not those of")
    assert not (folder / "report.md").exists()


def test_what_cannot_be_read_is_named(run, folder, tmp_path):
    (folder / "twitter2017" / "gated-retrieved-0.json").write_text("{", encoding="utf-8")
    result = run(folder)
    assert result.exit_code == 1
    assert said(result, "gated-retrieved-0.json is")
    (tmp_path / "empty").mkdir()
    result = run(tmp_path / "empty")
    assert result.exit_code == 1
    assert said(result, "has no grid.yml")


def test_a_gallery_is_written_besides(run, tmp_path, vokenizer_path, pool):
    folder = write_runs_with_corpus(tmp_path, vokenizer_path, pool.path)
    result = run(folder, "--gallery", tmp_path / "new" / "cases.html")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "new" / "cases.html").read_text(encoding="utf-8")
    assert "repaired: Ann Lee PER" in page
    assert (folder / "report.md").exists()


def test_a_gallery_needs_the_images(run, folder):
    result = run(folder, "--gallery", folder / "gallery.html")
    assert result.exit_code == 1
    assert said(result, "names no vokenizer")
