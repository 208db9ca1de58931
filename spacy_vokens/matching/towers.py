"""The two towers: projections from the encoders' spaces into the shared one."""

from __future__ import annotations

import torch
from torch import nn


class Standardize(nn.Module):
    """Shift and scale every dimension to zero mean and unit variance.

    The statistics are buffers, fitted once and stored with the module, so that images seen later
    are measured by the same rule as those of training.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def fit(self, features: torch.Tensor) -> None:
        """Take the statistics from features of shape (n, width). A constant dimension keeps
        the scale 1."""
        deviation = features.std(dim=0, correction=0)
        self.mean.copy_(features.mean(dim=0))
        self.scale.copy_(torch.where(deviation > 1e-6, 1.0 / deviation, 1.0))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return (features - self.mean) * self.scale


class Tower(nn.Module):
    """One tower of the cross-modal matching model: MLP, then L2 normalisation.

    Paper, Eq. 2 and section 5: fully connected to `hidden` with ReLU, fully connected to `output`.
    The normalisation is that of the vokenization work (Tan & Bansal 2020); with it the relevance
    score is a cosine.

    width: the encoder's width.
    hidden: width of the hidden layer.
    output: width of the shared space.
    standardize: put a `Standardize` before the MLP (for image features, whose scales differ).
    """

    def __init__(self, width: int, hidden: int, output: int, *, standardize: bool = False) -> None:
        super().__init__()
        self.standardize = Standardize(width) if standardize else None
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(0.0), nn.Linear(hidden, output)
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (n, width) to unit vectors (n, output)."""
        if self.standardize is not None:
            features = self.standardize(features)
        return nn.functional.normalize(self.mlp(features), dim=-1)
