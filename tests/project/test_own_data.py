"""A user's own data through the README's command, in a script without spaces: Chinese."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_vokens.attributes import get_token_values
from spacy_vokens.corpus.docbin import load_docs
from spacy_vokens.images.encoders import LITE0_PACKAGE
from tests.fixtures import save_bert
from tests.project.chinese import NAMES, characters, tagged_sentences, write_chinese_data
from tests.project.conftest import ROOT, installed, run_project

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec(LITE0_PACKAGE) is None, reason=f"no package {LITE0_PACKAGE}"),
]


def readme_arguments() -> list[str]:
    """What follows `project run` in the README's command for data of one's own."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^python -m spacy project run (steps .*?)\n```", readme, re.S | re.M)
    return shlex.split(command.replace("\\\n", " "))


@pytest.fixture(scope="module")
def chinese(copy_project: Callable[[], Path]) -> Path:
    """A project in which the README's command ran on Chinese data, with a Chinese encoder."""
    project = copy_project()
    write_chinese_data(project)
    encoder = project / "my_encoder"
    encoder.mkdir()
    save_bert(encoder, characters(), hidden=128, length=128)
    profiles = project / "assets" / "profiles"
    settings = {
        "name": "mine",
        # Texts that a shell would take apart, and a folder with a blank.
        "title": 'What\'s this? – "mine"',
        "source": "O'Neil's camera",
        "license": "CC0",
        "images": "my images",
        "captions": "my_captions.tsv",
        "ner": "my_conll",
        "version": "1.10",
        "lang": "zh",
        "text_encoder": "my_encoder",
        "vokenizer_steps": 20,
        "vokenizer_eval": 10,
        "tagger_steps": 120,
        "tagger_eval": 40,
    }
    srsly.write_yaml(profiles / "mine.yml", settings)
    (project / "my_images").rename(project / "my images")
    run_project(project, *readme_arguments())
    return project


def test_the_package_tags_chinese(chinese: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(installed(chinese)))
    nlp = spacy.load("zh_mine")
    assert nlp.lang == "zh"
    assert set(nlp.get_pipe("visual_ner").labels) == set(NAMES)
    assert len(NAMES) == 16
    retriever = nlp.get_pipe("voken_retriever")
    n_found = n_gold = 0
    for sentence in tagged_sentences():
        words, tags = zip(*sentence, strict=True)
        doc = nlp("".join(words))
        # The pipeline's own tokenizer: one token per character.
        assert [token.text for token in doc] == [*words]
        gold = spans(Doc(nlp.vocab, words=[*words], ents=[*tags]))
        n_found += len(gold & spans(doc))
        n_gold += len(gold)
        for token in doc:
            assert (token._.voken is None) is token.is_punct
            assert token.is_punct or token._.voken in retriever.index
    assert n_found > 0.8 * n_gold, "it has learned what it was trained on"


def spans(doc: Doc) -> set[tuple[int, int, str]]:
    return {(ent.start, ent.end, ent.label_) for ent in doc.ents}


def test_its_corpus_and_plain_text_give_the_same(chinese: Path) -> None:
    """The corpus's words are joined by spaces, which Chinese text has not: BERT sees none."""
    nlp = spacy.load(chinese / "training/mine/pipeline")
    docs = load_docs(chinese / "corpus/mine/ner/test.spacy", Vocab())
    assert docs
    for doc in docs:
        words = [token.text for token in doc]
        plain, spaced = nlp("".join(words)), nlp(Doc(nlp.vocab, words=words))
        assert " " in spaced.text
        assert " " not in plain.text
        assert spans(plain) == spans(spaced)
        assert get_token_values(plain, "voken") == get_token_values(spaced, "voken")


def test_scores_and_page_are_there(chinese: Path) -> None:
    report = json.loads((chinese / "metrics/mine/GatedFusion.json").read_text("utf-8"))
    assert set(report["ents_per_type"]) == set(NAMES)
    page = (chinese / "pages/mine.html").read_text("utf-8")
    assert "What&#x27;s this? – &quot;mine&quot;" in page
    assert "O'Neil's camera" in (chinese / "pool/mine/images.jsonl").read_text("utf-8")
    (wheel,) = (chinese / "packages/mine").glob("*/dist/*.whl")
    assert wheel.name == "zh_mine-1.10-py3-none-any.whl"
    assert '<figure lang="zh"' in page
    shown = set(re.findall(r'class="word" title="(.*?)"', page))
    assert shown
    assert shown <= set(characters())
