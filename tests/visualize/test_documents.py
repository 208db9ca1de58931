from __future__ import annotations

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example

from spacy_vokens.extensions import get_token_values, set_token_values
from spacy_vokens.visualize.documents import choose_documents, find_documents, read_documents


@pytest.fixture
def nlp():
    return spacy.blank("en")


def test_text_file_has_one_text_a_line(tmp_path, nlp):
    path = tmp_path / "texts.txt"
    path.write_text("\ufeffOne cat.\r\n\n  \nTwo\u2028dogs", encoding="utf-8", newline="")
    assert [doc.text for doc in read_documents(path, nlp)] == ["One cat.", "Two\u2028dogs"]


def test_corpus_keeps_tokens_and_attributes_but_not_entities(tmp_path, nlp):
    doc = Doc(nlp.vocab, ["Don't", "see", "N.Y.", "!"], spaces=[True, True, False, False])
    doc.ents = [Span(doc, 2, 3, "LOC")]
    doc._.image_id, doc._.raw_tags = "7.jpg", ["O", "O", "B-LOC", "O"]
    set_token_values(doc, "voken", ["a", None, "b", "c"])
    path = tmp_path / "corpus.spacy"
    DocBin(store_user_data=True, docs=[doc]).to_disk(path)

    (read,) = read_documents(path, nlp)

    assert [token.text_with_ws for token in read] == ["Don't ", "see ", "N.Y.", "!"]
    assert read.ents == ()
    assert read._.image_id == "7.jpg"
    assert list(read._.raw_tags) == ["O", "O", "B-LOC", "O"]
    assert get_token_values(read, "voken") == ["a", None, "b", "c"]


def test_a_corpus_without_raw_tags_has_its_entities_as_such(tmp_path, nlp):
    docs = [Doc(nlp.vocab, ["in", "Paris"]) for _ in range(3)]
    docs[0].ents = [Span(docs[0], 1, 2, "LOC")]
    docs[1].ents = []
    path = tmp_path / "corpus.spacy"
    DocBin(store_user_data=True, docs=docs).to_disk(path)
    tags = [doc._.raw_tags for doc in read_documents(path, nlp)]
    assert tags == [["O", "B-LOC"], ["O", "O"], None]


@pytest.mark.parametrize(
    ("name", "content", "message"), [("a.csv", "x", "neither"), ("a.txt", "\n \n", "no document")]
)
def test_unusable_files_are_refused_by_name(tmp_path, nlp, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match=f"{name}.*{message}"):
        read_documents(path, nlp)


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
        doc._.raw_tags = tags
    wrong = [docs[1], docs[3], docs[4]]
    assert find_documents(nlp, docs, "errors", 9, None) == wrong
    assert find_documents(nlp, docs, "errors", 2, None) == wrong[:2]
    assert [doc.user_data["title"] for doc in wrong] == ["document 2", "document 4", "document 5"]
    drawn = [find_documents(nlp, docs, "errors", 1, seed)[0] for seed in range(12)]
    assert {wrong.index(doc) for doc in drawn} == {0, 1, 2}
    with pytest.raises(ValueError, match="no entities of their own"):
        find_documents(nlp, docs[2:3], "errors", 9, None)


def test_documents_whose_entities_flip_tell_what_else_was_found(make_tagger):
    nlp = make_tagger("GatedFusion", voken_dropout=0.0)
    examples = []
    for picture, tags in (
        ("dog", ["O", "B-LOC"]),
        ("cat", ["O", "B-PER"]),
        ("egg", ["O", "O"]),
        (None, ["O", "B-PER"]),
    ):
        predicted = Doc(nlp.vocab, words=["the", "big"])
        predicted[1]._.voken = picture
        examples.append(Example(predicted, Doc(nlp.vocab, words=["the", "big"], ents=tags)))
    optimizer = nlp.resume_training()
    optimizer.learn_rate = 0.01
    for _ in range(150):
        nlp.update(examples, sgd=optimizer)
    # What another component finds is no matter of pictures.
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "DISH", "pattern": "the"}])
    docs = [eg.predicted for eg in examples]
    assert find_documents(nlp, docs, "flips", 9, None) == [docs[0], docs[2]]
    assert [doc.user_data.get("title") for doc in docs] == [
        "document 1 · without pictures: big PER",
        None,
        "document 3 · without pictures: big PER",
        None,
    ]
