from __future__ import annotations

import pytest
import spacy
from spacy.tokens import Doc
from spacy.training import Example

from spacy_vokens.attributes import get_token_values, set_token_values
from spacy_vokens.visualize.explain import Evidence, Outcome, explain
from tests.conftest import IMAGES


@pytest.fixture(scope="module")
def nlp(make_tagger, vokenizer_path):
    """A pipeline trained to take "big" for a name if its image is a cat, and not otherwise."""
    nlp = make_tagger("GatedFusion", into=spacy.load(vokenizer_path), voken_dropout=0.0)
    examples = []
    for image, tags in (("dog", ["O", "O"]), ("cat", ["O", "B-PER"]), (None, ["O", "O"])):
        predicted = Doc(nlp.vocab, words=["the", "big"])
        predicted[1]._.voken = image
        examples.append(Example(predicted, Doc(nlp.vocab, words=["the", "big"], ents=tags)))
    optimizer = nlp.resume_training()
    optimizer.learn_rate = 0.01
    for _ in range(120):
        nlp.update(examples, sgd=optimizer, exclude=["voken_retriever"])
    return nlp


@pytest.fixture
def grounded(nlp):
    """ "the big", with a cat as the image of "big", marked with the pipeline's own index."""
    doc = nlp.make_doc("the big")
    set_token_values(doc, "voken", [None, "cat"])
    set_token_values(doc, "voken_score", [None, 0.5])
    doc._.voken_index = str(nlp.get_pipe("voken_retriever").index.mark)
    return doc


def test_a_name_by_its_image_alone(nlp, grounded) -> None:
    explanation = explain(nlp, grounded, n_random=30)
    (evidence,) = explanation.evidence
    assert evidence.span == (1, 2, "PER")
    assert evidence.is_found
    assert evidence.verdict == "found only with its images"
    assert evidence.with_images.found == ((1, 2, "PER"),)
    assert evidence.with_images.probability > 0.5 > evidence.without_images.probability
    assert evidence.without_images.found == ()
    ent = explanation.doc.ents[0]
    assert evidence.with_images.probability == pytest.approx(ent._.visual_confidence, abs=1e-5)
    labels = list(evidence.labels)
    assert labels[0] == "PER"
    assert sorted(labels) == list(nlp.get_pipe("visual_ner").labels)
    assert evidence.labels["PER"] == pytest.approx(evidence.with_images.probability)
    assert sum(evidence.labels.values()) <= 1 + 1e-9
    # One of the six images is a cat.
    found = [evidence.span in outcome.found for outcome in evidence.with_random]
    assert len(found) == 30
    assert 0 < sum(found) < 30
    # Its own image is not among the alternatives; the index finds five images.
    assert {other.token for other in evidence.alternatives} == {1}
    others = [other.voken for other in evidence.alternatives]
    assert "cat" not in others
    assert len(others) in (4, 5)
    assert set(others) < set(IMAGES)
    for other in evidence.alternatives:
        assert (evidence.span in other.outcome.found) == (other.outcome.probability > 0.5)
    scores = [other.score for other in evidence.alternatives]
    assert scores == sorted(scores, reverse=True)
    assert explanation.doc[1]._.voken == "cat", "the document itself stays as it was"


def test_a_name_that_images_hide(nlp, grounded) -> None:
    """The same the other way round: an entity that is found only without images."""
    (evidence,) = explain(nlp, grounded, n_random=0).evidence
    assert evidence.with_random == ()
    turned = Evidence(evidence.span, evidence.without_images, evidence.with_images, (), (), {})
    assert not turned.is_found
    assert turned.verdict == "found only without its images"


@pytest.mark.parametrize(
    ("own", "bare", "random", "verdict"),
    [
        (0.9, 0.9, [0.9], "its images make no difference"),
        (0.9, 0.7, [0.7], "its images speak for it"),
        (0.9, 0.7, [], "its images speak for it"),
        (0.7, 0.9, [0.9], "its images speak against it"),
        (0.9, 0.7, [0.88, 0.9], "random images raise its probability as much"),
        (0.7, 0.9, [0.7], "random images lower its probability as much"),
    ],
)
def test_verdicts(own, bare, random, verdict) -> None:
    span = (0, 1, "PER")
    outcomes = [Outcome(probability, (span,)) for probability in (own, bare, *random)]
    assert Evidence(span, outcomes[0], outcomes[1], tuple(outcomes[2:]), (), {}).verdict == verdict


@pytest.mark.parametrize(
    ("own", "bare", "random", "verdict"),
    [
        (True, False, [True, True, False], "found only with images, but any images do"),
        (True, False, [True, False], "found only with its images"),
        (True, False, [], "found only with its images"),
        (False, True, [False, False], "found only without images, but any images do"),
        (False, True, [True, False], "found only without its images"),
    ],
)
def test_verdicts_on_flips_ask_what_random_images_do(own, bare, random, verdict) -> None:
    span = (0, 1, "PER")
    first, second, *draws = (
        Outcome(0.9, (span,)) if is_found else Outcome(0.4, ()) for is_found in (own, bare, *random)
    )
    assert Evidence(span, first, second, tuple(draws), (), {}).verdict == verdict


def test_other_images_are_those_that_the_retriever_might_give(nlp, grounded) -> None:
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
        return [round(outcome.probability, 6) for outcome in evidence.with_random]

    assert draws(1) == draws(1) != draws(2)


def test_top_k_of_one_tries_no_other_image(nlp, grounded) -> None:
    (evidence,) = explain(nlp, grounded, top_k=1).evidence
    best = nlp.get_pipe("voken_retriever").predict([nlp.make_doc("the big")])[0].ids[1, 0]
    assert [other.voken for other in evidence.alternatives] == ([] if best == "cat" else [best])


def test_without_images_or_retriever(make_tagger) -> None:
    nlp = make_tagger("NoFusion", steps=60)
    for text in ("anna in paris !", Doc(nlp.vocab, words=["anna", "in", "paris", "!"])):
        explanation = explain(nlp, text)
        assert [evidence.span for evidence in explanation.evidence] == [
            (0, 1, "PER"),
            (2, 3, "LOC"),
        ]
        for evidence in explanation.evidence:
            assert evidence.with_images == evidence.without_images
            assert (evidence.with_random, evidence.alternatives) == ((), ())
            assert evidence.verdict == "its images make no difference"


def test_texts_without_words_or_entities(nlp, vokenizer) -> None:
    assert explain(nlp, "").evidence == []
    bare = Doc(nlp.vocab, words=["the", "!"])
    bare._.voken_index = str(nlp.get_pipe("voken_retriever").index.mark)
    assert explain(nlp, bare).evidence == []
    with pytest.raises(ValueError, match="no visual_ner .its components: voken_retriever"):
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
