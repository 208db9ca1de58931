from __future__ import annotations

import pytest
from spacy.vocab import Vocab

from spacy_vokens.checks.splits import read_splits
from spacy_vokens.corpus.docbin import save_docs
from tests.checks.made import make_doc


def test_parts_are_read_with_training_first(tmp_path):
    for name in ("test", "extra", "valid", "train", "dev"):
        save_docs([make_doc(name)], tmp_path / f"{name}.spacy")
    splits = read_splits(tmp_path, Vocab())
    assert [split.name for split in splits] == ["train", "dev", "valid", "test", "extra"]
    assert [split.docs[0].text for split in splits] == [split.name for split in splits]
    assert [split.name for split in splits if split.is_training] == ["train"]


def test_one_file_is_one_part(tmp_path):
    save_docs([make_doc("a b")], tmp_path / "mine.spacy")
    (split,) = read_splits(tmp_path / "mine.spacy", Vocab())
    assert (split.name, split.is_training, len(split.docs)) == ("mine", False, 1)


def test_two_corpora_in_one_folder_are_refused(tmp_path):
    for folder in ("ner", "pairs"):
        save_docs([make_doc("a")], tmp_path / folder / "train.spacy")
    with pytest.raises(ValueError, match="both called train") as error:
        read_splits(tmp_path, Vocab())
    for folder in ("ner", "pairs"):
        assert str(tmp_path / folder / "train.spacy") in str(error.value)
