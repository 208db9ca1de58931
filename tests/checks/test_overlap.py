from __future__ import annotations

from spacy.tokens import Doc

from spacy_vokens.checks.overlap import check_duplicates, check_names
from spacy_vokens.checks.splits import Split
from tests.checks.made import VOCAB, find, make_clean, make_doc, texts


def test_repeats_within_a_part_are_counted_and_no_warning():
    docs = [make_doc(words) for words in ("a b", "c", "a b", "b a", "a b")]
    section = check_duplicates([Split("train", [*docs, Doc(VOCAB), Doc(VOCAB)])])
    # Two empty documents are no repeat, nor is another order of the same words.
    assert texts(section.tables[0]) == [["train", "5", "2", "40.0%"]]
    assert find(section, "info") == [
        "train: 2 documents with the tokens of another | document 3 = 1, document 5 = 1."
    ]
    assert not find(section, "warn")
    assert len(section.tables) == 1


def test_documents_of_two_parts_are_a_warning():
    splits = [
        Split("train", [Doc(VOCAB), make_doc("a"), make_doc("b c")]),
        Split("dev", [Doc(VOCAB), make_doc("d")]),
        Split("test", [make_doc("d"), make_doc("b c"), make_doc("bc"), make_doc("a")]),
    ]
    section = check_duplicates(splits)
    assert texts(section.tables[1]) == [
        ["dev in train", "0", "0.0%", "0", "0.0%"],
        ["test in train", "2", "50.0%", "0", "0.0%"],
        ["test in dev", "1", "25.0%", "0", "0.0%"],
    ]
    seen = "there. Scores may be too high."
    assert find(section, "warn") == [
        "2 documents of test with the tokens of one in train | document 2 = 3, document 4 = 2 "
        f"{seen}",
        f"1 document of test with the tokens of one in dev | document 1 = 2 {seen}",
    ]
    assert not find(section, "good")


def test_images_of_two_parts_are_a_warning():
    splits = [
        Split("train", [make_doc("a"), make_doc("b", image_id="x")]),
        Split("test", [make_doc("c"), make_doc("d", image_id="y"), make_doc("e", image_id="x")]),
    ]
    section = check_duplicates(splits)
    assert texts(section.tables[1]) == [["test in train", "0", "0.0%", "1", "33.3%"]]
    (warning,) = find(section, "warn")
    assert warning.startswith("1 document of test with the image of one in train | document 3 = 2")


def test_parts_that_share_nothing_pass():
    section = check_duplicates(make_clean())
    assert find(section, "good") == ["No document or image is in two splits | "]
    assert len(section.messages) == 1


def test_unseen_names_are_counted_by_mention_and_once():
    splits = [
        Split("train", [make_doc("Ann Lee in Bonn", "B-PER I-PER O B-LOC")]),
        Split(
            "test",
            [
                # Known, but for its case; known, but with another label; part of one; twice new.
                make_doc("ANN lee Bonn Lee", "B-PER I-PER B-ORG B-PER"),
                make_doc("Rome Rome", "B-LOC B-LOC"),
            ],
        ),
    ]
    section = check_names(splits)
    assert texts(section.tables[0]) == [["test", "5", "4", "80.0%", "4", "3", "75.0%"]]
    assert section.tables[0].rows[0][3].share == 0.8
    assert not find(section, "warn")


def test_names_need_two_parts_and_entities():
    tagged, bare = make_doc("a", "B-PER"), make_doc("a")
    for splits, said in (
        ([Split("train", [bare]), Split("test", [tagged])], "no entities in train"),
        ([Split("test", [tagged])], "no entities in train"),
        ([Split("train", [tagged])], "no split besides train"),
    ):
        section = check_names(splits)
        assert section.tables == ()
        (info,) = find(section, "info")
        assert said in info
