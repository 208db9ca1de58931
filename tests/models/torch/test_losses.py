from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from spacy_vokens.models.torch.losses import Hinge, InfoNCE, WordPositives

# Two images on the axes; three tokens: right, wrong, and undecided about the first.
KEYS = torch.eye(2)
QUERIES = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.6]])
TARGETS = torch.tensor([0, 0, 0])


def test_hinge_by_hand() -> None:
    # max(0, 0.5 - r(w,v) + r(w,u)): 0.5-1+0 < 0; 0.5-0+1 = 1.5; 0.5-0.6+0.6 = 0.5
    loss = Hinge(margin=0.5)(QUERIES, KEYS, TARGETS)
    assert loss.item() == pytest.approx((0 + 1.5 + 0.5) / 3)


def test_info_nce_by_hand() -> None:
    # With temperature 0.5 the logits are doubled: -log softmax of the first.
    expected = [
        math.log(1 + math.exp(-2)),
        math.log(1 + math.exp(2)),
        math.log(2),
    ]
    loss = InfoNCE(temperature=0.5)(QUERIES, KEYS, TARGETS)
    assert loss.item() == pytest.approx(sum(expected) / 3, abs=1e-6)


def test_info_nce_temperature_is_learned() -> None:
    loss = InfoNCE()
    loss(QUERIES, KEYS, TARGETS).backward()
    assert loss.log_scale.shape == (1,)
    assert loss.log_scale.grad.abs().item() > 0


@pytest.mark.parametrize("loss", [Hinge(), InfoNCE()])
def test_one_image_has_no_negatives(loss: nn.Module) -> None:
    queries = QUERIES[:, :2].clone().requires_grad_()
    value = loss(queries, KEYS[:1], TARGETS)
    value.backward()
    assert value.item() == 0
    assert queries.grad.abs().sum() == 0


@pytest.mark.parametrize("loss", [Hinge(), InfoNCE()])
def test_gradient_pulls_towards_the_positive(loss: nn.Module) -> None:
    queries = torch.tensor([[0.6, 0.6]], requires_grad=True)
    loss(queries, KEYS, torch.tensor([1])).backward()
    down = -queries.grad[0]
    assert down[1] > 0 > down[0]


def words_and_images(n_words: int = 4, n_images: int = 5) -> tuple[torch.Tensor, ...]:
    """Queries and keys of unit length, positives and counts."""
    queries, keys = torch.randn(n_words, 3), torch.randn(n_images, 3)
    positives = torch.randint(0, 4, (n_words, n_images)).float()
    positives[torch.arange(n_words), torch.arange(n_words)] = 2.0
    counts = torch.randint(1, 6, (n_words,)).float()
    return (
        nn.functional.normalize(queries, dim=1),
        nn.functional.normalize(keys, dim=1),
        positives,
        counts,
    )


@pytest.mark.parametrize("text_power", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("count_power", [0.0, 0.5, 1.0])
def test_word_positives_by_hand(text_power: float, count_power: float) -> None:
    queries, keys, positives, counts = words_and_images()
    total, weight_of_all = 0.0, 0.0
    for query, of_word, count in zip(
        queries.tolist(), positives.tolist(), counts.tolist(), strict=True
    ):
        scores = [
            math.exp(sum(q * k for q, k in zip(query, key, strict=True)) / 0.2)
            for key in keys.tolist()
        ]
        weights = [n**text_power if n else 0.0 for n in of_word]
        positive = sum(w * s for w, s in zip(weights, scores, strict=True)) / sum(weights)
        total += count**count_power * math.log(sum(scores) / positive)
        weight_of_all += count**count_power
    loss = WordPositives(0.2, text_power=text_power, count_power=count_power)
    found = loss(queries, keys, positives, counts)
    assert found.item() == pytest.approx(total / weight_of_all, rel=1e-5)


def test_word_positives_with_one_positive_each_is_info_nce() -> None:
    expected = InfoNCE(0.1)(QUERIES, KEYS, TARGETS)
    positives = nn.functional.one_hot(TARGETS, 2).float() * 3
    found = WordPositives(0.1)(QUERIES, KEYS, positives, torch.ones(3))
    torch.testing.assert_close(found, expected)


def gradients(positives: torch.Tensor, **settings: float) -> torch.Tensor:
    queries, keys, _, _ = words_and_images(len(positives), positives.shape[1])
    queries.requires_grad_()
    WordPositives(1.0, **settings)(queries, keys, positives, torch.ones(len(positives))).backward()
    return queries.grad.abs().sum(dim=1)


def test_a_word_of_all_images_has_nothing_to_learn() -> None:
    """If all images have it in as many texts: else some of them are better than others."""
    positives = torch.tensor([[2.0, 2.0, 2.0], [1.0, 2.0, 2.0], [1.0, 1.0, 0.0]])
    found = gradients(positives)
    assert found[0] < 1e-5
    assert (found[1:] > 1e-3).all()
    # Without regard to the number of texts, the second word is like the first.
    found = gradients(positives, text_power=0.0)
    assert (found[:2] < 1e-5).all()
    assert found[2] > 1e-3


def test_word_positives_of_one_image() -> None:
    queries = QUERIES.clone().requires_grad_()
    loss = WordPositives()(queries, KEYS[:1], torch.ones(3, 1), torch.ones(3))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-5)
    assert queries.grad.abs().max() < 1e-5


def test_order_of_words_and_images_does_not_count() -> None:
    queries, keys, positives, counts = words_and_images()
    loss = WordPositives()
    expected = loss(queries, keys, positives, counts)
    words, images = torch.randperm(4), torch.randperm(5)
    found = loss(queries[words], keys[images], positives[words][:, images], counts[words])
    torch.testing.assert_close(found, expected)


def test_one_positive_image_is_enough() -> None:
    """A second positive image need not be close, if the first one is."""
    keys = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    query, count = torch.tensor([[1.0, 0.0]]), torch.ones(1)
    loss = WordPositives(0.02)
    both = loss(query, keys, torch.tensor([[1.0, 1.0, 0.0]]), count)
    # All but the weight of the first image.
    assert both.item() == pytest.approx(math.log(2), abs=1e-4)


def test_word_positives_have_finite_gradients_and_learn_their_temperature() -> None:
    queries, keys, positives, counts = words_and_images()
    queries.requires_grad_()
    keys.requires_grad_()
    loss = WordPositives(temperature=1e-4)
    assert torch.isfinite(loss(queries, keys, positives, counts))
    loss = WordPositives()
    assert loss.log_scale.exp().item() == pytest.approx(1 / 0.03)
    loss(queries, keys, positives, counts).backward()
    for weight in (queries, keys, loss.log_scale):
        assert torch.isfinite(weight.grad).all()
        assert weight.grad.abs().sum() > 0
    assert loss.log_scale.shape == (1,)


def test_temperature_has_a_limit() -> None:
    arguments = words_and_images()
    at_limit = WordPositives(1 / InfoNCE.MAX_SCALE)(*arguments)
    torch.testing.assert_close(WordPositives(1e-4)(*arguments), at_limit, rtol=1e-4, atol=0)


def test_word_positives_pull_towards_the_positive() -> None:
    queries = torch.tensor([[0.6, 0.6]], requires_grad=True)
    WordPositives()(queries, KEYS, torch.tensor([[0.0, 2.0]]), torch.ones(1)).backward()
    down = -queries.grad[0]
    assert down[1] > 0 > down[0]
