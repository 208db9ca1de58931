from __future__ import annotations

from collections.abc import Callable

import pytest
from spacy.language import Language
from spacy.tokens import Doc

from spacy_vokens.pipeline.tag_scores import TagScores


@pytest.fixture(scope="module")
def nlp(make_tagger: Callable[..., Language]) -> Language:
    return make_tagger("GatedFusion", steps=20)


@pytest.fixture(scope="module")
def docs(nlp: Language) -> list[Doc]:
    """Of several lengths, none among them."""
    return list(nlp.pipe(["anna in paris !", "", "we see a red cat in paris ."]))


@pytest.fixture(scope="module")
def scores(nlp: Language, docs: list[Doc]) -> TagScores:
    return nlp.get_pipe("visual_ner").tag_scores(docs)


def test_entities_are_those_that_the_component_writes(docs: list[Doc], scores: TagScores) -> None:
    found = scores.entities()
    assert any(found)
    assert found == [[(ent.start, ent.end, ent.label_) for ent in doc.ents] for doc in docs]


def test_what_excludes_an_entity_shares_the_certainty_with_it(scores: TagScores) -> None:
    rivals = [(0, 1, "PER"), (0, 1, "LOC"), (0, 2, "PER")]
    first, second, third = scores.probabilities([rivals, [], rivals[:1]], 1.0)
    assert ((first >= 0) & (first <= 1)).all()
    assert first.sum() <= 1 + 1e-9
    assert (second.shape, third.shape) == ((0,), (1,))


def test_a_higher_temperature_is_less_sure(scores: TagScores) -> None:
    found = scores.entities()
    cold, warm = (scores.probabilities(found, temperature) for temperature in (1.0, 3.0))
    assert all((b < a).all() for a, b in zip(cold, warm, strict=True))


@pytest.mark.parametrize(
    "wrong", [(0, 1, "FOOD"), (0, 99, "PER"), (1, 1, "PER"), (2, 1, "PER"), (-1, 1, "PER")]
)
def test_what_is_no_span_is_named(scores: TagScores, wrong: tuple[int, int, str]) -> None:
    with pytest.raises(ValueError, match="no span of a document of 4 tokens.*LOC, PER"):
        scores.probabilities([[wrong], [], []], 1.0)


def test_spans_are_of_every_document(scores: TagScores) -> None:
    with pytest.raises(ValueError, match="zip"):
        scores.probabilities([], 1.0)
