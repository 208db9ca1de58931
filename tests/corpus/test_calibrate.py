from __future__ import annotations

import itertools

import numpy as np
import pytest
from spacy.tokens import Doc
from spacy.training import Example

from spacy_vokens.corpus.calibrate import TEMPERATURES, find_entities, fit_temperature
from spacy_vokens.metrics.calibration import log_loss


@pytest.fixture(scope="module")
def nlp(make_tagger):
    return make_tagger("GatedFusion", steps=60)


@pytest.fixture
def ner(nlp):
    return nlp.get_pipe("visual_ner")


def test_one_temperature_changes_nothing() -> None:
    assert pytest.approx(1.0) in TEMPERATURES
    assert all(a < b for a, b in itertools.pairwise(TEMPERATURES))


def test_found_entities_are_held_against_the_strict_reading(nlp, tagged_examples) -> None:
    examples = tagged_examples(nlp)
    found = find_entities(nlp, nlp.get_pipe("visual_ner"), examples)
    assert found.spans[0] == [(0, 1, "PER"), (2, 3, "LOC")]
    assert found.is_right.tolist() == [True] * 5
    # The corpus's own tags decide, ill-formed as they are.
    examples[0].reference._.raw_tags = ["I-PER", "O", "B-LOC", "O"]
    examples = [
        Example(Doc(nlp.vocab, words=[t.text for t in eg.reference]), eg.reference)
        for eg in examples
    ]
    assert (
        find_entities(nlp, nlp.get_pipe("visual_ner"), examples).is_right.tolist()
        == [False] + [True] * 4
    )


def test_the_temperature_has_the_least_loss_and_changes_no_entity(
    nlp, ner, tagged_examples
) -> None:
    examples = tagged_examples(nlp)
    # A gold that it is wrong about in two of five.
    for row in (0, 1):
        examples[row].reference._.raw_tags = ["O"] * len(examples[row].reference)
    found = find_entities(nlp, nlp.get_pipe("visual_ner"), examples)
    assert found.is_right.sum() == 2
    temperature = fit_temperature(found)
    assert temperature > 1, "it was surer than it may be"
    losses = [found.measure(t)["log_loss"] for t in TEMPERATURES]
    assert min(losses) == losses[TEMPERATURES.index(temperature)]
    assert ner.temperature == 1.0, "it is for the caller to set"
    values = found.confidences(temperature)
    assert found.measure(temperature) == {
        "ece": pytest.approx(found.measure(temperature)["ece"]),
        "log_loss": pytest.approx(log_loss(values, found.is_right)),
        "confidence": pytest.approx(values.mean()),
    }


def test_entities_that_are_all_right_fit_none(nlp, ner, tagged_examples) -> None:
    """The least loss would be that of certainty."""
    found = find_entities(nlp, ner, tagged_examples(nlp))
    assert found.is_right.all()
    assert not found.is_mixed
    with pytest.raises(ValueError, match="some are right, some wrong"):
        fit_temperature(found)


def test_entities_that_are_none_fit_none(nlp) -> None:
    reference = Doc(nlp.vocab, words=["the", "red", "dog"], ents=["O"] * 3)
    found = find_entities(
        nlp,
        nlp.get_pipe("visual_ner"),
        [Example(Doc(nlp.vocab, words=["the", "red", "dog"]), reference)],
    )
    assert found.is_right.shape == (0,)
    assert found.is_right.dtype == bool
    assert not found.is_mixed
    with pytest.raises(ValueError, match="some are right, some wrong"):
        fit_temperature(found)
    assert found.confidences(1.0).shape == (0,)
    assert isinstance(found.confidences(1.0), np.ndarray)


def test_entities_of_other_components_do_not_count(nlp, ner, tagged_examples) -> None:
    ruler = nlp.add_pipe("entity_ruler", last=True, config={"overwrite_ents": True})
    ruler.add_patterns([{"label": "DISH", "pattern": "we"}, {"label": "LOC", "pattern": "see"}])
    try:
        assert "DISH" in {ent.label_ for ent in nlp("we see anna").ents}
        found = find_entities(nlp, ner, tagged_examples(nlp))
    finally:
        nlp.remove_pipe("entity_ruler")
    assert found.is_right.tolist() == [True] * 5
    assert len(found.confidences(1.0)) == 5
