from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_vokens.models.crf import (
    crf_loss,
    find_entities,
    span_probabilities,
    spans_of_tags,
)
from spacy_vokens.models.torch.crf import MISSING, BioCrf, tag_set
from spacy_vokens.models.torch_layer import torch_layer
from spacy_vokens.scoring.ner import strict_spans

LABELS = ["LOC", "MISC", "PER"]
TAGS = tag_set(LABELS)


@st.composite
def valid_tags(draw: st.DrawFn) -> list[int]:
    valid: list[int] = []
    for number in draw(st.lists(st.integers(0, 6), min_size=1, max_size=12)):
        follows = number % 2 == 1 or number == 0 or valid[-1:] in ([number], [number - 1])
        valid.append(number if follows else 0)
    return valid


@given(st.lists(valid_tags(), min_size=1, max_size=4))
@settings(max_examples=100)
def test_spans_are_those_of_the_tags(sentences: list[list[int]]) -> None:
    padded = np.zeros((len(sentences), max(map(len, sentences))), dtype=int)
    for row, tags in zip(padded, sentences, strict=True):
        row[: len(tags)] = tags
    assert spans_of_tags(padded).tolist() == [
        [row, start, end, LABELS.index(label)]
        for row, tags in enumerate(sentences)
        for start, end, label in strict_spans([TAGS[tag] for tag in tags])
    ]


@pytest.fixture
def emissions() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(n, len(TAGS))).astype("f") * 3 for n in (4, 1, 9, 2)]


def test_confidences_are_the_probabilities_of_the_entities(emissions: list[np.ndarray]) -> None:
    torch.manual_seed(0)
    layer = torch_layer(BioCrf(len(LABELS)))
    spans, confidences = find_entities(layer, emissions, temperature=2.0)
    assert sum(map(len, spans)) > 2
    assert [found.shape for found in spans] == [(len(found), 3) for found in spans]
    expected = span_probabilities(layer, emissions, spans, temperature=2.0)
    for values, others in zip(confidences, expected, strict=True):
        assert values.tolist() == others.tolist()
    alone, none = find_entities(layer, emissions[2:3])
    assert alone[0].tolist() == spans[2].tolist()
    assert none is None


@pytest.mark.parametrize("missing", [False, True])
def test_gradient_is_the_slope_of_the_loss(emissions: list[np.ndarray], missing: bool) -> None:
    torch.manual_seed(0)
    layer = torch_layer(BioCrf(len(LABELS)))
    tags = [[0] * len(one) for one in emissions]
    if missing:
        tags[2][3] = MISSING
    loss, gradients = crf_loss(layer, emissions, tags)
    assert [gradient.shape for gradient in gradients] == [one.shape for one in emissions]
    step = 0.01
    for sentence, word, tag in ((0, 0, 0), (1, 0, 3), (2, 8, 2), (2, 3, 1)):
        moved = [one.copy() for one in emissions]
        moved[sentence][word, tag] += step
        slope = (crf_loss(layer, moved, tags)[0] - loss) / step
        assert gradients[sentence][word, tag] == pytest.approx(slope, abs=0.01)
