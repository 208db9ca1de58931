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

from spacy_vokens.extensions import get_token_values
from spacy_vokens.images.encoders import ImageEncoder
from spacy_vokens.visualize import workbench
from spacy_vokens.visualize.workbench import MAX_PICTURES, Settings, Workbench

from ..conftest import DIMENSION, PICTURES


@pytest.fixture(scope="module")
def path(make_tagger, vokenizer_path, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "pipeline"
    make_tagger("VisualAttention", steps=40, into=spacy.load(vokenizer_path)).to_disk(path)
    return path


@pytest.fixture
def bench(path) -> Workbench:
    return Workbench(path)


class Colors(nn.Module):
    """A picture's mean colour, twice: as wide as the features of the tests' pool."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return torch.cat([pictures.mean(dim=(2, 3))] * 2, dim=1)


@pytest.fixture
def encoder(monkeypatch) -> None:
    def transform(picture: Image.Image) -> torch.Tensor:
        pixels = np.asarray(picture.resize((4, 4)), dtype=np.float32)
        return torch.from_numpy(pixels).permute(2, 0, 1) / 255

    made = ImageEncoder("tiny", Colors().eval(), transform, DIMENSION, "1" * 64)
    monkeypatch.setattr(workbench, "load_encoder", lambda name, weights: made)


def png(color: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(file, "PNG")
    return file.getvalue()


def test_with_pictures_and_without(bench) -> None:
    doc, bare = bench.annotate("anna in paris !", Settings(top_k=2))
    assert {ent.label_ for ent in doc.ents} == {"PER", "LOC"}
    assert [len(vokens or ()) for vokens in get_token_values(doc, "vokens")] == [2, 2, 2, 0]
    assert doc[0]._.visual_attention
    for name in ("voken", "voken_score", "vokens"):
        assert get_token_values(bare, name) == [None] * 4
    assert bare.text == doc.text
    assert all(ent._.confidence is not None for ent in bare.ents)


def test_a_retriever_that_overwrites_leaves_the_bare_one_bare(path, tmp_path) -> None:
    config = {"components": {"voken_retriever": {"overwrite": True}}}
    spacy.load(path, config=config).to_disk(tmp_path / "overwrites")
    bench = Workbench(tmp_path / "overwrites")
    doc, bare = bench.annotate("anna in paris !", Settings())
    assert get_token_values(doc, "voken")[0]
    assert get_token_values(bare, "voken") == [None] * 4
    assert bench.retriever.overwrite


def test_other_components_entities_are_there_with_pictures_and_without(path) -> None:
    bench = Workbench(path)
    ruler = bench.nlp.add_pipe("entity_ruler", last=True, config={"overwrite_ents": True})
    ruler.add_patterns([{"label": "DISH", "pattern": "!"}])
    for doc in bench.annotate("anna in paris !", Settings()):
        assert "DISH" in {ent.label_ for ent in doc.ents}


def test_settings_hold_for_their_own_call(bench) -> None:
    high = bench.annotate("a cat", Settings(top_k=1, threshold=0.999))[0]
    assert get_token_values(high, "voken") == [None, None]
    assert None not in get_token_values(bench.annotate("a cat", Settings())[0], "voken")
    with pytest.raises(ValueError, match="E088"):
        bench.annotate("a" * 2_000_000, Settings(threshold=0.999))
    assert bench.retriever.threshold is None
    assert bench.retriever.top_k == 1
    assert not bench.tagger.attention


def test_people_at_once_do_not_get_each_others_settings(bench) -> None:
    wrong = []

    def ask(top_k: int) -> None:
        for _ in range(5):
            doc, _ = bench.annotate("a cat", Settings(top_k=top_k))
            if len(doc[1]._.vokens or [None]) != top_k:
                wrong.append(top_k)

    threads = [threading.Thread(target=ask, args=(k,)) for k in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_search_by_a_word_and_by_a_text(bench) -> None:
    (best, score), *others = bench.search("a cat !", 1, 4, Settings())
    doc, _ = bench.annotate("a cat !", Settings())
    assert best.id == doc[1]._.voken == "cat"
    assert score == pytest.approx(doc[1]._.voken_score, abs=1e-5)
    assert len(others) == 3
    assert {picture.id for picture, _ in bench.search("fish", None, 99, Settings())} == {*PICTURES}
    with pytest.raises(ValueError, match="Type a word"):
        bench.search("", None, 4, Settings())


def test_explains(bench) -> None:
    explanation = bench.explain("anna in paris !", Settings(top_k=3))
    assert len(explanation.evidence) == 2
    assert all(len(evidence.alternatives) == 2 for evidence in explanation.evidence)


@pytest.mark.usefixtures("encoder")
def test_own_pictures_for_a_visitor_alone(bench, tmp_path) -> None:
    files = [
        ("../../../etc/red.png", png("red")),
        ("..\\blue.PNG", png("blue")),
        (".hidden.png", png("green")),
        ("broken.png", b"not a picture"),
        ("page.html", b"<script>"),
    ]
    own = bench.embed(files, tmp_path)
    assert sorted(own.index.ids) == ["blue", "hidden", "red"]
    rejected = dict(own.rejected)
    assert rejected.keys() == {"broken.png", "page.html"}
    assert ".webp" in rejected["page.html"]
    assert not list(tmp_path.parent.glob("*.png"))
    doc, _ = bench.annotate("a cat in paris", Settings(top_k=3, own=own))
    assert set(get_token_values(doc, "voken")) <= {"red", "blue", "hidden"}
    assert bench.explain("anna in paris", Settings(own=own)).evidence
    found = bench.search("cat", None, 9, Settings(own=own))
    assert {picture.id for picture, _ in found} == {"blue", "hidden", "red"}
    assert all(picture.thumbnail for picture, _ in found)
    # Everybody else has the pipeline's, also while somebody is served.
    with bench._set_to(Settings(own=own)):
        assert bench.retriever.index is own.index
        assert "cat" in bench.index
    other, _ = bench.annotate("a cat", Settings())
    assert other[1]._.voken == "cat"


@pytest.mark.usefixtures("encoder")
def test_names_that_are_taken_or_too_long(bench, tmp_path) -> None:
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
    own = bench.embed(files, tmp_path)
    assert sorted(own.index.ids) == ["a_b", "x", "é" * 30]
    assert [name for name, _ in own.rejected] == ["b/x.png", "x.jpg", "a_b.png", ".png", ""]
    assert own.rejected[0][1] == "another picture has its name"
    # The first of a name stays.
    picture = own.index.picture("x").thumbnail
    assert Image.open(io.BytesIO(picture)).convert("RGB").getpixel((4, 4))[0] > 200


@pytest.mark.usefixtures("encoder")
def test_pictures_that_cannot_be_used_are_named(bench, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"None of the files can be used\. a\.png: "):
        bench.embed([("a.png", b"x")], tmp_path)
    (tmp_path / "many").mkdir()
    with pytest.raises(ValueError, match=f"At most {MAX_PICTURES} pictures"):
        bench.embed([("a.png", png("red"))] * (MAX_PICTURES + 1), tmp_path / "many")


def test_pictures_of_another_encoder_are_refused(bench, tmp_path, monkeypatch) -> None:
    other = ImageEncoder(
        "tiny", Colors().eval(), lambda _: torch.zeros(3, 4, 4), DIMENSION, "2" * 64
    )
    monkeypatch.setattr(workbench, "load_encoder", lambda name, weights: other)
    with pytest.raises(ValueError, match="same encoder"):
        bench.embed([("a.png", png("red"))], tmp_path)
    assert bench.annotate("a cat", Settings())[0][1]._.voken == "cat"


def test_an_encoder_that_would_download_wants_a_file(bench, path, tmp_path, monkeypatch) -> None:
    spec = "torchvision:resnet18"
    monkeypatch.setitem(bench.retriever.index.meta, "encoder", spec)
    with pytest.raises(ValueError, match="resnet18 would download its weights.*--weights FILE"):
        bench.embed([("a.png", png("red"))], tmp_path)
    asked = []

    def load(name: str, weights: Path | None) -> None:
        asked.append((name, weights))
        raise ValueError("enough")

    monkeypatch.setattr(workbench, "load_encoder", load)
    other = Workbench(path, tmp_path / "resnet18.pth")
    monkeypatch.setitem(other.retriever.index.meta, "encoder", spec)
    with pytest.raises(ValueError, match="enough"):
        other.embed([("a.png", png("red"))], tmp_path)
    assert asked == [(spec, tmp_path / "resnet18.pth")]


def test_many_texts(bench) -> None:
    docs = list(bench.process(["a cat", "", "anna"], Settings(top_k=2)))
    assert [len(doc) for doc in docs] == [2, 0, 1]
    assert len(docs[0][1]._.vokens) == 2
    # Nothing that msgpack cannot hold is left with them.
    assert len(spacy.tokens.DocBin(store_user_data=True, docs=docs).to_bytes()) > 0


def test_pipelines_of_one_half(vokenizer_path, make_tagger, tmp_path) -> None:
    vokenizer = Workbench(vokenizer_path)
    doc, bare = vokenizer.annotate("a cat", Settings())
    assert doc[1]._.voken == "cat"
    assert get_token_values(bare, "voken") == [None, None]
    with pytest.raises(ValueError, match="no visual_ner"):
        vokenizer.explain("a cat", Settings())
    make_tagger("NoFusion", steps=40).to_disk(tmp_path / "tagger")
    tagger = Workbench(tmp_path / "tagger")
    assert not tagger.has_pictures
    assert tagger.annotate("anna in paris !", Settings())[0].ents
    for ask in (
        lambda: tagger.search("a", None, 3, Settings()),
        lambda: tagger.embed([("a.png", png("red"))], tmp_path),
    ):
        with pytest.raises(ValueError, match="has no index"):
            ask()
    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(ValueError, match="neither a voken_retriever nor a visual_ner"):
        Workbench(tmp_path / "blank")
