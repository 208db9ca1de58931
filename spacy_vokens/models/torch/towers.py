"""The towers: projections from the encoders' spaces into the shared one."""

from __future__ import annotations

import torch
from torch import nn


class Standardize(nn.Module):
    """Shift and scale every dimension to zero mean and unit variance.

    The statistics are fitted once and stored with the module, so that later images are treated like
    those of training.

    Args:
        width: Number of dimensions.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def fit(self, features: torch.Tensor) -> None:
        """Compute the statistics of features, (n, width). Constant dimensions keep the scale 1."""
        deviation = features.std(dim=0, correction=0)
        self.mean.copy_(features.mean(dim=0))
        self.scale.copy_(torch.where(deviation > 1e-6, 1.0 / deviation, 1.0))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Standardize features, (n, width)."""
        return (features - self.mean) * self.scale


class Tower(nn.Module):
    """One tower of the cross-modal matching model: an MLP, then L2 normalization.

    Paper, Eq. 2 and section 5: fully connected to `hidden` with ReLU, fully connected to `output`.
    The normalization follows Tan & Bansal (2020); it makes the relevance score a cosine.

    Args:
        width: Width of the encoder's vectors.
        hidden: Width of the hidden layer.
        output: Width of the shared space.
        standardize: Whether to standardize inputs first. Image features need it, because their
            scales differ between encoders.
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


class InputDropout(nn.Dropout):
    """Dropout of a layer's inputs, at half the rate of the hidden layers."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Drop some of the values of features, of any shape."""
        return nn.functional.dropout(features, self.p / 2, self.training)


class SkipTower(nn.Module):
    """A tower with a linear path beside its MLP, for single words and what shows them.

    The linear path alone would learn about as much about rare words as the data allow; the MLP adds
    what needs more than a linear map. Inputs are standardized, then dropped at half the rate of the
    hidden layer. The outputs have unit length.

    Args:
        width: Width of the encoder's vectors.
        hidden: Width of the hidden layer.
        output: Width of the shared space.
    """

    def __init__(self, width: int, hidden: int, output: int) -> None:
        super().__init__()
        self.standardize = Standardize(width)
        self.dropout = InputDropout(0.0)
        self.linear = nn.Linear(width, output)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(0.0), nn.Linear(hidden, output)
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (n, width) to unit vectors (n, output)."""
        features = self.standardize(features)
        # Each path drops values of its own.
        projected = self.linear(self.dropout(features)) + self.mlp(self.dropout(features))
        return nn.functional.normalize(projected, dim=-1)


class Visualness(nn.Module):
    """How well a word's picture can be told from others, by a linear map of its vector.

    Its weights are fitted in closed form, not by gradients.

    Args:
        width: Width of the words' vectors.
    """

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(width))
        self.register_buffer("bias", torch.zeros(1))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Estimate the visualness of words with vectors (n, width), (n, 1)."""
        return (vectors @ self.weight + self.bias).unsqueeze(1)
