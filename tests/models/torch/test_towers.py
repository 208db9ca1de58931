from __future__ import annotations

import torch

from spacy_vokens.models.torch.towers import Standardize, Tower


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
