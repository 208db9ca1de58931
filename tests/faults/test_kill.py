"""Kill each job at random moments: run again, it gives what an undisturbed run gives."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import spacy
from spacy.vocab import Vocab

from spacy_vokens.corpus.docbin import load_docs
from spacy_vokens.images.embed import EmbedOptions, embed_images
from spacy_vokens.images.encoders import ImageEncoder
from spacy_vokens.images.pool import ImagePool
from tests.faults.conftest import run, start, tree, wait

N_KILLS = 20
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def kill_at_random_moments(
    work: Callable[[Path], object], accept: Callable[[Path], object], tmp_path: Path
) -> None:
    """Interrupt `work` at `N_KILLS` moments.

    work: writes its output to a path.
    accept: opens a finished output as its readers do; it raises where they refuse it.
    """
    undisturbed = tmp_path / "undisturbed" / "out"
    began = time.monotonic()
    assert wait(start(lambda: work(undisturbed))) == 0
    duration = time.monotonic() - began
    expected = tree(undisturbed.parent)
    moments = random.Random(0)
    n_killed = n_runs = 0
    while n_killed < N_KILLS:
        n_runs += 1
        assert n_runs <= 4 * N_KILLS, "the job ends before it can be killed"
        output = tmp_path / f"run{n_runs}" / "out"
        # Every other run replaces an older output.
        if n_runs % 2:
            shutil.copytree(undisturbed.parent, output.parent)
        process = start(lambda output=output: work(output))
        time.sleep(moments.uniform(0, duration))
        os.kill(process, signal.SIGKILL)
        n_killed += wait(process) == -signal.SIGKILL
        if output.exists():
            accept(output)
        assert wait(start(lambda output=output: work(output))) == 0
        assert tree(output.parent) == expected
        shutil.rmtree(output.parent)


def test_embed(encoder: ImageEncoder, save_image: Callable[..., Path], tmp_path: Path) -> None:
    images = tmp_path / "images"
    for number in range(24):
        save_image(images / f"{number:02d}.png", seed=number, size=(64, 48))
    (images / "broken.png").write_bytes(b"not an image")

    def embed(pool: Path) -> None:
        embed_images(images, pool, encoder, EmbedOptions(batch_size=4, overwrite=True))

    kill_at_random_moments(embed, ImagePool.open, tmp_path)


@pytest.mark.slow
def test_convert(conll_path: Path, tmp_path: Path) -> None:
    def accept(folder: Path) -> None:
        for path in folder.glob("*.spacy"):
            assert len(load_docs(path, Vocab())) == 50

    kill_at_random_moments(lambda output: run("convert", conll_path, output), accept, tmp_path)


@pytest.mark.slow
def test_vokenize(vokenizer_path: Path, corpus_path: Path, tmp_path: Path) -> None:
    def accept(folder: Path) -> None:
        for path in folder.glob("*.spacy"):
            docs = load_docs(path, Vocab())
            assert len(docs) == 50
            assert all(doc[4]._.voken == "cat" for doc in docs)

    kill_at_random_moments(
        lambda output: run("vokenize", vokenizer_path, corpus_path, output), accept, tmp_path
    )


@pytest.mark.slow
def test_index(vokenizer_path: Path, pool: ImagePool, tmp_path: Path) -> None:
    kill_at_random_moments(
        lambda output: run("index", vokenizer_path, pool.path, output), spacy.load, tmp_path
    )


@pytest.mark.slow
def test_package(vokenizer_path: Path, tmp_path: Path) -> None:
    """The project's own commands: it deletes an older folder, then packages.

    A wheel is the last thing written, and pip refuses half of one: it is a zip file without its
    table of contents.
    """
    name = "en_vokener-0.1.0"
    # The time stamps of the wheel, and the order in which spaCy lists its requirements.
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000", "PYTHONHASHSEED": "0"}

    def package(folder: Path) -> None:
        shutil.rmtree(folder / name, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        command = ("package", vokenizer_path, folder, "--name", "vokener", "--version", "0.1.0")
        subprocess.run(
            [sys.executable, "-m", "spacy", *map(str, command), "--build", "wheel", "--force"],
            env=environment,
            check=True,
            capture_output=True,
        )

    def accept(folder: Path) -> None:
        for wheel in folder.glob(f"{name}/dist/*.whl"):
            install = [sys.executable, "-m", "pip", "install", "--no-deps", "--dry-run", str(wheel)]
            installed = subprocess.run(install, capture_output=True, text=True)
            whole = (
                wheel.read_bytes()
                == (tmp_path / "undisturbed/out" / wheel.relative_to(folder)).read_bytes()
            )
            assert whole or installed.returncode != 0

    kill_at_random_moments(package, accept, tmp_path)
