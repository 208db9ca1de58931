from __future__ import annotations

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.vocab import Vocab

from spacy_vokens.corpus.captions import Caption
from spacy_vokens.corpus.conll import TaggedSentence
from spacy_vokens.corpus.convert import Summary, caption_doc, summarize, tagged_doc
from spacy_vokens.corpus.docbin import save_docs
from spacy_vokens.corpus.readers import Corpus
from spacy_vokens.metrics.ner import bio_tags, gold_tags, repair_bio

tokens = st.lists(
    st.tuples(st.text(min_size=1), st.sampled_from(["O", "B-PER", "I-PER", "I-LOC"])), min_size=1
)


@given(tokens)
def test_a_document_holds_the_sentences_own_words_and_tags(pairs):
    words, tags = zip(*pairs, strict=True)
    doc = tagged_doc(TaggedSentence(words, tags, "1"), Vocab())
    assert tuple(token.text for token in doc) == words
    assert doc.text == " ".join(words)
    assert bio_tags(doc) == repair_bio(tags)
    assert gold_tags(doc) == doc._.raw_tags == list(tags)


# spaCy counts some of these words as white space.
@pytest.mark.parametrize("word", [*"\ufe0f\u200b\xa0 \x1c\x85\u2028", "x" * 600])
def test_entities_on_invisible_words_reach_training_whole(word, tmp_path):
    nlp = spacy.blank("en")
    tags = ["O", "B-PER", "I-PER", "I-LOC"]
    doc = tagged_doc(TaggedSentence(("a", word, "b", word), tuple(tags)), nlp.vocab)
    save_docs([doc], tmp_path / "a.spacy")
    (example,) = Corpus(tmp_path / "a.spacy")(nlp)
    assert [token.text for token in example.predicted] == ["a", word, "b", word]
    assert [token.idx for token in example.predicted] == [token.idx for token in doc]
    assert example.get_aligned_ner() == ["O", "B-PER", "L-PER", "U-LOC"]
    assert gold_tags(example.reference) == tags


def test_gold_tags_fall_back_on_the_entities():
    doc = tagged_doc(TaggedSentence(("a", "b"), ("O", "I-PER")), Vocab())
    doc._.raw_tags = None
    assert gold_tags(doc) == ["O", "B-PER"]


@pytest.mark.parametrize(
    ("written", "image_id"), [("17_06_1", "17_06_1"), ("a.b.JPG", "a.b"), (None, None)]
)
def test_image_ids_are_the_pools(written, image_id):
    assert tagged_doc(TaggedSentence(("a",), ("O",), written), Vocab())._.image_id == image_id


def test_a_caption_is_tokenised_and_named():
    doc = caption_doc(Caption("dogs/1.jpeg", "train", "A dog's bone."), spacy.blank("en"))
    assert [token.text for token in doc] == ["A", "dog", "'s", "bone", "."]
    assert doc.text == "A dog's bone."
    assert doc._.image_id == "dogs/1"


def test_summary(make_docs):
    again = tagged_doc(TaggedSentence(("x",), ("I-LOC",), "17_06_1"), Vocab())
    assert summarize([*make_docs(), again]) == Summary(
        docs=4, tokens=9, entities={"LOC": 2, "PER": 1}, repaired=2, images=1
    )
