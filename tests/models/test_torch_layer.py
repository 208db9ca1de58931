from __future__ import annotations

import os
import threading

import numpy as np
import pytest
import torch
from thinc.api import Model, set_dropout_rate
from torch import nn

from spacy_vokens.models.torch_layer import get_module, loss_and_gradients, torch_layer


def make_layer() -> Model:
    torch.manual_seed(0)
    return torch_layer(nn.Sequential(nn.Linear(4, 50), nn.Dropout(0.0)))


def test_set_dropout_rate_reaches_torch() -> None:
    layer = make_layer()
    X = np.ones((10, 4), dtype="f")
    assert (layer.begin_update(X)[0] == 0).mean() == 0
    set_dropout_rate(layer, 0.7)
    assert (layer.begin_update(X)[0] == 0).mean() == pytest.approx(0.7, abs=0.1)
    assert (layer.predict(X) == 0).mean() == 0


def test_weights_are_stored_as_safetensors() -> None:
    layer, other = make_layer(), make_layer()
    nn.init.normal_(get_module(other)[0].weight)
    data = layer.to_bytes()
    assert b"PK\x03\x04" not in data, "a zip file is what torch.save writes"
    other.from_bytes(data)
    X = np.ones((2, 4), dtype="f")
    np.testing.assert_array_equal(layer.predict(X), other.predict(X))


def test_loss_and_gradients() -> None:
    layer = torch_layer(nn.MSELoss())
    loss, (gradient,) = loss_and_gradients(layer, [np.array([1.0, 3.0], "f")], torch.zeros(2))
    assert loss == pytest.approx(5.0)
    np.testing.assert_allclose(gradient, [1.0, 3.0])


class Slow(nn.Module):
    """Adds 1 in training, after it has let another thread go on."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.leave = threading.Event(), threading.Event()

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        if not self.inside.is_set():
            self.inside.set()
            assert self.leave.wait(60)
        return X + self.training


def test_a_thread_that_predicts_does_not_put_another_in_training_mode() -> None:
    module = Slow()
    layer = torch_layer(module)
    X = np.zeros((1, 1), dtype="f")
    found: list[float] = []
    thread = threading.Thread(target=lambda: found.append(layer.predict(X).item()))
    thread.start()
    assert module.inside.wait(60)
    assert layer.predict(X).item() == 0
    module.leave.set()
    thread.join()
    assert found == [0]
    assert layer.begin_update(X)[0].item() == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_has_one_thread_whatever_is_imported_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(2)
    try:
        process = os.fork()
        if not process:
            os._exit(torch.get_num_threads() != 1 or os.environ.get("OMP_NUM_THREADS") != "1")
        assert os.waitpid(process, 0)[1] == 0
    finally:
        torch.set_num_threads(1)
