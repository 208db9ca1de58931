from __future__ import annotations

import pytest
import spacy

from spacy_vokens.corpus.docbin import save_docs
from spacy_vokens.corpus.select import Selection, select_images
from spacy_vokens.files import VokensError
from spacy_vokens.images.pool import ImagePool
from tests.conftest import LANG


def test_only_the_named_images_are_selected(pool, tmp_path):
    nlp = spacy.blank(LANG)
    docs = [nlp("a cat"), nlp("a cow"), nlp("nothing")]
    docs[0]._.visual_image_id, docs[1]._.visual_image_id = "cat", "cow"
    save_docs(docs, tmp_path / "train.spacy")
    selection = select_images(pool.path, tmp_path / "train.spacy", tmp_path / "out")
    assert selection == Selection(n_named=2, n_selected=1, n_pool=6)
    assert ImagePool.open(tmp_path / "out").ids == ["cat"]
    with pytest.raises(FileExistsError):
        select_images(pool.path, tmp_path / "train.spacy", tmp_path / "out")
    assert select_images(pool.path, tmp_path, tmp_path / "out", overwrite=True) == selection
    save_docs(docs[2:], tmp_path / "none.spacy")
    with pytest.raises(ValueError, match="None of the 0 image ids"):
        select_images(pool.path, tmp_path / "none.spacy", tmp_path / "other")


def test_damaged_corpora_are_named(pool, tmp_path):
    (tmp_path / "a.spacy").write_bytes(b"x")
    with pytest.raises(VokensError, match=r"a\.spacy is not a \.spacy corpus"):
        select_images(pool.path, tmp_path / "a.spacy", tmp_path / "out")
