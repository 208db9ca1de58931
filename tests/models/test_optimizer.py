from __future__ import annotations

import numpy as np
import pytest
import spacy
import torch
from thinc.api import Model

from spacy_vokens.models.optimizer import grouped_adam
from spacy_vokens.models.torch_layer import get_module, torch_layer


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = torch.nn.Linear(3, 4)
        self.head = torch.nn.Linear(4, 2)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.encoder(X)))


def step(layer: Model, X: np.ndarray) -> None:
    Y, backprop = layer.begin_update(X)
    backprop(Y)


def test_equals_torch_adamw() -> None:
    X = np.random.default_rng(0).normal(size=(8, 3)).astype("f")
    layer = torch_layer(Net())
    ours = grouped_adam(0.01, lr_scales={"head.": 5.0}, no_decay=["bias"], L2=0.01, grad_clip=0.0)
    peer = Net()
    named = dict(peer.named_parameters())
    theirs = torch.optim.AdamW(
        [
            {
                "params": [parameter],
                "lr": 0.05 if name.startswith("head.") else 0.01,
                "weight_decay": 0.0 if "bias" in name else 0.01,
            }
            for name, parameter in named.items()
        ]
    )
    for _ in range(50):
        step(layer, X)
        layer.finish_update(ours)
        out = peer(torch.from_numpy(X))
        theirs.zero_grad()
        (out.square().sum() / 2).backward()
        theirs.step()
    for name, parameter in get_module(layer).named_parameters():
        # Thinc decays after the step and torch before it: a difference of the order rate² times L2.
        torch.testing.assert_close(parameter.data, named[name].data, atol=2e-4, rtol=0)


def test_scale_and_decay_go_by_name() -> None:
    optimizer = grouped_adam(0.1, lr_scales={"crf.": 10.0}, no_decay=["bias"], L2=0.5)
    moved = {}
    for name in ("encoder.weight", "crf.weight", "encoder.bias"):
        weights, _ = optimizer((1, name), np.ones(3, "f"), np.zeros(3, "f"))
        moved[name] = 1 - weights[0]
    assert moved["encoder.weight"] == pytest.approx(0.05)
    assert moved["crf.weight"] == pytest.approx(0.5)
    assert moved["encoder.bias"] == 0
    assert optimizer.L2 == 0.5


def test_registered_and_takes_schedules() -> None:
    make = spacy.registry.optimizers.get("spacy-vokens.GroupedAdam.v1")
    schedule = spacy.registry.schedules.get("warmup_linear.v1")(0.1, 2, 10)
    optimizer = make(schedule, lr_scales={}, no_decay=[])
    rates = []
    for _ in range(4):
        optimizer.step_schedules()
        rates.append(optimizer.learn_rate)
    assert rates == pytest.approx([0.05, 0.1, 0.0875, 0.075])
