from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from PIL import Image
from torch import nn

from spacy_vokens.app import shared_pipeline
from spacy_vokens.app.shared_pipeline import MAX_IMAGES, Settings, SharedPipeline
from spacy_vokens.attributes import get_token_values
from spacy_vokens.identity import EncoderId
from spacy_vokens.images.encoders import ImageEncoder
from tests.conftest import DIMENSION, IMAGES, LANG


@pytest.fixture(scope="module")
def path(make_tagger, vokenizer_path, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "pipeline"
    make_tagger("VisualAttention", steps=40, into=spacy.load(vokenizer_path)).to_disk(path)
    return path


@pytest.fixture
def shared(path) -> SharedPipeline:
    return SharedPipeline(path)


class Colors(nn.Module):
    """An image's mean color, twice: as wide as the features of the tests' pool."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([images.mean(dim=(2, 3))] * 2, dim=1)


@pytest.fixture
def encoder(monkeypatch) -> None:
    def transform(image: Image.Image) -> torch.Tensor:
        pixels = np.asarray(image.resize((4, 4)), dtype=np.float32)
        return torch.from_numpy(pixels).permute(2, 0, 1) / 255

    made = ImageEncoder(EncoderId("tiny", "1" * 64), Colors().eval(), transform, DIMENSION)
    monkeypatch.setattr(shared_pipeline, "load_encoder", lambda name, weights: made)


def png(color: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(file, "PNG")
    return file.getvalue()


def test_with_images_and_without(shared) -> None:
    doc, bare = shared.annotate("anna in paris !", Settings(top_k=2))
    assert {ent.label_ for ent in doc.ents} == {"PER", "LOC"}
    assert [len(vokens or ()) for vokens in get_token_values(doc, "vokens")] == [2, 2, 2, 0]
    assert doc[0]._.visual_attention
    for name in ("voken", "voken_score", "vokens"):
        assert get_token_values(bare, name) == [None] * 4
    assert bare.text == doc.text
    assert all(ent._.visual_confidence is not None for ent in bare.ents)


def test_a_retriever_that_overwrites_leaves_the_bare_one_bare(path, tmp_path) -> None:
    config = {"components": {"voken_retriever": {"overwrite": True}}}
    spacy.load(path, config=config).to_disk(tmp_path / "overwrites")
    shared = SharedPipeline(tmp_path / "overwrites")
    doc, bare = shared.annotate("anna in paris !", Settings())
    assert get_token_values(doc, "voken")[0]
    assert get_token_values(bare, "voken") == [None] * 4
    assert shared.retriever.overwrite


def test_other_components_entities_are_there_with_images_and_without(path) -> None:
    shared = SharedPipeline(path)
    ruler = shared.nlp.add_pipe("entity_ruler", last=True, config={"overwrite_ents": True})
    ruler.add_patterns([{"label": "DISH", "pattern": "!"}])
    for doc in shared.annotate("anna in paris !", Settings()):
        assert "DISH" in {ent.label_ for ent in doc.ents}


def test_settings_hold_for_their_own_call(shared) -> None:
    images = shared.tagger.images
    before = {name: vars(pipe).copy() for name, pipe in shared.nlp.pipeline}
    high = shared.annotate("a cat", Settings(top_k=1, threshold=0.999))[0]
    assert get_token_values(high, "voken") == [None, None]
    assert None not in get_token_values(shared.annotate("a cat", Settings())[0], "voken")
    with pytest.raises(ValueError, match="E088"):
        shared.annotate("a" * 2_000_000, Settings(threshold=0.999))
    assert {name: vars(pipe) for name, pipe in shared.nlp.pipeline} == before
    assert shared.tagger.images is images


def test_people_at_once_do_not_get_each_others_settings(shared) -> None:
    wrong = []

    def ask(top_k: int) -> None:
        for _ in range(5):
            doc, _ = shared.annotate("a cat", Settings(top_k=top_k))
            if len(doc[1]._.vokens or [None]) != top_k:
                wrong.append(top_k)

    threads = [threading.Thread(target=ask, args=(k,)) for k in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_search_by_a_word_and_by_a_text(shared) -> None:
    (best, score), *others = shared.search("a cat !", 1, 4, Settings())
    doc, _ = shared.annotate("a cat !", Settings())
    assert best.id == doc[1]._.voken == "cat"
    assert score == pytest.approx(doc[1]._.voken_score, abs=1e-5)
    assert len(others) == 3
    assert {image.id for image, _ in shared.search("fish", None, 99, Settings())} == {*IMAGES}
    with pytest.raises(ValueError, match="Type a word"):
        shared.search("", None, 4, Settings())


def test_explains(shared) -> None:
    explanation = shared.explain("anna in paris !", Settings(top_k=3))
    assert len(explanation.evidence) == 2
    assert all(len(evidence.alternatives) == 2 for evidence in explanation.evidence)


@pytest.mark.usefixtures("encoder")
def test_own_images_for_a_visitor_alone(shared, tmp_path) -> None:
    files = [
        ("../../../etc/red.png", png("red")),
        ("..\\blue.PNG", png("blue")),
        (".hidden.png", png("green")),
        ("broken.png", b"not a picture"),
        ("page.html", b"<script>"),
    ]
    own = shared.embed(files, tmp_path)
    assert sorted(own.index.ids) == ["blue", "hidden", "red"]
    rejected = dict(own.rejected)
    assert rejected.keys() == {"broken.png", "page.html"}
    assert ".webp" in rejected["page.html"]
    assert not list(tmp_path.parent.glob("*.png"))
    doc, _ = shared.annotate("a cat in paris", Settings(top_k=3, uploaded=own))
    assert set(get_token_values(doc, "voken")) <= {"red", "blue", "hidden"}
    assert shared.explain("anna in paris", Settings(uploaded=own)).evidence
    found = shared.search("cat", None, 9, Settings(uploaded=own))
    assert {image.id for image, _ in found} == {"blue", "hidden", "red"}
    assert all(image.thumbnail for image, _ in found)
    # The pipeline's own images are still those of everybody else.
    other, _ = shared.annotate("a cat", Settings())
    assert other[1]._.voken == "cat"


@pytest.mark.usefixtures("encoder")
def test_names_that_are_taken_or_too_long(shared, tmp_path) -> None:
    files = [
        ("a/x.png", png("red")),
        ("b/x.png", png("blue")),
        ("x.jpg", b"broken"),
        ("a b.png", png("green")),
        ("a_b.png", png("black")),
        ("é" * 300 + ".png", png("white")),
        (".png", png("red")),
        ("", png("red")),
    ]
    own = shared.embed(files, tmp_path)
    assert sorted(own.index.ids) == ["a_b", "x", "é" * 30]
    assert [name for name, _ in own.rejected] == ["b/x.png", "x.jpg", "a_b.png", ".png", ""]
    assert own.rejected[0][1] == "another image has the same name"
    # The first of a name stays.
    image = own.index.image("x").thumbnail
    assert Image.open(io.BytesIO(image)).convert("RGB").getpixel((4, 4))[0] > 200


@pytest.mark.usefixtures("encoder")
def test_images_that_cannot_be_used_are_named(shared, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"None of the files can be used\. a\.png: "):
        shared.embed([("a.png", b"x")], tmp_path)
    (tmp_path / "many").mkdir()
    with pytest.raises(ValueError, match=f"at most {MAX_IMAGES} images"):
        shared.embed([("a.png", png("red"))] * (MAX_IMAGES + 1), tmp_path / "many")


def test_images_of_another_encoder_are_refused(shared, tmp_path, monkeypatch) -> None:
    other = ImageEncoder(
        EncoderId("tiny", "2" * 64), Colors().eval(), lambda _: torch.zeros(3, 4, 4), DIMENSION
    )
    monkeypatch.setattr(shared_pipeline, "load_encoder", lambda name, weights: other)
    with pytest.raises(ValueError, match="same encoder"):
        shared.embed([("a.png", png("red"))], tmp_path)
    assert shared.annotate("a cat", Settings())[0][1]._.voken == "cat"


def test_an_encoder_that_would_download_wants_a_file(shared, path, tmp_path, monkeypatch) -> None:
    spec = "torchvision:resnet18"
    monkeypatch.setattr(shared.retriever.index, "encoder", EncoderId(spec, "1" * 64))
    with pytest.raises(ValueError, match="resnet18 would download its weights.*--weights FILE"):
        shared.embed([("a.png", png("red"))], tmp_path)
    asked = []

    def load(name: str, weights: Path | None) -> None:
        asked.append((name, weights))
        raise ValueError("enough")

    monkeypatch.setattr(shared_pipeline, "load_encoder", load)
    other = SharedPipeline(path, tmp_path / "resnet18.pth")
    monkeypatch.setattr(other.retriever.index, "encoder", EncoderId(spec, "1" * 64))
    with pytest.raises(ValueError, match="enough"):
        other.embed([("a.png", png("red"))], tmp_path)
    assert asked == [(spec, tmp_path / "resnet18.pth")]


def test_many_texts(shared) -> None:
    docs = list(shared.pipe(["a cat", "", "anna"], Settings(top_k=2)))
    assert [len(doc) for doc in docs] == [2, 0, 1]
    assert len(docs[0][1]._.vokens) == 2
    # Nothing that msgpack cannot hold is left with them.
    assert len(spacy.tokens.DocBin(store_user_data=True, docs=docs).to_bytes()) > 0


def test_pipelines_of_one_half(vokenizer_path, make_tagger, tmp_path) -> None:
    vokenizer = SharedPipeline(vokenizer_path)
    doc, bare = vokenizer.annotate("a cat", Settings())
    assert doc[1]._.voken == "cat"
    assert get_token_values(bare, "voken") == [None, None]
    with pytest.raises(ValueError, match="no visual_ner"):
        vokenizer.explain("a cat", Settings())
    make_tagger("NoFusion", steps=40).to_disk(tmp_path / "tagger")
    tagger = SharedPipeline(tmp_path / "tagger")
    assert not tagger.has_images
    assert tagger.annotate("anna in paris !", Settings())[0].ents
    for ask in (
        lambda: tagger.search("a", None, 3, Settings()),
        lambda: tagger.embed([("a.png", png("red"))], tmp_path),
    ):
        with pytest.raises(ValueError, match="has no index"):
            ask()
    spacy.blank(LANG).to_disk(tmp_path / "blank")
    with pytest.raises(ValueError, match="neither a voken_retriever nor a visual_ner"):
        SharedPipeline(tmp_path / "blank")
