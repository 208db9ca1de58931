"""Losses over pairs of token and image, and over pairs of word and image.

For tokens, the image of a sentence is the positive of each token. Such a loss is a module whose
`forward(queries, keys, targets)` returns a scalar. `queries` has the vector of each token,
(n_tokens, width), and `keys` that of each image, (n_images, width), all of unit length; `targets`
has the row in `keys` of each token's image, (n_tokens,). `keys` holds each image of the batch once,
so another caption of the same image is never a negative.
"""

from __future__ import annotations

import math

import torch
from torch import nn


class Hinge(nn.Module):
    """Hinge ranking loss with all other images of the batch as negatives.

    For token w with image v, the mean over the other images u of max(0, margin - r(w,v) + r(w,u)),
    averaged over tokens: like the paper's loss (Tan & Bansal 2020, Eq. 4), which draws one
    negative. A batch with a single image has the loss 0.

    Args:
        margin: By how much the relevance score of a positive should exceed that of a negative.
    """

    def __init__(self, margin: float = 0.5) -> None:
        super().__init__()
        self.margin = margin

    def forward(
        self, queries: torch.Tensor, keys: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        """Compute the loss.

        Args:
            queries: Vectors of tokens, (n_tokens, width).
            keys: Vectors of the batch's distinct images, (n_images, width).
            targets: Row in `keys` of each token's image, (n_tokens,).

        Returns:
            The loss, a scalar.
        """
        relevance = queries @ keys.T
        positive = relevance.gather(1, targets.unsqueeze(1))
        violations = (self.margin - positive + relevance).clamp(min=0)
        is_negative = torch.ones_like(violations).scatter(1, targets.unsqueeze(1), 0.0)
        return (violations * is_negative).sum() / max(1, len(queries) * (len(keys) - 1))


class InfoNCE(nn.Module):
    """Cross-entropy of each token's image among the batch's images (van den Oord et al. 2018).

    Args:
        temperature: Divides the relevance scores. This is its initial value; it is learned.
    """

    MAX_SCALE = 100.0

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__()
        # Of shape (1,), because Thinc's optimizer cannot handle scalars.
        self.log_scale = nn.Parameter(torch.tensor([-math.log(temperature)]))

    def forward(
        self, queries: torch.Tensor, keys: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        """Compute the loss.

        Args:
            queries: Vectors of tokens, (n_tokens, width).
            keys: Vectors of the batch's distinct images, (n_images, width).
            targets: Row in `keys` of each token's image, (n_tokens,).

        Returns:
            The loss, a scalar.
        """
        scale = self.log_scale.exp().clamp(max=self.MAX_SCALE)
        return nn.functional.cross_entropy(scale * (queries @ keys.T), targets)


class WordPositives(nn.Module):
    """Cross-entropy of a word's images, all those whose texts have the word, among the batch's.

    Its `forward` takes the words' positives in place of targets, since a word has many images. For
    word w and its images P, weighted by how many of their texts have the word,

        loss(w) = log sum_v exp(s r(w, v)) - log sum_{v in P} p_v exp(s r(w, v)),

    with weights p_v that sum to 1. It wants one of the images of P to come first, not all of them
    to be equally close, because one is what is retrieved.

    Args:
        temperature: 1 / s, which divides the relevance scores. This is its initial value; it is
            learned.
        text_power: Exponent of the number of an image's texts that have the word. 0 counts images
            that mention a word once like those that always do.
        count_power: Exponent of a word's number of occurrences in the batch, as its weight in the
            mean over words. 0 counts all words alike.
    """

    def __init__(
        self, temperature: float = 0.03, text_power: float = 1.0, count_power: float = 0.5
    ) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor([-math.log(temperature)]))
        self.text_power = text_power
        self.count_power = count_power

    def forward(
        self,
        queries: torch.Tensor,
        keys: torch.Tensor,
        positives: torch.Tensor,
        counts: torch.Tensor,
    ) -> torch.Tensor:
        """Compute the loss.

        Args:
            queries: Vectors of words, (n_words, width).
            keys: Vectors of the batch's distinct images, (n_images, width).
            positives: How many texts of each image have each word, in any of its forms,
                (n_words, n_images). Each word must have an image.
            counts: Number of occurrences of each word, (n_words,).

        Returns:
            The loss, a scalar.
        """
        scale = self.log_scale.exp().clamp(max=InfoNCE.MAX_SCALE)
        logits = scale * (queries @ keys.T)
        weights = torch.where(positives > 0, positives**self.text_power, 0.0)
        weights = weights / weights.sum(dim=1, keepdim=True)
        losses = logits.logsumexp(dim=1) - (logits + weights.log()).logsumexp(dim=1)
        of_word = counts**self.count_power
        return (losses * of_word).sum() / of_word.sum()
