from __future__ import annotations

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.vocab import Vocab

from spacy_vokens.corpus.captions import Caption
from spacy_vokens.corpus.conll import ConllOptions, TaggedSentence
from spacy_vokens.corpus.convert import Summary, caption_doc, convert, summarize, tagged_doc
from spacy_vokens.corpus.docbin import load_docs, save_docs
from spacy_vokens.corpus.reader import Corpus
from spacy_vokens.files import VokensError
from spacy_vokens.scoring.ner import bio_tags, gold_tags, repair_bio
from tests.conftest import DATA, LANG
from tests.fixtures import TWEETS

RENAME = ConllOptions(rename={"OTHER": "MISC"})
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
    assert gold_tags(doc) == doc._.visual_raw_tags == list(tags)


# spaCy counts some of these words as white space.
@pytest.mark.parametrize("word", [*"\ufe0f\u200b\xa0 \x1c\x85\u2028", "x" * 600])
def test_entities_on_invisible_words_reach_training_whole(word, tmp_path):
    nlp = spacy.blank(LANG)
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
    doc._.visual_raw_tags = None
    assert gold_tags(doc) == ["O", "B-PER"]


@pytest.mark.parametrize(
    ("written", "image_id"), [("17_06_1", "17_06_1"), ("a.b.JPG", "a.b"), (None, None)]
)
def test_image_ids_are_the_pools(written, image_id):
    assert (
        tagged_doc(TaggedSentence(("a",), ("O",), written), Vocab())._.visual_image_id == image_id
    )


def test_a_caption_is_tokenized_and_named():
    doc = caption_doc(Caption("dogs/1.jpeg", "train", "A dog's bone."), spacy.blank(LANG))
    assert [token.text for token in doc] == ["A", "dog", "'s", "bone", "."]
    assert doc.text == "A dog's bone."
    assert doc._.visual_image_id == "dogs/1"


def test_summary(make_docs):
    again = tagged_doc(TaggedSentence(("x",), ("I-LOC",), "17_06_1"), Vocab())
    assert summarize([*make_docs(), again]) == Summary(
        docs=4, tokens=9, entities={"LOC": 2, "PER": 1}, repaired=2, images=1
    )


def test_a_conll_file_becomes_a_corpus(tweets, tmp_path):
    out = tmp_path / "corpus" / "train.spacy"
    summaries = convert(tweets, out, conll=RENAME)
    assert summaries == {
        out: Summary(
            docs=2, tokens=4, entities={"MISC": 1, "PER": 1}, repaired=1, images=2, scheme="IOB2"
        )
    }
    docs = load_docs(out, Vocab())
    assert [doc._.visual_image_id for doc in docs] == ["1", "2"]
    assert [[(e.text, e.label_) for e in doc.ents] for doc in docs] == [
        [("Ann Lee", "PER")],
        [("IFA", "MISC")],
    ]
    assert list(docs[1]._.visual_raw_tags) == ["O", "I-MISC"]
    assert list(out.parent.iterdir()) == [out]


def test_a_folder_becomes_a_folder(tweets, tmp_path):
    (tmp_path / "notes.md").write_text("not a corpus", encoding="utf-8")
    out = tmp_path / "corpus"
    assert list(convert(tmp_path, out)) == [out / "tweets.spacy"] == list(out.iterdir())
    tweets.unlink()
    with pytest.raises(VokensError, match=r"holds no \.txt or \.conll files"):
        convert(tmp_path, out)


def test_two_files_that_would_become_one_corpus_are_refused(tweets, tmp_path):
    other = tmp_path / "tweets.conll"
    other.write_text(TWEETS, encoding="utf-8")
    with pytest.raises(VokensError, match=f"{other} and {tweets} would both become"):
        convert(tmp_path, tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


def test_a_captions_table_becomes_a_corpus_for_every_split(captions_table, tmp_path):
    out = tmp_path / "pairs"
    summaries = convert(captions_table, out)
    assert sorted(out.iterdir()) == sorted(summaries) == [out / "dev.spacy", out / "train.spacy"]
    assert summaries[out / "train.spacy"] == Summary(3, 7, {}, 0, 2)
    train = load_docs(out / "train.spacy", Vocab())
    assert [(d.text, d._.visual_image_id) for d in train] == [
        ("A dog.", "a"),
        ("A cat.", "a"),
        ("Two", "b"),
    ]
    assert [token.text for token in train[0]] == ["A", "dog", "."]


def test_captions_are_limited_and_tokenized_in_their_language(captions_table, tmp_path):
    convert(captions_table, tmp_path / "pairs", max_captions=1, lang="xx")
    assert [d.text for d in load_docs(tmp_path / "pairs" / "train.spacy", Vocab())] == [
        "A dog.",
        "Two",
    ]


def test_the_format_can_be_said(captions_table, tmp_path):
    captions_table = captions_table.rename(tmp_path / "captions.data")
    with pytest.raises(VokensError, match="say what it is with --format"):
        convert(captions_table, tmp_path / "pairs")
    convert(captions_table, tmp_path / "pairs", file_format="captions")


@pytest.mark.parametrize(
    ("source", "out", "options", "error", "message"),
    [
        ("tweets.txt", "train.txt", {}, VokensError, r"ends in \.spacy"),
        ("captions.tsv", "a.spacy", {}, VokensError, "one file per split. Give a folder"),
        ("captions.tsv", "tweets.txt", {}, VokensError, "one file per split. Give a folder"),
        (
            "captions.tsv",
            "pairs",
            {"conll": ConllOptions(rename={"A": "B"})},
            VokensError,
            "has captions",
        ),
        ("tweets.txt", "a.spacy", {"lang": "en"}, VokensError, "for captions, but .* is CoNLL"),
        (
            "tweets.txt",
            "a.spacy",
            {"max_captions": 1},
            VokensError,
            "for captions, but .* is CoNLL",
        ),
        ("captions.tsv", "pairs", {"lang": "qq"}, ImportError, "qq"),
        ("captions.tsv", "a.spacy", {"file_format": "conll"}, VokensError, "line 1: expected"),
        ("missing.tsv", "pairs", {}, FileNotFoundError, "missing"),
        (".", "pairs", {"file_format": "captions"}, IsADirectoryError, "Is a directory"),
    ],
)
def test_errors_say_what_to_do_and_nothing_is_written(
    tweets, captions_table, tmp_path, source, out, options, error, message
):
    with pytest.raises(error, match=message):
        convert(tmp_path / source, tmp_path / out, **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["captions.tsv", "tweets.txt"]
    assert tweets.read_text(encoding="utf-8") == TWEETS


@pytest.mark.skipif(not DATA.is_dir(), reason=f"the tweets are not at {DATA}")
def test_the_tweets(tmp_path):
    out = tmp_path / "test.spacy"
    found = convert(DATA / "twitter2015" / "test.txt", out, conll=RENAME)[out]
    # The paper's 5,207 entities; 135 of them do not begin with B-.
    assert (found.docs, found.repaired) == (3257, 135)
    assert found.entities == {"LOC": 1720, "MISC": 754, "ORG": 860, "PER": 1873}
