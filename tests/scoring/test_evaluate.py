from __future__ import annotations

import hashlib
import json

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab

from spacy_vokens.attributes import get_token_values
from spacy_vokens.corpus.conll import TaggedSentence
from spacy_vokens.corpus.convert import tagged_doc
from spacy_vokens.corpus.docbin import save_docs
from spacy_vokens.corpus.reader import Corpus
from spacy_vokens.files import VokensError
from spacy_vokens.scoring.evaluate import (
    evaluate,
    evaluate_retrieval,
    score_entities,
    score_word_hit,
)
from tests.conftest import IMAGES, LANG
from tests.fixtures import captions

SENTENCES = [
    TaggedSentence(("RT", "Ann", "Lee", "in", "Bonn"), ("O", "I-PER", "I-PER", "O", "B-LOC"), "1"),
    TaggedSentence(("Ann", "Lee", "!"), ("B-PER", "I-PER", "O")),
]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "test.spacy"
    save_docs([tagged_doc(sentence, Vocab()) for sentence in SENTENCES], path)
    return path


@pytest.fixture
def nlp():
    nlp = spacy.blank(LANG)
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "PER", "pattern": "Ann Lee"}])
    return nlp


@pytest.fixture
def model(nlp, tmp_path):
    nlp.to_disk(tmp_path / "model")
    return tmp_path / "model"


def counts(scores):
    return {label: (score.tp, score.fp, score.fn) for label, score in scores.per_type.items()}


def test_entities_are_scored_in_both_readings_of_the_raw_tags(nlp, corpus):
    seen = []

    @Language.component("spy")
    def spy(doc):
        seen.append((doc._.visual_image_id, [token.text for token in doc]))
        return doc

    nlp.add_pipe("spy")
    scores = score_entities(nlp, Corpus(corpus)(nlp))
    # The first "Ann Lee" has the tags I- I-, so it is an entity in the lenient reading only.
    assert counts(scores["strict"]) == {"LOC": (0, 0, 1), "PER": (1, 1, 0)}
    assert counts(scores["lenient"]) == {"LOC": (0, 0, 1), "PER": (2, 0, 0)}
    # The corpus's own tokens and images reach the pipeline.
    assert seen == [("1", ["RT", "Ann", "Lee", "in", "Bonn"]), (None, ["Ann", "Lee", "!"])]


def test_entities_are_the_gold_if_there_are_no_raw_tags(nlp):
    reference = nlp("Ann Lee laughs")
    example = Example(nlp.make_doc("Ann Lee laughs"), reference)
    assert counts(score_entities(nlp, [example])["strict"]) == {"PER": (1, 0, 0)}


def test_the_report_has_spacys_keys(model, corpus):
    report = json.loads(json.dumps(evaluate(model, corpus)))
    assert report["model"] == str(model)
    assert report["corpus"] == str(corpus)
    assert report["corpus_sha256"] == hashlib.sha256(corpus.read_bytes()).hexdigest()
    assert report["scorer"] == "spacy_vokens.scoring.ner.score_tags"
    assert (report["docs"], report["tokens"]) == (2, 8)
    assert [report[f"ents_{key}"] for key in "prf"] == [0.5, 0.5, 0.5]
    assert [report[f"ents_lenient_{key}"] for key in "prf"] == pytest.approx([1, 2 / 3, 0.8])
    assert (report["ents_mentions"], report["ents_lenient_mentions"]) == (2, 3)
    assert report["ents_per_type"]["PER"] == {
        "p": 0.5,
        "r": 1.0,
        "f": pytest.approx(2 / 3),
        "mentions": 1,
        "tp": 1,
        "fp": 1,
        "fn": 0,
    }
    assert report["ents_weighted_f"] == pytest.approx(1 / 3)
    assert report["ents_lenient_weighted_f"] == pytest.approx(2 / 3)
    assert report["ents_lenient_per_type"]["PER"]["f"] == 1.0


@pytest.fixture
def pairs(tmp_path, vokenizer):
    path = tmp_path / "pairs.spacy"
    save_docs([example.reference for example in captions(vokenizer)], path)
    return path


@pytest.mark.parametrize("from_pool", [False, True])
def test_retrieval_is_scored_against_chance(vokenizer_path, pairs, pool, from_pool):
    report = evaluate_retrieval(vokenizer_path, pairs, pool.path if from_pool else None)
    assert json.loads(json.dumps(report)) == report
    assert (report["corpus"], report["docs"]) == (str(pairs), len(IMAGES))
    retrieval = report["retrieval"]
    assert retrieval["candidates"] == len(IMAGES)
    assert retrieval["scores"]["voken_sent_r1"] == 1.0
    assert retrieval["chance"]["voken_sent_r1"] == pytest.approx(1 / len(IMAGES))


def test_retrieval_is_scored_whatever_the_components_own_scorer_is(vokenizer_path, pairs, tmp_path):
    nlp = spacy.load(vokenizer_path, config={"components": {"voken_retriever": {"scorer": None}}})
    nlp.to_disk(tmp_path / "unscored")
    unscored, scored = (
        evaluate_retrieval(m, pairs) for m in (tmp_path / "unscored", vokenizer_path)
    )
    assert unscored["retrieval"] == scored["retrieval"]


def test_the_pool_that_is_named_has_the_candidates(vokenizer_path, pairs, make_pool):
    pool = make_pool(("cat", "cow", "dog"), seed=3)
    assert evaluate_retrieval(vokenizer_path, pairs, pool.path)["retrieval"]["candidates"] == 2


def test_word_hit_is_measured_without_the_documents_own_images(vokenizer_path, pairs):
    report = evaluate_retrieval(vokenizer_path, pairs)
    assert "no_word_hit" not in report
    # "a" is in all captions, and the language has no stop words. The other words are in one each.
    assert report["word_hit"] == {
        "images": len(IMAGES),
        "images_with_texts": len(IMAGES),
        "voken_word_hit": 1.0,
        "voken_word_hit_macro": 1.0,
        "voken_word_hit_chance": 1.0,
        "voken_word_hit_macro_chance": 1.0,
        "voken_content_words": len(IMAGES),
        "voken_content_stems": 1,
        "voken_content_without": 0.0,
        "voken_stop_coverage": None,
    }


def test_word_hit_takes_the_captions_that_are_named(vokenizer, vokenizer_path, pairs, tmp_path):
    path = tmp_path / "captions" / "all.spacy"
    docs = []
    # All images but the first, one of them twice, and one that is not in the index.
    for image_id in (*IMAGES[1:], IMAGES[1], "cow"):
        docs.append(Doc(vokenizer.vocab, ["a"]))
        docs[-1]._.visual_image_id = image_id
    save_docs(docs, path)
    found = evaluate_retrieval(vokenizer_path, pairs, captions=[path])["word_hit"]
    assert (found["images"], found["images_with_texts"]) == (len(IMAGES), len(IMAGES) - 1)
    assert found["voken_word_hit_chance"] == pytest.approx(5 / 6)


@pytest.mark.parametrize(
    ("image_id", "reason"), [("cow", "No texts of the images"), ("cat", "at least 5 images")]
)
def test_word_hit_that_cannot_be_measured_is_explained(
    vokenizer, vokenizer_path, pairs, tmp_path, image_id, reason
):
    path = tmp_path / "captions" / "all.spacy"
    doc = Doc(vokenizer.vocab, ["a"])
    doc._.visual_image_id = image_id
    save_docs([doc], path)
    report = evaluate_retrieval(vokenizer_path, pairs, captions=[path])
    assert report["word_hit"] is None
    assert reason in report["no_word_hit"]
    assert report["retrieval"]["candidates"] == len(IMAGES)


def test_a_retriever_keeps_its_settings(vokenizer, pairs):
    retriever = vokenizer.get_pipe("voken_retriever")
    examples = list(Corpus(pairs)(vokenizer))
    texts = [(eg.reference._.visual_image_id, eg.reference) for eg in examples]
    for doc in retriever.pipe(eg.predicted for eg in examples):
        assert doc[1]._.voken == doc._.visual_image_id
    assert score_word_hit(vokenizer, retriever, examples, texts)["voken_content_words"] == 6
    for eg in examples:
        assert eg.predicted._.visual_image_id not in get_token_values(eg.predicted, "voken")
    assert (retriever.exclude_own, retriever.overwrite, retriever.top_k) == (False, False, 1)


def test_what_cannot_be_scored_is_an_expected_error(
    model, vokenizer_path, corpus, pairs, make_pool, tmp_path
):
    other = make_pool(("cow",), seed=3).path
    with pytest.raises(VokensError, match=r"pairs\.spacy has no entities to score"):
        evaluate(model, pairs)
    with pytest.raises(OSError, match="missing"):
        evaluate(tmp_path / "missing", corpus)
    with pytest.raises(VokensError, match=r"config\.cfg is not a \.spacy corpus"):
        evaluate(model, model / "config.cfg")
    with pytest.raises(VokensError, match="has no voken_retriever"):
        evaluate_retrieval(model, pairs)
    with pytest.raises(VokensError, match="names no images of the pool"):
        evaluate_retrieval(vokenizer_path, pairs, other)
    with pytest.raises(VokensError, match=r"test\.spacy names no images that .* has indexed"):
        evaluate_retrieval(vokenizer_path, corpus)
