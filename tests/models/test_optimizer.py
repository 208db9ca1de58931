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
        torch.testing.assert_close(parameter.data, named[name].data, atol=1e-6, rtol=1e-5)


def test_clips_the_norm_of_the_gradient() -> None:
    """Adam takes no notice of a gradient's scale unless it changes from step to step."""
    moved = []
    for grad_clip, scale in ((1.0, 10.0), (0.0, 1.0), (0.0, 10.0)):
        optimizer = grouped_adam(0.1, lr_scales={}, no_decay=[], L2=0.0, grad_clip=grad_clip)
        weights = np.zeros(2, "f")
        for gradient in ([0.6, 0.8], [0.06 * scale, 0.08 * scale]):
            weights, _ = optimizer((1, "w"), weights, np.asarray(gradient, "f"))
        moved.append(weights)
    assert moved[0] != pytest.approx(moved[1])
    # A norm of 1 is let through whole.
    assert moved[0] == pytest.approx(moved[2])


def test_weights_in_any_memory_order() -> None:
    """A gradient that is the transpose of another array moves the weights as its copy does."""
    gradient = np.arange(6, dtype="f").reshape(2, 3) - 2
    orders = {
        "copy": (np.ones((3, 2), "f"), gradient.T.copy()),
        "gradient": (np.ones((3, 2), "f"), gradient.T),
        "both": (np.ones((2, 3), "f").T, gradient.T),
    }
    moved = {}
    for name, (weights, transposed) in orders.items():
        optimizer = grouped_adam(0.1, lr_scales={}, no_decay=[])
        for _ in range(2):
            weights, _ = optimizer((1, "w"), weights, transposed.copy(order="K"))
        moved[name] = weights
    np.testing.assert_array_equal(moved["gradient"], moved["copy"])
    np.testing.assert_array_equal(moved["both"], moved["copy"])


def test_gradient_is_zero_after_an_update() -> None:
    gradient = np.ones(3, "f")
    _, returned = grouped_adam(0.1, lr_scales={}, no_decay=[])((1, "w"), np.ones(3, "f"), gradient)
    assert not returned.any()


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
