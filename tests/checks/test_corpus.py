from __future__ import annotations

import pytest
from spacy.tokens import Doc, Span

from spacy_vokens.checks.corpus import (
    check_labels,
    check_sizes,
    check_splits,
    check_tags,
    debug_data,
)
from spacy_vokens.checks.report import count_levels
from spacy_vokens.checks.splits import Split
from spacy_vokens.corpus.docbin import save_docs
from spacy_vokens.files import VokensError
from tests.checks.made import VOCAB, find, make_clean, make_doc, texts


def test_a_clean_corpus_gives_no_warning(make_pool, text_encoder):
    pool = make_pool()
    sections = check_splits(make_clean(pool.id.short), pool=pool, encoder=text_encoder)
    assert [section.title for section in sections] == [
        "Documents",
        "Labels",
        "BIO tags",
        "Duplicates",
        "Unseen names",
        "Images",
        "Vokens",
        "Image files",
        "Word pieces",
    ]
    counts = count_levels(sections)
    assert (counts["warn"], counts["fail"]) == (0, 0)
    assert counts["good"] == 6
    for section in sections:
        for table in section.tables:
            assert {len(row) for row in table.rows} == {len(table.header)}


def test_without_pool_and_encoder_the_rest_is_checked():
    sections = check_splits(make_clean())
    assert "Image files" not in [section.title for section in sections]
    counts = count_levels(sections)
    assert (counts["warn"], counts["fail"], counts["good"]) == (0, 0, 3)
    (hint,) = find(sections[-1], "info")
    assert "--text-encoder" in hint


def test_sizes_leave_empty_documents_out_of_their_figures():
    lengths = [1] * 18 + [8, 9, 200]
    docs = [make_doc(" ".join("a" * length)) for length in lengths]
    docs[0] = make_doc("a", "B-PER")
    section = check_sizes([Split("train", [*docs, Doc(VOCAB), Doc(VOCAB)])])
    sizes, classes = section.tables
    assert texts(sizes) == [["train", "23", "2", "235", "11.2", "1", "9", "200", "1"]]
    assert texts(classes) == [
        ["1-8", "90.5%"],
        ["9-16", "4.8%"],
        ["17-32", "0.0%"],
        ["33-64", "0.0%"],
        ["65-128", "0.0%"],
        ["over 128", "4.8%"],
    ]
    assert classes.rows[0][1].share == 19 / 21
    assert find(section, "info") == ["train has 2 empty documents | Training skips them."]


def test_classes_of_lengths_end_where_they_say():
    docs = [make_doc(" ".join("a" * length)) for length in (16, 17, 128, 129)]
    _, classes = check_sizes([Split("train", docs)]).tables
    assert [row[1] for row in texts(classes)] == [
        "0.0%",
        "25.0%",
        "25.0%",
        "0.0%",
        "25.0%",
        "25.0%",
    ]


def test_a_part_without_tokens_is_a_failure():
    for docs in ([], [Doc(VOCAB)]):
        section = check_sizes([Split("train", docs)])
        assert find(section, "fail") == ["train has no document with tokens | "]
        assert texts(section.tables[0])[0][4:8] == ["-"] * 4
        assert texts(section.tables[1])[0] == ["1-8", "-"]


def test_a_corpus_without_training_is_said():
    section = check_sizes([Split("dev", [make_doc("a")])])
    assert find(section, "info") == [
        "There is no train.spacy: nothing is compared with training data | "
    ]
    assert not find(check_sizes([Split("train", [make_doc("a")])]), "info")


def test_labels_are_counted_and_those_that_training_lacks_named():
    splits = [
        Split("train", [make_doc("a b c", "B-PER I-PER B-LOC"), make_doc("a", "B-PER")]),
        Split("dev", [make_doc("a b", "B-ORG B-<i>"), make_doc("a", "B-ORG")]),
        Split("test", [make_doc("a b", "B-PER B-ORG")]),
    ]
    section = check_labels(splits)
    assert section.tables[0].header == ("Label", "train", "dev", "test")
    assert texts(section.tables[0]) == [
        ["ORG", "0", "2", "1"],
        ["PER", "2", "0", "1"],
        ["<i>", "0", "1", "0"],
        ["LOC", "1", "0", "0"],
    ]
    assert section.tables[0].rows[0][2].share == 2 / 3
    assert find(section, "warn") == [
        "2 labels not in train | ORG (dev 2, test 1), <i> (dev 1). A tagger cannot find these "
        "entities."
    ]
    assert not find(section, "good")
    assert not find(section, "fail")


def test_training_without_entities_is_a_failure_and_elsewhere_a_warning():
    bare, tagged = make_doc("a b"), make_doc("a", "B-PER")
    section = check_labels([Split("train", [bare]), Split("test", [tagged])])
    (failure,) = find(section, "fail")
    assert failure.startswith("train has no entities")
    # That says it all: no label of theirs is named besides.
    assert not find(section, "warn")
    section = check_labels([Split("train", [tagged]), Split("test", [bare])])
    assert find(section, "warn") == ["test has no entities to score | "]
    assert not find(section, "fail")
    assert check_labels([Split("train", [bare])]).tables == ()


def test_ill_formed_tags_are_counted_and_placed():
    ill = [make_doc("a b c d", "O I-PER I-PER I-LOC") for _ in range(4)]
    splits = [
        Split("train", [make_doc("a b", "B-PER I-PER"), *ill]),
        Split("test", [make_doc("a", "B-PER")]),
    ]
    section = check_tags(splits)
    assert texts(section.tables[0]) == [
        ["train", "5", "14", "8", "57.1%", "4"],
        ["test", "1", "1", "0", "0.0%", "0"],
    ]
    assert find(section, "warn") == [
        "train: 8 ill-formed tags | document 2 token 2, document 2 token 4, document 3 token 2, "
        "document 3 token 4, document 4 token 2 and 3 more. This I- continues nothing. It "
        "begins an entity in training, not in strict scores."
    ]
    assert not find(section, "good")


def test_tags_that_do_not_fit_their_document_are_told():
    longer, other, fine = (make_doc("a b", "B-PER O") for _ in range(3))
    longer._.visual_raw_tags = ["B-PER", "O", "O"]
    other.ents = [Span(other, 0, 1, "LOC")]
    section = check_tags([Split("train", [fine, longer, other, Doc(VOCAB, words=["a"])])])
    (failure,), (warning,) = find(section, "fail"), find(section, "warn")
    assert failure.startswith("train: 1 document with more or fewer tags than tokens | document 2.")
    assert warning.startswith("train: 1 document whose entities differ from the tags | document 3.")
    assert texts(section.tables[0])[0][:2] == ["train", "3"]


def test_a_corpus_without_tags_of_its_own_is_said():
    section = check_tags([Split("train", [Doc(VOCAB, words=["a"])])])
    assert section.tables == ()
    assert len(find(section, "info")) == 1
    assert find(check_tags(make_clean()), "good") == [
        "All tags are well-formed and agree with the entities | "
    ]


@pytest.fixture
def clean(pool, tmp_path):
    """Folder of a corpus without findings."""
    for split in make_clean(pool.id.short):
        save_docs(split.docs, tmp_path / "clean" / f"{split.name}.spacy")
    return tmp_path / "clean"


def test_files_are_checked_as_their_documents_are(clean, pool, make_pool, text_encoder):
    sections = debug_data(clean, pool=pool.path, encoder=text_encoder)
    assert sections == check_splits(make_clean(pool.id.short), pool=pool, encoder=text_encoder)
    assert count_levels(debug_data(clean, pool=make_pool(seed=1).path))["fail"] == 3
    save_docs([make_doc("a b")], clean / "train.spacy")
    assert count_levels(debug_data(clean / "train.spacy"))["fail"] == 1


def test_no_text_of_the_corpus_is_in_the_report(tmp_path):
    docs = [make_doc("secretword is here", "I-PER O O", image_id="x") for _ in range(2)]
    docs[1].ents = [Span(docs[1], 1, 2, "LOC")]
    for name in ("train", "test"):
        save_docs(docs, tmp_path / f"{name}.spacy")
    sections = debug_data(tmp_path)
    assert "with the tokens of one in train" in str(sections)
    assert "secretword" not in str(sections)


def test_what_cannot_be_read_is_an_expected_error(clean, text_encoder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged.spacy").write_bytes(b"x")
    with pytest.raises(FileNotFoundError, match="Can't find the corpus"):
        debug_data(tmp_path / "empty")
    with pytest.raises(VokensError, match=r"is not a \.spacy corpus, or is damaged"):
        debug_data(tmp_path / "damaged.spacy")
    with pytest.raises((ValueError, OSError), match="empty"):
        debug_data(clean, pool=tmp_path / "empty")
    with pytest.raises(OSError, match="cannot be read"):
        debug_data(clean, encoder=str(tmp_path / "empty"))
