"""The profile `paper` through its own commands, with stand-ins of the right architecture.

A tiny BERT with random weights takes the place of bert-base-cased, and a ResNet-152 with random
weights that of torchvision's. The pictures and tweets are real, but few.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import spacy
import srsly
import torch
from spacy.tokens import Doc
from spacy.vocab import Vocab
from torchvision.models import ResNet152_Weights, resnet152

from spacy_vokens.attributes import get_token_values
from spacy_vokens.corpus.docbin import load_docs
from spacy_vokens.images.pool import ImagePool
from tests.conftest import DATA
from tests.fixtures import save_bert
from tests.project.conftest import installed, run_project

TWEETS = DATA / "twitter2017"
IMAGES = {path.stem for path in TWEETS.glob("images/*.jpg")}
PARTS = ("train", "valid", "test")
# Tweets whose pictures are not at hand, so that there is something to learn from.
OTHERS = {"train": 60, "valid": 15, "test": 15}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not IMAGES, reason=f"no tweets with pictures in {DATA}"),
]


# A folder of data, settings of the profile, and variables of the environment.
StandIns = tuple[Path, dict[str, Any], dict[str, str]]


class Paper(NamedTuple):
    """A project in which the profile ran, and how to run it again with other variables."""

    path: Path
    run: Callable[..., str]
    log: str


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> StandIns:
    """The reduced data, and settings and environment that lead to the stand-ins."""
    folder = tmp_path_factory.mktemp("stand-ins")
    bert = folder / "bert"
    bert.mkdir()
    pieces = string.ascii_lowercase + string.digits + string.punctuation
    save_bert(bert, (*pieces, *(f"##{piece}" for piece in pieces)), hidden=32, length=512)
    # Where torch.hub keeps what it has downloaded. The branches' last scale is zero: random
    # weights overflow through 50 blocks otherwise.
    weights = folder / "torch/hub/checkpoints" / Path(ResNet152_Weights.DEFAULT.url).name
    weights.parent.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(resnet152(zero_init_residual=True).state_dict(), weights)
    write_reduced_data(folder / "data" / "twitter2017")
    settings = {
        "text_encoder": str(bert),
        "vokenizer_steps": 40,
        "vokenizer_eval": 20,
        "tagger_steps": 8,
        "tagger_eval": 4,
        "tagger_warmup": 4,
    }
    return folder / "data", settings, {"TORCH_HOME": str(folder / "torch")}


def write_reduced_data(folder: Path) -> None:
    """The tweets with pictures at hand, in their parts, some others, and these pictures."""
    shutil.copytree(TWEETS / "images", folder / "images")
    for part in PARTS:
        _, *tweets = re.split(
            r"^(?=IMGID:)", (TWEETS / f"{part}.txt").read_text("utf-8"), flags=re.M
        )
        has_image = [Path(re.match(r"IMGID:(\S*)", t)[1]).stem in IMAGES for t in tweets]
        kept = [tweet for tweet, has in zip(tweets, has_image, strict=True) if has]
        others = [tweet for tweet, has in zip(tweets, has_image, strict=True) if not has]
        text = "".join(kept + others[: OTHERS[part]])
        (folder / f"{part}.txt").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def paper(copy_project: Callable[[], Path], stand_ins: StandIns) -> Paper:
    data, settings, environment = stand_ins
    project = copy_project()
    profile = project / "assets" / "profiles" / "paper.yml"
    srsly.write_yaml(profile, srsly.read_yaml(profile) | settings)
    # The checksums are the whole files'; `check-assets` holds the reduced ones to theirs.
    config = (project / "project.yml").read_text(encoding="utf-8")
    for part in PARTS:
        config, n_replaced = re.subn(
            rf'(twitter2017/{part}\.txt"\n +url: .*\n +checksum: )"\w+"',
            rf'\g<1>"{md5(data / "twitter2017" / f"{part}.txt")}"',
            config,
        )
        assert n_replaced == 1
    (project / "project.yml").write_text(config, encoding="utf-8")

    def run(*more: str, project: Path = project) -> str:
        arguments = ("paper", ".", "--vars.data_dir", str(data), *more)
        return run_project(project, *arguments, **environment)

    return Paper(project, run, run())


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def image_ids(project: Path, part: str) -> set[str]:
    docs = load_docs(project / f"corpus/paper/ner/{part}.spacy", Vocab())
    return {doc._.visual_image_id for doc in docs} & IMAGES


def own_shares(log: str) -> dict[str, str]:
    """Of `vokenize`'s table: the share of own pictures, by part."""
    rows = [line.split() for line in log.splitlines() if "corpus/paper/vokenized/" in line]
    return {Path(row[0]).stem: row[-2] for row in rows if row[0].endswith(".spacy")}


def assert_finished(project: Path, wheel: str) -> None:
    """Tables, page and wheel are there, and every entity and pair was scored."""
    gold = load_docs(project / "corpus/paper/ner/test.spacy", Vocab())
    n_gold = sum(len(doc.ents) for doc in gold)
    for name in ("NoFusion", "GatedFusion"):
        report = json.loads((project / f"metrics/paper/{name}.json").read_text("utf-8"))
        assert report["docs"] == len(gold)
        assert report["ents_lenient_mentions"] == n_gold > 0
        assert 0 <= report["ents_f"] <= 1
    retrieval = json.loads((project / "metrics/paper/retrieval.json").read_text("utf-8"))
    scores = retrieval["retrieval"]["scores"]
    assert all(0 <= scores[name] <= 1 for name in ("voken_r1", "voken_r10", "voken_mrr"))
    assert retrieval["retrieval"]["candidates"] == len(image_ids(project, "valid"))
    assert "| " in (project / "metrics/paper/table.md").read_text("utf-8")
    assert "<html" in (project / "pages/paper.html").read_text("utf-8")
    assert (project / wheel).is_file()


WHEEL = "packages/paper/en_vokener_paper-0.1.0/dist/en_vokener_paper-0.1.0-py3-none-any.whl"


def test_retrieved(paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_finished(paper.path, WHEEL)
    monkeypatch.syspath_prepend(str(installed(paper.path)))
    nlp = spacy.load("en_vokener_paper")
    assert nlp.pipe_names == ["voken_retriever", "transformer", "visual_ner"]
    retriever = nlp.get_pipe("voken_retriever")
    assert retriever.cfg["encoder"] == "torchvision:resnet152"
    assert retriever.cfg["image_width"] == 2048
    doc = nlp("Anna saw a dog in Paris !")
    assert set(get_token_values(doc, "voken")[:-1]) <= set(retriever.index.ids)
    assert None not in get_token_values(doc, "visual_gate")
    assert {ent.label_ for ent in doc.ents} <= {"PER", "LOC", "ORG", "MISC"}


def test_the_index_holds_the_training_images_only(paper: Paper) -> None:
    named = {part: image_ids(paper.path, part) for part in PARTS}
    assert {part: len(ids) for part, ids in named.items()} == {"train": 11, "valid": 3, "test": 2}
    assert set(ImagePool.open(paper.path / "pool/paper").ids) == IMAGES
    vokenizer = spacy.load(paper.path / "training/paper/vokenizer/indexed")
    tagger = spacy.load(paper.path / "training/paper/pipeline").get_pipe("visual_ner")
    for ids in (vokenizer.get_pipe("voken_retriever").index.ids, tagger.images.ids):
        assert set(ids) == named["train"]
        assert not set(ids) & (named["valid"] | named["test"])


def test_only_training_tweets_retrieve_their_own_image(paper: Paper) -> None:
    for part, is_possible in (("train", True), ("valid", False), ("test", False)):
        docs = load_docs(paper.path / f"corpus/paper/vokenized/{part}.spacy", Vocab())
        n_own = sum(
            get_token_values(doc, "voken").count(doc._.visual_image_id)
            for doc in docs
            if doc._.visual_image_id in IMAGES
        )
        assert (n_own > 0) is is_possible
    shares = own_shares(paper.log)
    assert float(shares["train"].rstrip("%")) > 0
    assert shares["valid"] == shares["test"] == "-"


def test_exclude_own_switches_it_off(paper: Paper, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(paper.path, project, symlinks=True)
    logs = [
        paper.run("--vars.exclude_own", "true", "--vars.paper_steps", step, project=project)
        for step in ("train-vokenizer", "index", "vokenize")
    ]
    assert own_shares(logs[-1])["train"] == "0.0%"
    for doc in load_docs(project / "corpus/paper/vokenized/train.spacy", Vocab()):
        vokens = get_token_values(doc, "voken")
        assert doc._.visual_image_id not in vokens
        assert any(vokens)


def test_given(paper: Paper, tmp_path: Path) -> None:
    """The paper's "Original": the README's one line changed, and a pool of all the pictures."""
    project = tmp_path / "project"
    shutil.copytree(paper.path, project, symlinks=True)
    path = project / "configs/visual_ner.cfg"
    config = path.read_text(encoding="utf-8")
    line = "[components.voken_retriever]\nsource = ${paths.vokenizer}\n"
    assert line in config
    path.write_text(config.replace(line, '[components.voken_retriever]\nfactory = "given_image"\n'))
    original = {"steps": "steps", "index_pool": "paper", "vokenizer": "model-best"}
    variables = [w for name, value in original.items() for w in (f"--vars.paper_{name}", value)]
    paper.run(*variables, project=project)
    assert_finished(project, WHEEL)
    nlp = spacy.load(project / "training/paper/pipeline")
    assert nlp.get_pipe_meta("voken_retriever").factory == "given_image"
    assert set(nlp.get_pipe("visual_ner").images.ids) == IMAGES
    doc = Doc(nlp.vocab, words=["Anna", "saw", "a", "dog"])
    doc._.visual_image_id = min(image_ids(project, "test"))
    doc = nlp(doc)
    assert get_token_values(doc, "voken") == [doc._.visual_image_id] * 4
    assert None not in get_token_values(doc, "visual_gate")
