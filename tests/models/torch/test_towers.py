from __future__ import annotations

import pytest
import torch
from thinc.api import set_dropout_rate
from torch import nn

from spacy_vokens.models.torch.towers import (
    InputDropout,
    SkipTower,
    Standardize,
    Tower,
    Visualness,
)
from spacy_vokens.models.torch_layer import torch_layer


def test_tower_gives_unit_vectors() -> None:
    tower = Tower(5, hidden=7, output=3, standardize=True).eval()
    vectors = tower(torch.randn(4, 5))
    assert vectors.shape == (4, 3)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4))


def test_standardize() -> None:
    features = torch.randn(100, 3) * torch.tensor([1.0, 50.0, 0.0]) + 7
    layer = Standardize(3)
    layer.fit(features)
    out = layer(features)
    torch.testing.assert_close(out.mean(dim=0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        out.std(dim=0, correction=0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-4, rtol=0
    )


def test_statistics_are_stored() -> None:
    layer = Tower(3, 4, 2, standardize=True)
    layer.standardize.fit(torch.randn(10, 3) + 5)
    other = Tower(3, 4, 2, standardize=True)
    other.load_state_dict(layer.state_dict())
    torch.testing.assert_close(other.standardize.mean, layer.standardize.mean)


def test_skip_tower_adds_a_linear_path() -> None:
    tower = SkipTower(5, hidden=7, output=3).eval()
    features = 4 * torch.randn(20, 5) + 2
    tower.standardize.fit(features)
    standard = (features - features.mean(dim=0)) / features.std(dim=0, correction=0)
    first, last = tower.mlp[0], tower.mlp[-1]
    hidden = (standard @ first.weight.T + first.bias).clamp(min=0)
    out = hidden @ last.weight.T + last.bias
    out = out + standard @ tower.linear.weight.T + tower.linear.bias
    vectors = tower(features)
    torch.testing.assert_close(vectors, out / out.norm(dim=1, keepdim=True))
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(20))


def test_skip_tower_stores_its_statistics_and_learns_the_rest() -> None:
    tower, other = SkipTower(3, 4, 2), SkipTower(3, 4, 2)
    tower.standardize.fit(torch.randn(10, 3) + 5)
    features = torch.randn(2, 3)
    other.load_state_dict(tower.state_dict())
    torch.testing.assert_close(other(features), tower(features), rtol=0, atol=0)
    tower(features)[:, 0].sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in tower.parameters())
    assert len(list(tower.parameters())) == 6


def test_inputs_are_dropped_at_half_the_rate() -> None:
    layer = InputDropout(0.6)
    dropped = layer(torch.ones(100, 100))
    assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=0.02)
    torch.testing.assert_close(dropped.max(), torch.tensor(1 / 0.7))
    torch.testing.assert_close(layer.eval()(torch.ones(3)), torch.ones(3), rtol=0, atol=0)


def test_dropout_rate_reaches_inputs_and_hidden_layer() -> None:
    tower = SkipTower(3, 4, 2)
    layer = torch_layer(tower)
    features = torch.randn(5, 3).numpy()
    set_dropout_rate(layer, 0.4)
    layer.begin_update(features)
    assert [m.p for m in tower.modules() if isinstance(m, nn.Dropout)] == [0.4, 0.4]
    assert (layer.predict(features) == layer.predict(features)).all()


def test_each_path_drops_values_of_its_own() -> None:
    """A difference of both paths would always be 0 if they dropped the same values."""
    tower = SkipTower(20, hidden=20, output=20)
    with torch.no_grad():
        for weight in tower.parameters():
            weight.zero_()
        tower.linear.weight.copy_(torch.eye(20))
        tower.mlp[0].weight.copy_(torch.eye(20))
        tower.mlp[-1].weight.copy_(-torch.eye(20))
    features = torch.ones(4, 20)
    assert (tower(features) == 0).all()
    tower.dropout.p = 0.5
    # What one of the paths has dropped is not 0, and has the other's sign.
    found = tower(features)
    assert (found > 0).any()
    assert (found < 0).any()
    assert (found == 0).any()


def test_visualness_is_a_linear_map() -> None:
    layer = Visualness(3)
    assert layer(torch.randn(4, 3)).tolist() == [[0.0]] * 4
    layer.weight.copy_(torch.tensor([1.0, -2.0, 0.5]))
    layer.bias.fill_(3.0)
    found = layer(torch.tensor([[1.0, 1.0, 2.0], [0.0, 0.0, 0.0], [torch.nan, 0.0, 0.0]]))
    assert found.shape == (3, 1)
    assert found[:2, 0].tolist() == [3.0, 3.0]
    assert found[2].isnan().all()


def test_visualness_is_stored_and_not_learned() -> None:
    layer, other = Visualness(2), Visualness(2)
    assert list(layer.parameters()) == []
    layer.weight.fill_(2.0)
    layer.bias.fill_(1.0)
    other.load_state_dict(layer.state_dict())
    assert other(torch.ones(1, 2)).item() == 5.0
