"""How image features enter the tagger.

A fusion is built in two steps, as Thinc's layers are: the constructor takes what the config says,
`initialize` the widths that only data or a saved model tell.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from ..matching.towers import Standardize


class NoFusion(nn.Module):
    """Words as they are: the tagger is then the text-only baseline (paper, Eq. 3).

    uses_images: whether the fusion is given images at all; True in all other fusions.
    """

    uses_images: ClassVar[bool] = False

    def __init__(self) -> None:
        # Written out, since torch's own signature takes anything and configs are checked by it.
        super().__init__()

    def initialize(self, width: int, image_width: int) -> None:
        """Make the parameters: none. Other fusions make theirs here.

        width: of a word vector.
        image_width: of an image's features.
        """

    def fit(self, features: torch.Tensor) -> None:
        """Take what is needed of the pool's image features, (n, image_width), before training."""

    def forward(
        self,
        words: torch.Tensor,
        images: torch.Tensor,
        rows: torch.Tensor,
        mask: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Fuse words with their images.

        words: (batch, words, width).
        images: features of the batch's distinct images, (n_images, image_width); n_images may be 0.
        rows: (batch, words), the row of `images` that is the word's; -1 where it has no image.
        mask: (batch, words), True at words, False at padding.
        returns: fused words (batch, words, width) and gates (batch, words).
        """
        return words, words.new_zeros(words.shape[:2])


class GatedFusion(NoFusion):
    """Gated fusion: h' = (1 - gate) h + gate W g with gate = sigmoid(w [h; W g] + b).

    Paper, Eq. 5 (its Fuse Model), with h a word, g its image. A word without an image takes a
    learned vector in the place of W g.
    """

    uses_images: ClassVar[bool] = True
    # Training starts from the text, with a gate of 0.12.
    INITIAL_BIAS = -2.0

    def initialize(self, width: int, image_width: int) -> None:
        self.standardize = Standardize(image_width)
        self.project = nn.Linear(image_width, width)
        self.no_image = nn.Parameter(torch.zeros(width))
        self.dropout = nn.Dropout(0.0)
        self.gate = nn.Linear(2 * width, 1)
        nn.init.constant_(self.gate.bias, self.INITIAL_BIAS)

    def fit(self, features: torch.Tensor) -> None:
        """Standardise images by the pool's own statistics."""
        self.standardize.fit(features)

    def forward(
        self,
        words: torch.Tensor,
        images: torch.Tensor,
        rows: torch.Tensor,
        mask: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        seen = self.attend(words, self.dropout(self.see(images, rows)), mask)
        gate = torch.sigmoid(self.gate(torch.cat([words, seen], dim=-1)))
        return (1 - gate) * words + gate * seen, gate.squeeze(-1)

    def see(self, images: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """W g of every word's image, or the vector of no image: (batch, words, width)."""
        projected = self.project(self.standardize(images))
        # Row -1 takes the last entry.
        return torch.cat([projected, self.no_image.unsqueeze(0)])[rows]

    def attend(self, words: torch.Tensor, seen: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Each word sees its own image only."""
        return seen


class VisualAttention(GatedFusion):
    """Gated fusion over what each word attends to among the images of its whole sentence.

    Paper, 4.2.2 and Eq. 6: multi-head attention with the word as query and the sentence's images as
    keys and values takes the place of the word's own image.

    heads: number of attention heads; must divide the word width.
    """

    def __init__(self, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads

    def initialize(self, width: int, image_width: int) -> None:
        if width % self.heads:
            raise ValueError(
                f"VisualAttention: {self.heads} heads do not divide the word width {width}."
            )
        super().initialize(width, image_width)
        self.attention = nn.MultiheadAttention(width, self.heads, batch_first=True)

    def attend(self, words: torch.Tensor, seen: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Each word sees a mixture of the sentence's images."""
        return self.attention(words, seen, seen, key_padding_mask=~mask, need_weights=False)[0]

    def attention_weights(
        self,
        words: torch.Tensor,
        images: torch.Tensor,
        rows: torch.Tensor,
        mask: torch.Tensor,
    ) -> torch.Tensor:
        """How much each word attends to the image of each word, averaged over the heads.

        The arguments are those of `forward`.
        returns: (batch, words, words); the second axis is the attending one, and sums to 1.
        """
        seen = self.see(images, rows)
        return self.attention(words, seen, seen, key_padding_mask=~mask)[1]


class TaggerHead(nn.Module):
    """From words and their images to a score for every tag.

    fusion: an initialised fusion.
    width: of a word vector.
    n_tags: number of tags.
    voken_dropout: in training, the probability that a sentence loses all its images, and in what
        remains that a word loses its own, so that the "no image" vector is learned.
    """

    def __init__(self, fusion: NoFusion, width: int, n_tags: int, voken_dropout: float) -> None:
        super().__init__()
        self.fusion = fusion
        self.voken_dropout = voken_dropout
        self.dropout = nn.Dropout(0.0)
        self.output = nn.Linear(width, n_tags)

    def forward(
        self,
        words: torch.Tensor,
        images: torch.Tensor,
        rows: torch.Tensor,
        mask: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Emissions (batch, words, tags) and gates (batch, words), in single precision."""
        if self.training and self.fusion.uses_images:
            rows = rows.where(self._kept(rows[:, :1]) & self._kept(rows), -1)
        fused, gate = self.fusion(words, images, rows, mask)
        # Numpy knows no bfloat16, and the CRF wants the range.
        return self.output(self.dropout(fused)).float(), gate.float()

    def _kept(self, like: torch.Tensor) -> torch.Tensor:
        return torch.rand(like.shape, device=like.device) >= self.voken_dropout
