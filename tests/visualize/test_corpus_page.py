from __future__ import annotations

import re

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example

from spacy_vokens.attributes import get_token_values, set_token_values
from spacy_vokens.visualize import corpus_page
from spacy_vokens.visualize.corpus_page import (
    PageOptions,
    PageReport,
    choose_documents,
    find_documents,
    read_documents,
    visualize,
)
from tests.conftest import IMAGES, LANG
from tests.visualize.test_render import Page


@pytest.fixture
def nlp():
    return spacy.blank(LANG)


def test_text_file_has_one_text_a_line(tmp_path, nlp):
    path = tmp_path / "texts.txt"
    path.write_text("\ufeffOne cat.\r\n\n  \nTwo\u2028dogs", encoding="utf-8", newline="")
    assert [doc.text for doc in read_documents(path, nlp)] == ["One cat.", "Two\u2028dogs"]


def test_corpus_keeps_tokens_and_attributes_but_not_entities(tmp_path, nlp):
    doc = Doc(nlp.vocab, ["Don't", "see", "N.Y.", "!"], spaces=[True, True, False, False])
    doc.ents = [Span(doc, 2, 3, "LOC")]
    doc._.visual_image_id, doc._.visual_raw_tags = "7.jpg", ["O", "O", "B-LOC", "O"]
    set_token_values(doc, "voken", ["a", None, "b", "c"])
    path = tmp_path / "corpus.spacy"
    DocBin(store_user_data=True, docs=[doc]).to_disk(path)

    (read,) = read_documents(path, nlp)

    assert [token.text_with_ws for token in read] == ["Don't ", "see ", "N.Y.", "!"]
    assert read.ents == ()
    assert read._.visual_image_id == "7.jpg"
    assert list(read._.visual_raw_tags) == ["O", "O", "B-LOC", "O"]
    assert get_token_values(read, "voken") == ["a", None, "b", "c"]


def test_a_corpus_without_raw_tags_has_its_entities_as_such(tmp_path, nlp):
    docs = [Doc(nlp.vocab, ["in", "Paris"]) for _ in range(3)]
    docs[0].ents = [Span(docs[0], 1, 2, "LOC")]
    docs[1].ents = []
    path = tmp_path / "corpus.spacy"
    DocBin(store_user_data=True, docs=docs).to_disk(path)
    tags = [doc._.visual_raw_tags for doc in read_documents(path, nlp)]
    assert tags == [["O", "B-LOC"], ["O", "O"], None]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("a.csv", "x", "neither"), ("a.txt", "\n \n", "has no documents")],
)
def test_unusable_files_are_refused_by_name(tmp_path, nlp, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match=f"{name}.*{message}"):
        read_documents(path, nlp)


def test_a_page_of_a_text_file_is_written(tmp_path, vokenizer_path):
    data, output = tmp_path / "texts.txt", tmp_path / "page.html"
    data.write_text("a cat\na dog !\na fish", encoding="utf-8")
    report = visualize(vokenizer_path, data, output, PageOptions(limit=2, title="Mine"))
    assert report == PageReport(n_docs=2, n_vokens=report.n_vokens, has_images=True)
    html = output.read_text(encoding="utf-8")
    page = Page(html)
    assert page.text("h1") == ["Mine"]
    assert [text for _, text in page.having("word")] == ["a", "cat", "a", "dog", "!"]
    assert f"{report.n_vokens} distinct vokens" in html


def test_a_page_says_how_many_words_their_images_show(tmp_path, vokenizer_path, monkeypatch):
    data, output = tmp_path / "texts.txt", tmp_path / "page.html"
    data.write_text("a cat\na dog !", encoding="utf-8")
    # "a" is in a text of all images but one.
    texts = {image_id: "a picture" for image_id in IMAGES if image_id != "egg"}

    def read_texts(records, nlp):
        return ((r.id, nlp.make_doc(texts[r.id])) for r in records if r.id in texts)

    monkeypatch.setattr(corpus_page, "recorded_texts", read_texts)
    visualize(vokenizer_path, data, output)
    counts = re.findall('<p class="counts">(.*?)</p>', output.read_text(encoding="utf-8"))
    expected = r"· \d+% of 2 content words in a text of their image \(83% by chance\)$"
    assert re.search(expected, counts[0])
    texts.clear()
    visualize(vokenizer_path, data, output)
    assert "by chance" not in output.read_text(encoding="utf-8")


def test_a_pipeline_without_retriever_shows_no_images(tmp_path, nlp):
    nlp.to_disk(tmp_path / "blank")
    data, output = tmp_path / "texts.txt", tmp_path / "page.html"
    data.write_text("a cat", encoding="utf-8")
    assert visualize(tmp_path / "blank", data, output) == PageReport(1, 0, has_images=False)
    assert "no image" in output.read_text(encoding="utf-8")


@pytest.mark.parametrize("content", [b"a\ncaf\xe9", b"a\nb\0", b"a\n" + b"x" * 1_000_001])
def test_files_that_are_no_text_are_refused_by_line(tmp_path, nlp, content):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.txt, line 2: "):
        read_documents(path, nlp)


def test_choice_is_the_first_or_a_draw_by_seed(nlp):
    docs = [nlp(str(number)) for number in range(50)]
    assert choose_documents(docs, 3, None) == docs[:3]
    assert choose_documents(docs, 99, 0) == docs
    drawn = choose_documents(docs, 5, 0)
    assert drawn == choose_documents(docs, 5, 0)
    assert drawn != choose_documents(docs, 5, 1)
    rows = [docs.index(doc) for doc in drawn]
    assert rows == sorted(set(rows)) != list(range(5))


def test_documents_with_errors_by_the_strict_reading(nlp):
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "LOC", "pattern": "Paris"}])
    docs = [Doc(nlp.vocab, ["in", "Paris"]) for _ in range(5)]
    for doc, tags in zip(
        docs, (["O", "B-LOC"], ["O", "O"], None, ["O", "I-LOC"], ["O", "B-PER"]), strict=True
    ):
        doc._.visual_raw_tags = tags
    wrong = [docs[1], docs[3], docs[4]]
    assert find_documents(nlp, docs, "errors", 9, None) == wrong
    assert find_documents(nlp, docs, "errors", 2, None) == wrong[:2]
    assert [doc.user_data["title"] for doc in wrong] == ["document 2", "document 4", "document 5"]
    drawn = [find_documents(nlp, docs, "errors", 1, seed)[0] for seed in range(12)]
    assert {wrong.index(doc) for doc in drawn} == {0, 1, 2}
    with pytest.raises(ValueError, match="no gold entities"):
        find_documents(nlp, docs[2:3], "errors", 9, None)


def test_documents_whose_entities_flip_tell_what_else_was_found(make_tagger):
    nlp = make_tagger("GatedFusion", voken_dropout=0.0)
    examples = []
    for image, tags in (
        ("dog", ["O", "B-LOC"]),
        ("cat", ["O", "B-PER"]),
        ("egg", ["O", "O"]),
        (None, ["O", "B-PER"]),
    ):
        predicted = Doc(nlp.vocab, words=["the", "big"])
        predicted[1]._.voken = image
        examples.append(Example(predicted, Doc(nlp.vocab, words=["the", "big"], ents=tags)))
    optimizer = nlp.resume_training()
    optimizer.learn_rate = 0.01
    for _ in range(150):
        nlp.update(examples, sgd=optimizer)
    # Entities of other components do not count.
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "DISH", "pattern": "the"}])
    docs = [eg.predicted for eg in examples]
    assert find_documents(nlp, docs, "flips", 9, None) == [docs[0], docs[2]]
    assert [doc.user_data.get("title") for doc in docs] == [
        "document 1 · without images: big PER",
        None,
        "document 3 · without images: big PER",
        None,
    ]
