from __future__ import annotations

import pytest
import spacy
from spacy.tokens import Doc
from spacy.training import Example

from spacy_vokens.extensions import get_token_values, set_token_values
from spacy_vokens.visualize.explanation import Evidence, Reading, explain

from ..conftest import PICTURES


@pytest.fixture(scope="module")
def nlp(make_tagger, vokenizer_path):
    """A pipeline that has learned that "big" is a name where its picture is a cat, and no other."""
    nlp = make_tagger("GatedFusion", into=spacy.load(vokenizer_path), voken_dropout=0.0)
    examples = []
    for picture, tags in (("dog", ["O", "O"]), ("cat", ["O", "B-PER"]), (None, ["O", "O"])):
        predicted = Doc(nlp.vocab, words=["the", "big"])
        predicted[1]._.voken = picture
        examples.append(Example(predicted, Doc(nlp.vocab, words=["the", "big"], ents=tags)))
    optimizer = nlp.resume_training()
    optimizer.learn_rate = 0.01
    for _ in range(120):
        nlp.update(examples, sgd=optimizer, exclude=["voken_retriever"])
    return nlp


@pytest.fixture
def grounded(nlp):
    """ "the big", whose picture is a cat by the very index of the pipeline."""
    doc = nlp.make_doc("the big")
    set_token_values(doc, "voken", [None, "cat"])
    set_token_values(doc, "voken_score", [None, 0.5])
    doc._.voken_index = nlp.get_pipe("voken_retriever").index.id
    return doc


def test_a_name_by_its_picture_alone(nlp, grounded) -> None:
    explanation = explain(nlp, grounded, n_random=30)
    (evidence,) = explanation.evidence
    assert evidence.span == (1, 2, "PER")
    assert evidence.is_found
    assert evidence.verdict == "found only with its pictures"
    assert evidence.with_pictures.found == ((1, 2, "PER"),)
    assert evidence.with_pictures.probability > 0.5 > evidence.without.probability
    assert evidence.without.found == ()
    ent = explanation.doc.ents[0]
    assert evidence.with_pictures.probability == pytest.approx(ent._.confidence, abs=1e-5)
    labels = list(evidence.labels)
    assert labels[0] == "PER"
    assert sorted(labels) == list(nlp.get_pipe("visual_ner").labels)
    assert evidence.labels["PER"] == pytest.approx(evidence.with_pictures.probability)
    assert sum(evidence.labels.values()) <= 1 + 1e-9
    # Of six pictures one is a cat.
    found = [evidence.span in reading.found for reading in evidence.random]
    assert len(found) == 30
    assert 0 < sum(found) < 30
    # Its own picture is not among the others, of which the index gives five.
    assert {other.token for other in evidence.alternatives} == {1}
    others = [other.voken for other in evidence.alternatives]
    assert "cat" not in others
    assert len(others) in (4, 5)
    assert set(others) < set(PICTURES)
    for other in evidence.alternatives:
        assert (evidence.span in other.reading.found) == (other.reading.probability > 0.5)
    scores = [other.score for other in evidence.alternatives]
    assert scores == sorted(scores, reverse=True)
    assert explanation.doc[1]._.voken == "cat", "the document itself stays as it was"


def test_a_name_that_pictures_hide(nlp, grounded) -> None:
    """The same the other way round: what is found only without."""
    (evidence,) = explain(nlp, grounded, n_random=0).evidence
    assert evidence.random == ()
    turned = Evidence(evidence.span, evidence.without, evidence.with_pictures, (), (), {})
    assert not turned.is_found
    assert turned.verdict == "found only without its pictures"


@pytest.mark.parametrize(
    ("own", "bare", "random", "verdict"),
    [
        (0.9, 0.9, [0.9], "the text alone says as much"),
        (0.9, 0.7, [0.7], "its pictures speak for it"),
        (0.9, 0.7, [], "its pictures speak for it"),
        (0.7, 0.9, [0.9], "its pictures speak against it"),
        (0.9, 0.7, [0.88, 0.9], "random pictures raise it as much"),
        (0.7, 0.9, [0.7], "random pictures lower it as much"),
    ],
)
def test_verdicts(own, bare, random, verdict) -> None:
    span = (0, 1, "PER")
    readings = [Reading(probability, (span,)) for probability in (own, bare, *random)]
    assert Evidence(span, readings[0], readings[1], tuple(readings[2:]), (), {}).verdict == verdict


@pytest.mark.parametrize(
    ("own", "bare", "random", "verdict"),
    [
        (True, False, [True, True, False], "found only with pictures, whichever they are"),
        (True, False, [True, False], "found only with its pictures"),
        (True, False, [], "found only with its pictures"),
        (False, True, [False, False], "found only without pictures, whichever they are"),
        (False, True, [True, False], "found only without its pictures"),
    ],
)
def test_verdicts_on_flips_ask_what_random_pictures_do(own, bare, random, verdict) -> None:
    span = (0, 1, "PER")
    first, second, *draws = (
        Reading(0.9, (span,)) if is_found else Reading(0.4, ()) for is_found in (own, bare, *random)
    )
    assert Evidence(span, first, second, tuple(draws), (), {}).verdict == verdict


def test_other_pictures_are_those_that_the_retriever_might_give(nlp, grounded) -> None:
    retriever = nlp.get_pipe("voken_retriever")
    (evidence,) = explain(nlp, grounded.copy()).evidence
    scores = {other.voken: other.score for other in evidence.alternatives}
    least = sorted(scores.values())[-2]
    retriever.threshold = least
    try:
        (evidence,) = explain(nlp, grounded.copy()).evidence
    finally:
        retriever.threshold = None
    found = [other.voken for other in evidence.alternatives]
    assert found == [voken for voken, score in scores.items() if score >= least]
    assert len(found) == 2


def test_draws_follow_the_seed(nlp, grounded) -> None:
    def draws(seed: int) -> list[float]:
        (evidence,) = explain(nlp, grounded.copy(), n_random=10, seed=seed).evidence
        return [round(reading.probability, 6) for reading in evidence.random]

    assert draws(1) == draws(1) != draws(2)


def test_top_k_of_one_tries_no_other_picture(nlp, grounded) -> None:
    (evidence,) = explain(nlp, grounded, top_k=1).evidence
    best = nlp.get_pipe("voken_retriever").predict([nlp.make_doc("the big")])[0].ids[1, 0]
    assert [other.voken for other in evidence.alternatives] == ([] if best == "cat" else [best])


def test_without_pictures_or_retriever(make_tagger) -> None:
    nlp = make_tagger("NoFusion", steps=60)
    for text in ("anna in paris !", Doc(nlp.vocab, words=["anna", "in", "paris", "!"])):
        explanation = explain(nlp, text)
        assert [evidence.span for evidence in explanation.evidence] == [
            (0, 1, "PER"),
            (2, 3, "LOC"),
        ]
        for evidence in explanation.evidence:
            assert evidence.with_pictures == evidence.without
            assert (evidence.random, evidence.alternatives) == ((), ())
            assert evidence.verdict == "the text alone says as much"


def test_texts_without_words_or_entities(nlp, vokenizer) -> None:
    assert explain(nlp, "").evidence == []
    bare = Doc(nlp.vocab, words=["the", "!"])
    bare._.voken_index = nlp.get_pipe("voken_retriever").index.id
    assert explain(nlp, bare).evidence == []
    with pytest.raises(ValueError, match="no visual_ner to explain among voken_retriever"):
        explain(vokenizer, "a cat")


def test_entities_of_others_are_not_explained(nlp, grounded) -> None:
    ruler = nlp.add_pipe("entity_ruler", last=True, config={"overwrite_ents": True})
    ruler.add_patterns([{"label": "DISH", "pattern": "the"}])
    try:
        explanation = explain(nlp, grounded)
    finally:
        nlp.remove_pipe("entity_ruler")
    assert [ent.label_ for ent in explanation.doc.ents] == ["DISH", "PER"]
    assert [evidence.span for evidence in explanation.evidence] == [(1, 2, "PER")]
    assert get_token_values(explanation.doc, "voken") == [None, "cat"]
