from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Corpus as SpacyCorpus
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from thinc.api import Config
from typer.testing import CliRunner

from spacy_vokens.attributes import get_token_values
from spacy_vokens.cli import app
from spacy_vokens.corpus.docbin import save_docs
from spacy_vokens.corpus.reader import Corpus
from spacy_vokens.images.pool import ImagePool
from spacy_vokens.scoring.ner import bio_tags
from tests.conftest import CONFIGS, LANG

CONFIG = CONFIGS / "visual_ner.cfg"


def test_every_word_gets_the_documents_image() -> None:
    nlp = spacy.blank(LANG)
    give = nlp.add_pipe("given_image")
    doc = Doc(nlp.vocab, words=["a", "cat", "\n"])
    doc._.visual_image_id = "cat"
    assert get_token_values(give(doc), "voken") == ["cat", "cat", None]
    assert doc._.voken_index == "given"


def test_documents_without_an_image_lose_their_vokens() -> None:
    nlp = spacy.blank(LANG)
    give = nlp.add_pipe("given_image")
    doc = Doc(nlp.vocab, words=["a", "cat"])
    doc[0]._.voken, doc[0]._.voken_score = "dog", 0.5
    give(doc)
    assert get_token_values(doc, "voken") == [None, None]
    assert get_token_values(doc, "voken_score") == [None, None]
    assert len(nlp("")) == 0


@pytest.mark.parametrize("component", ["given_image", "voken_retriever"])
def test_images_that_get_lost_on_the_way_to_an_evaluation_are_said_once(
    component: str, vokenizer: Language, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """As with spaCy's reader and with `spacy evaluate`."""
    if component == "given_image":
        vokenizer.replace_pipe("voken_retriever", "given_image", config={})
    else:
        vokenizer.get_pipe("voken_retriever").exclude_own = True
    doc = Doc(vokenizer.vocab, words=["a", "cat"])
    doc._.visual_image_id = "cat"
    save_docs([doc], tmp_path / "dev.spacy")
    vokenizer.evaluate(list(Corpus(tmp_path / "dev.spacy")(vokenizer)))
    assert not caplog.messages, "the project's own reader keeps them"
    for _ in range(2):
        vokenizer.evaluate(list(SpacyCorpus(tmp_path / "dev.spacy")(vokenizer)))
    (message,) = caplog.messages
    assert "1 predicted documents do not have the image" in message
    assert "'cat'" in message
    assert "spacy vokens evaluate" in message


def test_round_trip() -> None:
    nlp = spacy.blank(LANG)
    nlp.add_pipe("given_image")
    other = spacy.blank(LANG, config=nlp.config).from_bytes(nlp.to_bytes())
    assert other.pipe_names == ["given_image"]


@pytest.fixture
def corpus(tmp_path: Path, tagged_examples: Callable[[Language], list[Example]]) -> Path:
    """Tagged sentences that came with a picture; the first one's is in no pool."""
    docs = [example.reference for example in tagged_examples(spacy.blank(LANG))]
    for doc, image_id in zip(docs, ("cow", "cat", "dog", None), strict=True):
        doc._.visual_image_id = image_id
    save_docs(docs, tmp_path / "train.spacy")
    return tmp_path / "train.spacy"


def test_the_tagger_trains_on_the_images_that_came_with_the_texts(
    corpus: Path,
    pool: ImagePool,
    text_encoder: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What the config says of the paper's "Original" setting."""
    config = Config().from_disk(
        CONFIG,
        interpolate=False,
        overrides={
            "components.voken_retriever": {"factory": "given_image"},
            "training.max_steps": 30,
            "training.eval_frequency": 10,
            "training.optimizer.learn_rate": 0.005,
            "paths.pool": str(pool.path),
            "paths.text_encoder": text_encoder,
            "paths.train": str(corpus),
            "paths.dev": str(corpus),
        },
    )
    train(init_nlp(config), tmp_path, stdout=io.StringIO(), stderr=io.StringIO())
    nlp = spacy.load(tmp_path / "model-best")
    assert nlp.get_pipe_meta("voken_retriever").factory == "given_image"
    (doc,) = (eg.predicted for eg in Corpus(corpus, limit=1)(nlp))
    caplog.clear()
    assert bio_tags(nlp(doc)) == ["B-PER", "O", "B-LOC", "O"]
    assert [message for message in caplog.messages if "for example 'cow'" in message]
    page = tmp_path / "page.html"
    result = CliRunner().invoke(
        app, ["visualize", str(tmp_path / "model-best"), str(corpus), str(page)]
    )
    assert result.exit_code == 0, result.output
    assert "retrieves no images" in " ".join(result.output.split())
    assert "image not available" in page.read_text(encoding="utf-8")
