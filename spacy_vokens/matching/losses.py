"""Losses over token-image pairs. Every token of a sentence is a positive of the sentence's image.

Each is a module called with

    queries: token vectors, (n_tokens, width);
    keys: vectors of the batch's distinct images, (n_images, width);
    targets: for each token the row of its image in `keys`, (n_tokens,);

and returns a scalar. Since `keys` holds each image once, another caption of the same image is never
taken for a negative.
"""

from __future__ import annotations

import math

import torch
from torch import nn


class Hinge(nn.Module):
    """Hinge ranking loss with all other images of the batch as negatives.

    For token w with image v, the mean over the other images u of max(0, margin - r(w,v) + r(w,u)),
    averaged over tokens: the family of the paper's loss (Tan & Bansal 2020, Eq. 4, draw one
    negative). A batch with a single image has the loss 0.

    margin: the distance wanted between a positive's and a negative's relevance score.
    """

    def __init__(self, margin: float = 0.5) -> None:
        super().__init__()
        self.margin = margin

    def forward(
        self, queries: torch.Tensor, keys: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        relevance = queries @ keys.T
        positive = relevance.gather(1, targets.unsqueeze(1))
        violations = (self.margin - positive + relevance).clamp(min=0)
        is_negative = torch.ones_like(violations).scatter(1, targets.unsqueeze(1), 0.0)
        return (violations * is_negative).sum() / max(1, len(queries) * (len(keys) - 1))


class InfoNCE(nn.Module):
    """Cross-entropy of each token's image among the batch's images (van den Oord et al. 2018).

    temperature: what the relevance scores are divided by, at the start; it is learned.
    """

    MAX_SCALE = 100.0

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__()
        # Shape (1,), since Thinc's optimizer cannot take a scalar.
        self.log_scale = nn.Parameter(torch.tensor([-math.log(temperature)]))

    def forward(
        self, queries: torch.Tensor, keys: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        scale = self.log_scale.exp().clamp(max=self.MAX_SCALE)
        return nn.functional.cross_entropy(scale * (queries @ keys.T), targets)
