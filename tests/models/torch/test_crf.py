from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.scheme import IOB2, Entities
from torchcrf import CRF

from spacy_vokens.models.torch.crf import MISSING, BioCrf, tag_set

LABELS = ["LOC", "PER"]
TAGS = tag_set(LABELS)


def make_crf() -> BioCrf:
    crf = BioCrf(len(LABELS))
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter)
    return crf


def is_valid(path: tuple[int, ...]) -> bool:
    previous = "O"
    for tag in (TAGS[i] for i in path):
        if tag[0] == "I" and previous[2:] != tag[2:]:
            return False
        previous = tag
    return True


def path_score(crf: BioCrf, emissions: torch.Tensor, path: tuple[int, ...]) -> float:
    starts, transitions, ends = crf.weights()
    score = starts[path[0]] + ends[path[-1]]
    score = score + sum(emissions[step, tag] for step, tag in enumerate(path))
    score = score + sum(transitions[a, b] for a, b in itertools.pairwise(path))
    return score.item()


def enumerate_paths(crf: BioCrf, emissions: torch.Tensor) -> dict[tuple[int, ...], float]:
    paths = itertools.product(range(len(TAGS)), repeat=len(emissions))
    return {path: path_score(crf, emissions, path) for path in paths if is_valid(path)}


def log_sum(scores: list[float]) -> float:
    return float(torch.logsumexp(torch.tensor(scores, dtype=torch.float64), 0))


def test_tag_set() -> None:
    assert TAGS == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]


@given(seed=st.integers(0, 999), length=st.integers(1, 4))
@settings(max_examples=25)
def test_loss_and_decoding_equal_enumeration(seed: int, length: int) -> None:
    torch.manual_seed(seed)
    crf = make_crf()
    emissions = torch.randn(1, length, len(TAGS)) * 2
    mask = torch.ones(1, length, dtype=torch.bool)
    paths = enumerate_paths(crf, emissions[0])
    gold = list(paths)[seed % len(paths)]
    loss = crf(emissions, torch.tensor([gold]), mask)
    assert loss.item() == pytest.approx(log_sum(list(paths.values())) - paths[gold], abs=1e-3)
    assert tuple(crf.decode(emissions, mask)[0].tolist()) == max(paths, key=paths.get)


def test_missing_tags_sum_over_all_that_fit() -> None:
    torch.manual_seed(1)
    crf = make_crf()
    emissions = torch.randn(1, 3, len(TAGS))
    mask = torch.ones(1, 3, dtype=torch.bool)
    paths = enumerate_paths(crf, emissions[0])
    fitting = [score for path, score in paths.items() if path[0] == 1 and path[2] == 0]
    loss = crf(emissions, torch.tensor([[1, MISSING, 0]]), mask)
    assert loss.item() == pytest.approx(log_sum(list(paths.values())) - log_sum(fitting), abs=1e-3)


@given(seed=st.integers(0, 99))
@settings(max_examples=20)
def test_only_valid_sequences_are_decoded(seed: int) -> None:
    torch.manual_seed(seed)
    emissions = torch.randn(8, 12, len(TAGS)) * 5
    lengths = torch.randint(1, 13, (8,))
    mask = torch.arange(12) < lengths.unsqueeze(1)
    for row, length in zip(make_crf().decode(emissions, mask), lengths.tolist(), strict=True):
        tags = [TAGS[i] for i in row[:length]]
        assert is_valid(tuple(row[:length].tolist()))
        # seqeval's strict reading then takes every tag but O for a part of an entity.
        entities = Entities([tags], scheme=IOB2).entities[0]
        assert sum(e.end - e.start for e in entities) == sum(tag != "O" for tag in tags)


def test_decoding_leaves_the_weights_alone() -> None:
    torch.manual_seed(4)
    crf = make_crf()
    before = {name: value.clone() for name, value in crf.state_dict().items()}
    crf.decode(torch.randn(2, 3, len(TAGS)), torch.ones(2, 3, dtype=torch.bool))
    for name, value in crf.state_dict().items():
        assert torch.equal(value, before[name])


def test_batch_equals_single() -> None:
    torch.manual_seed(2)
    crf = make_crf()
    emissions = torch.randn(5, 7, len(TAGS))
    lengths = [7, 1, 3, 5, 2]
    mask = torch.arange(7) < torch.tensor(lengths).unsqueeze(1)
    together = crf.decode(emissions, mask)
    for row, length in enumerate(lengths):
        one = slice(row, row + 1)
        alone = crf.decode(emissions[one, :length], mask[one, :length])
        assert together[row, :length].tolist() == alone[0].tolist()


def test_loss_gradient_and_decoding_equal_pytorch_crf() -> None:
    torch.manual_seed(3)
    ours, theirs = make_crf(), CRF(len(TAGS), batch_first=True)
    parameters = (theirs.start_transitions, theirs.transitions, theirs.end_transitions)
    for parameter, values in zip(parameters, ours.weights(), strict=True):
        parameter.data.copy_(values)
    lengths = torch.tensor([9, 4, 1, 7, 2, 9])
    mask = torch.arange(9) < lengths.unsqueeze(1)
    tags = ours.decode(torch.randn(6, 9, len(TAGS)), mask)
    emissions = torch.randn(6, 9, len(TAGS), requires_grad=True)
    for row, expected in enumerate(theirs.decode(emissions, mask)):
        assert ours.decode(emissions, mask)[row, : len(expected)].tolist() == expected
    # What stands in the padding must not count.
    loss = ours(emissions, tags.masked_fill(~mask, MISSING), mask)
    (d_emissions,) = torch.autograd.grad(loss, emissions, retain_graph=True)
    expected = -theirs(emissions, tags, mask, reduction="mean")
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(d_emissions, torch.autograd.grad(expected, emissions)[0])
    loss.backward()
    theirs.zero_grad()
    (-theirs(emissions, tags, mask, reduction="mean")).backward()
    for name, other in (
        ("starts", theirs.start_transitions),
        ("transitions", theirs.transitions),
        ("ends", theirs.end_transitions),
    ):
        is_valid_weight = {"starts": ~ours.invalid_start, "transitions": ~ours.invalid_transition}
        valid = is_valid_weight.get(name, torch.ones_like(other, dtype=torch.bool))
        torch.testing.assert_close(ours.crf[name].grad[valid], other.grad[valid])


def test_names_of_all_parameters_begin_with_crf() -> None:
    """Optimizers tell groups of parameters apart by prefix."""
    assert {name for name, _ in make_crf().named_parameters()} == {
        "crf.starts",
        "crf.transitions",
        "crf.ends",
    }


def test_invalid_gold_is_all_but_impossible() -> None:
    crf = make_crf()
    emissions = torch.zeros(1, 2, len(TAGS))
    mask = torch.ones(1, 2, dtype=torch.bool)
    assert crf(emissions, torch.tensor([[0, 2]]), mask).item() > 1000
    assert math.isfinite(crf(emissions, torch.tensor([[1, 2]]), mask).item())


def entities_in(path: tuple[int, ...]) -> set[tuple[int, int, int]]:
    """The (start, end, type) of a valid path."""
    found, start = set(), None
    for place, tag in enumerate((*path, 0)):
        if start is not None and (tag == 0 or tag % 2):
            found.add((start, place, (path[start] - 1) // 2))
            start = None
        if tag % 2:
            start = place
    return found


def all_spans(length: int) -> list[tuple[int, int, int]]:
    return [
        (start, end, label)
        for start in range(length)
        for end in range(start + 1, length + 1)
        for label in range(len(LABELS))
    ]


@given(
    seed=st.integers(0, 999),
    length=st.integers(1, 4),
    scale=st.sampled_from([0.1, 1.0, 20.0]),
    temperature=st.sampled_from([0.5, 1.0, 3.0]),
)
@settings(max_examples=40)
def test_span_probabilities_equal_enumeration(
    seed: int, length: int, scale: float, temperature: float
) -> None:
    torch.manual_seed(seed)
    crf = make_crf()
    # Padding, which must not count.
    emissions = torch.randn(2, length + 2, len(TAGS)) * scale
    mask = torch.arange(length + 2) < torch.tensor([[length + 2], [length]])
    paths = enumerate_paths(crf, emissions[1, :length])
    weights = {path: score / temperature for path, score in paths.items()}
    total = log_sum(list(weights.values()))
    spans = all_spans(length)
    found = crf.span_probabilities(
        emissions, mask, torch.tensor([(1, *span) for span in spans]), temperature
    )
    for span, probability in zip(spans, found.tolist(), strict=True):
        having = [score for path, score in weights.items() if span in entities_in(path)]
        assert probability == pytest.approx(math.exp(log_sum(having) - total), abs=1e-5)


def test_span_probabilities_of_long_sentences_and_of_no_span() -> None:
    torch.manual_seed(5)
    crf = make_crf()
    n = 3000
    emissions = torch.randn(1, n, len(TAGS)) * 10
    mask = torch.ones(1, n, dtype=torch.bool)
    # Nothing but the two names of one type and O in between has any weight.
    emissions[0, :, 0] += 1000
    emissions[0, [0, n - 1], 1] += 3000
    spans = torch.tensor([(0, 0, 1, 0), (0, n - 1, n, 0), (0, 0, n, 0), (0, 5, 7, 1)])
    assert crf.span_probabilities(emissions, mask, spans).tolist() == pytest.approx([1, 1, 0, 0])
    assert crf.span_probabilities(emissions, mask, spans[:0]).tolist() == []
    # One word of three thousand is a name or not by a few units of a score of millions.
    emissions[0, 5] = torch.tensor([0.0, 2.0, -900, -900, -900])
    crf.crf["transitions"].data.zero_()
    expected = math.exp(2) / (1 + math.exp(2))
    found = crf.span_probabilities(emissions, mask, torch.tensor([(0, 5, 6, 0)]))
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_span_probabilities_of_the_best_path_are_those_of_decoding() -> None:
    """A sharp model's entities are the decoded ones, with certainty."""
    torch.manual_seed(6)
    crf = make_crf()
    emissions = torch.randn(4, 6, len(TAGS))
    lengths = [6, 1, 4, 2]
    mask = torch.arange(6) < torch.tensor(lengths).unsqueeze(1)
    tags = crf.decode(emissions, mask)
    spans = [
        (row, *span)
        for row, length in enumerate(lengths)
        for span in entities_in(tuple(tags[row, :length].tolist()))
    ]
    assert spans
    found = crf.span_probabilities(emissions, mask, torch.tensor(spans), temperature=1e-3)
    assert found.tolist() == pytest.approx([1.0] * len(spans), abs=1e-6)
