from __future__ import annotations

import spacy
from spacy.tokens import Doc
from spacy.vocab import Vocab

from research.shuffle_pairs import shuffle_pairs
from spacy_vokens.corpus.docbin import load_docs, save_docs
from tests.conftest import LANG


def read(path):
    return [([token.text for token in d], d._.visual_image_id) for d in load_docs(path, Vocab())]


def test_texts_stay_and_images_are_permuted(tmp_path):
    nlp = spacy.blank(LANG)
    docs = [Doc(nlp.vocab, words=["caption", str(i)]) for i in range(50)]
    for number, doc in enumerate(docs):
        # Several captions per image.
        doc._.visual_image_id = f"{number // 5}.jpg"
    save_docs(docs, tmp_path / "pairs.spacy")
    for name in ("one", "other"):
        shuffle_pairs(tmp_path / "pairs.spacy", tmp_path / f"{name}.spacy")
    before, after = read(tmp_path / "pairs.spacy"), read(tmp_path / "one.spacy")
    assert [words for words, _ in after] == [words for words, _ in before]
    assert sorted(image for _, image in after) == sorted(image for _, image in before)
    assert sum(a == b for a, b in zip(before, after, strict=True)) < 20
    assert read(tmp_path / "other.spacy") == after
