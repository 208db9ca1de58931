from __future__ import annotations

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
