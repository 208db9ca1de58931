from __future__ import annotations

import math

import pytest
import torch

from spacy_vokens.models.torch.losses import Hinge, InfoNCE

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
def test_one_image_has_no_negatives(loss: torch.nn.Module) -> None:
    queries = QUERIES[:, :2].clone().requires_grad_()
    value = loss(queries, KEYS[:1], TARGETS)
    value.backward()
    assert value.item() == 0
    assert queries.grad.abs().sum() == 0


@pytest.mark.parametrize("loss", [Hinge(), InfoNCE()])
def test_gradient_pulls_towards_the_positive(loss: torch.nn.Module) -> None:
    queries = torch.tensor([[0.6, 0.6]], requires_grad=True)
    loss(queries, KEYS, torch.tensor([1])).backward()
    down = -queries.grad[0]
    assert down[1] > 0 > down[0]
