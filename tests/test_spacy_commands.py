"""spaCy's own commands on the committed configs, and training a loaded pipeline further."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import spacy
from spacy.cli._util import app
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Config
from typer.testing import CliRunner, Result

from spacy_vokens.attributes import get_token_values
from spacy_vokens.files import VokensError
from spacy_vokens.images.pool import ImagePool
from tests.conftest import CONFIGS, LANG, LEARN_RATE

GIVEN = '{"factory": "given_image"}'


@pytest.fixture(scope="module")
def trained(train_configs: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a vokenizer and a tagger, trained with the committed configs in a few steps.

    The tagger keeps the optimizer of its config.
    """
    path = tmp_path_factory.mktemp("trained")
    schedule = {"training.max_steps": 20, "training.eval_frequency": 20}
    train_configs(path, vokenizer=schedule, tagger=schedule | {LEARN_RATE: SCHEDULE})
    return path


SCHEDULE = {
    "@schedules": "warmup_linear.v1",
    "initial_rate": 0.005,
    "warmup_steps": 2,
    "total_steps": "${training.max_steps}",
}


def run(*arguments: object, status: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == status, (result.output, result.exception)
    return result


@pytest.fixture
def options(
    request: pytest.FixtureRequest, trained: Path, pool: ImagePool, text_encoder: str
) -> list[object]:
    """A config and the paths that it needs: of the vokenizer, or of a tagger over its images."""
    corpus = trained / ("pairs.spacy" if request.param == "vokenizer" else "ner.spacy")
    name = "vokenizer.cfg" if request.param == "vokenizer" else "visual_ner.cfg"
    paths = {"train": corpus, "dev": corpus, "pool": pool.path, "text_encoder": text_encoder}
    extra: list[object] = []
    if request.param == "retriever":
        paths["vokenizer"] = trained / "vokenizer" / "model-best"
    elif request.param == "given image":
        extra = ["--components.voken_retriever", GIVEN]
    extra += ["--nlp.lang", LANG]
    for option, path in paths.items():
        extra += [f"--paths.{option}", path]
    return [CONFIGS / name, *extra]


every_config = pytest.mark.parametrize(
    "options", ["vokenizer", "retriever", "given image"], indirect=True
)


@every_config
def test_debug_config_and_data(options: list[object]) -> None:
    assert "Config is valid" in run("debug", "config", *options).output
    # Status 1, because spaCy wants more examples.
    result = run("debug", "data", *options, status=1)
    assert "Pipeline can be initialized with data" in result.output
    assert "1 error" in result.output
    assert "Low number of examples" in result.output


@every_config
def test_debug_model(options: list[object]) -> None:
    config, *overrides = options
    component = "voken_retriever" if "vokenizer" in config.name else "visual_ner"
    result = run("debug", "model", config, component, *overrides)
    assert "model looks good" in result.output


@pytest.mark.parametrize("name", ["vokenizer.cfg", "visual_ner.cfg"])
def test_fill_config(
    name: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the quickstart's vokenizer, which the config names. Only components get settings."""
    source = tmp_path / "training" / "quickstart" / "vokenizer" / "model-best"
    shutil.copytree(trained / "vokenizer" / "model-best", source)
    monkeypatch.chdir(tmp_path)
    text = (CONFIGS / name).read_text(encoding="utf-8").replace('lang = "en"', f'lang = "{LANG}"')
    Path(name).write_text(text, encoding="utf-8")
    run("init", "fill-config", name, "filled.cfg")
    before = Config().from_disk(name, interpolate=False)
    filled = Config().from_disk("filled.cfg", interpolate=False)
    assert filled.keys() == before.keys()
    for section in ("nlp", "initialize", "paths"):
        assert filled[section].keys() == before[section].keys()
    assert spacy.util.load_model_from_config(filled).has_pipe("voken_retriever")


@pytest.mark.parametrize("options", ["retriever", "given image"], indirect=True)
def test_init_labels_and_assemble(options: list[object], tmp_path: Path) -> None:
    config, *overrides = options
    run("init", "labels", config, tmp_path / "labels", *overrides)
    labels = ("--paths.labels", tmp_path / "labels" / "visual_ner.json")
    run("assemble", config, tmp_path / "assembled", *overrides, *labels)
    nlp = spacy.load(tmp_path / "assembled")
    assert nlp.get_pipe("visual_ner").labels == ("LOC", "PER")
    assert len(nlp("anna in paris")) == 3


@pytest.mark.parametrize("options", ["vokenizer"], indirect=True)
def test_an_assembled_vokenizer_has_learned_nothing(
    options: list[object], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, *overrides = options
    run("assemble", config, tmp_path / "assembled", *overrides)
    assert "It cannot be trained, and finds no images" in caplog.text
    nlp = spacy.load(tmp_path / "assembled")
    with pytest.raises(VokensError, match="has no index of images"):
        nlp("a cat")


def test_find_threshold_and_benchmark(trained: Path) -> None:
    model, corpus = trained / "tagger" / "model-best", trained / "ner.spacy"
    arguments = ("voken_retriever", "threshold", "voken_coverage", "--n_trials", 3)
    assert "Best threshold: 0.0" in run("find-threshold", model, corpus, *arguments).output
    result = run("benchmark", "speed", model, corpus, "--batches", 30, "--warmup", 1)
    assert "words/s" in result.output


def make_examples(nlp: Language) -> list[Example]:
    words = ["paris", "see", "anna"]
    reference = Doc(nlp.vocab, words=words, ents=["B-LOC", "O", "B-PER"])
    return [Example(Doc(nlp.vocab, words=words), reference)]


@pytest.mark.parametrize("start", ["resume_training", "create_optimizer"])
def test_a_loaded_pipeline_is_trained_further(
    trained: Path, start: str, caplog: pytest.LogCaptureFixture
) -> None:
    nlp = spacy.load(trained / "tagger" / "model-best")
    keys = nlp.get_pipe("voken_retriever").index.mark
    optimizer = getattr(nlp, start)()
    assert optimizer.learn_rate == 0, "as the schedule begins"
    optimizer.learn_rate = 0.01
    for _ in range(40):
        losses = nlp.update(make_examples(nlp), sgd=optimizer, annotates=["voken_retriever"])
    assert losses["visual_ner"] < 0.5
    assert losses["voken_retriever"] == 0
    (message,) = caplog.messages
    assert "voken_retriever has no image pool to learn from" in message
    with pytest.warns(UserWarning, match="does not rehearse"):
        nlp.rehearse(make_examples(nlp), sgd=optimizer)
    assert nlp.evaluate(make_examples(nlp))["ents_f"] == 1.0
    doc = nlp("paris see anna")
    assert [(ent.text, ent.label_) for ent in doc.ents] == [("paris", "LOC"), ("anna", "PER")]
    assert get_token_values(doc, "voken")[0] is not None
    assert nlp.get_pipe("voken_retriever").index.mark == keys


def test_training_without_the_images_is_said_once(
    trained: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nlp = spacy.load(trained / "tagger" / "model-best")
    optimizer = nlp.resume_training()
    with caplog.at_level(logging.WARNING), nlp.select_pipes(disable=["voken_retriever"]):
        for _ in range(2):
            nlp.update(make_examples(nlp), sgd=optimizer)
    (message,) = caplog.messages
    assert "the documents have no vokens" in message
    assert "annotates" in message
