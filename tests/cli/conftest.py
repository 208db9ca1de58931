from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import spacy
from spacy.language import Language
from typer.testing import CliRunner, Result

from spacy_vokens.cli import app
from spacy_vokens.index import VokenIndex
from tests.conftest import LANG


def said(result: Result, text: str) -> bool:
    """Whether a command's output holds a text, wherever its lines and boxes break it."""
    return re.sub(r"\s", "", text) in re.sub(r"[\s│]", "", result.output)


@pytest.fixture
def vokens() -> Callable[..., Result]:
    """Run `spacy vokens` with these arguments."""
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="session")
def pipeline_path(
    vokenizer_path: Path,
    make_tagger: Callable[..., Language],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Folder of retriever, transformer and tagger, trained together."""
    path = tmp_path_factory.mktemp("models") / "pipeline"
    make_tagger("GatedFusion", steps=40, into=spacy.load(vokenizer_path)).to_disk(path)
    return path


@pytest.fixture(scope="session")
def blank_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a pipeline without components."""
    path = tmp_path_factory.mktemp("models") / "blank"
    spacy.blank(LANG).to_disk(path)
    return path


@pytest.fixture(scope="session")
def unindexed_path(
    make_vokenizer: Callable[..., Language], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Folder of a matching model that was saved without an index."""
    path = tmp_path_factory.mktemp("models") / "unindexed"
    nlp = make_vokenizer()
    nlp.to_disk(path)
    without = [Path(name).stem for name in VokenIndex.FILES]
    nlp.get_pipe("voken_retriever").to_disk(path / "voken_retriever", exclude=without)
    return path
