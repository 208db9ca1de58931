from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from spacy_vokens.cli import app
from spacy_vokens.images.pool import ImagePool
from tests.cli.conftest import pipeline_path, vokens  # noqa: F401  # fixtures
from tests.images.conftest import encoder, save_image  # noqa: F401

WRITING = ("convert", "vokenize", "index", "shrink", "select-images", "visualize", "evaluate")


def start(work: Callable[[], object]) -> int:
    """Fork a process that does some work and ends with 0, or 1 where that fails.

    A fork, since the packages' start alone would take longer than most of the work.
    """
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def wait(process: int) -> int:
    """The exit status of a process; minus the signal, where one ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def run(*arguments: object) -> None:
    """Run `spacy vokens` with these arguments, and fail where it does."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="session")
def conll_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of tagged text in two files."""
    folder = tmp_path_factory.mktemp("conll")
    sentence = "anna\tB-PER\nsee\tO\na\tO\nbig\tO\ncat\tO\nin\tO\nparis\tB-LOC\n\n"
    for name in ("train", "valid"):
        (folder / f"{name}.txt").write_text(f"IMGID:cat\n{sentence}" * 50)
    return folder


@pytest.fixture(scope="session")
def corpus_path(conll_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "ner"
    run("convert", conll_path, folder)
    return folder


@pytest.fixture
def write_with(
    vokens: Callable[..., Result],  # noqa: F811  # the fixture of that name
    conll_path: Path,
    corpus_path: Path,
    vokenizer_path: Path,
    pool: ImagePool,
    tmp_path: Path,
) -> Callable[[str, Path], Result]:
    """Let one of the commands `WRITING` write its output."""
    texts = tmp_path / "texts.txt"
    texts.write_text("a red cat\n")
    arguments: dict[str, tuple] = {
        "convert": (conll_path,),
        "vokenize": (vokenizer_path, corpus_path),
        "index": (vokenizer_path, pool.path),
        "shrink": (vokenizer_path,),
        "select-images": (pool.path, corpus_path / "train.spacy"),
        "visualize": (vokenizer_path, texts),
        "evaluate": (vokenizer_path, corpus_path / "valid.spacy", "--output"),
    }
    return lambda command, output: vokens(command, *arguments[command], output)
