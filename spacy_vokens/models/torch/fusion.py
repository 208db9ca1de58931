"""How image features enter the tagger.

A fusion is built in two steps, like Thinc's layers: the constructor takes what the config says,
and `initialize` takes the widths, which are known only from the data or a saved model.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import nn

from ...files import VokensError
from .towers import Standardize


class Fused(NamedTuple):
    """What a fusion returns.

    Attributes:
        words: Words with what their images add, (batch, words, width).
        gates: Weight of the image in each word, 0 to 1, (batch, words); None without images.
        attention: How much each word (second axis) attends to the image of each word (third axis),
            (batch, words, words), averaged over attention heads. The third axis sums to 1. None
            unless the fusion attends and was asked for it.
    """

    words: torch.Tensor
    gates: torch.Tensor | None = None
    attention: torch.Tensor | None = None


class NoFusion(nn.Module):
    """Leave words as they are: the tagger is then the text-only baseline (paper, Eq. 3).

    Attributes:
        uses_images: Whether the fusion is given images. True in all other fusions.
        attends: Whether words attend to the images of other words, as in `VisualAttention`.
    """

    uses_images: ClassVar[bool] = False
    attends: ClassVar[bool] = False

    def __init__(self) -> None:
        # Spelled out, because PyTorch's own signature takes any argument, and configs are checked
        # against the signature.
        super().__init__()

    def initialize(self, width: int, image_width: int) -> None:
        """Make the parameters. This fusion has none; other fusions make theirs here.

        Args:
            width: Width of a word vector.
            image_width: Width of the features of an image.
        """

    def fit(self, features: torch.Tensor) -> None:
        """Fit the fusion's statistics to the pool's features, before training.

        Args:
            features: Features of the pool's images, (n_images, image_width).
        """

    def forward(
        self,
        words: torch.Tensor,
        images: torch.Tensor,
        rows: torch.Tensor,
        mask: torch.Tensor,
        need_attention: bool = False,
    ) -> Fused:
        """Fuse words with their images.

        Args:
            words: Word vectors, (batch, words, width).
            images: Features of the batch's distinct images, (n_images, image_width). n_images may
                be 0.
            rows: Row in `images` of each word's image, (batch, words); -1 if it has no image.
            mask: True at words, False at padding, (batch, words).
            need_attention: Whether to return attention weights, if the fusion attends.

        Returns:
            The fused words, gates and attention weights.
        """
        return Fused(words)


class GatedFusion(NoFusion):
    """Gated fusion: h' = (1 - gate) h + gate W g with gate = sigmoid(w [h; W g] + b).

    Paper, Eq. 5 (its Fuse Model): h is a word and g its image. A word without an image gets a
    learned vector in place of W g.
    """

    uses_images: ClassVar[bool] = True
    # Only if it attends.
    attention: nn.MultiheadAttention
    # Training starts with a gate of 0.12, that is, nearly from the text alone.
    INITIAL_BIAS = -2.0

    def initialize(self, width: int, image_width: int) -> None:
        """Make the parameters.

        Args:
            width: Width of a word vector.
            image_width: Width of the features of an image.
        """
        self.standardize = Standardize(image_width)
        self.project = nn.Linear(image_width, width)
        self.no_image = nn.Parameter(torch.zeros(width))
        self.dropout = nn.Dropout(0.0)
        self.gate = nn.Linear(2 * width, 1)
        nn.init.constant_(self.gate.bias, self.INITIAL_BIAS)

    def fit(self, features: torch.Tensor) -> None:
        """Standardize images by the statistics of the pool.

        Args:
            features: Features of the pool's images, (n_images, image_width).
        """
        self.standardize.fit(features)

    def forward(
        self,
        words: torch.Tensor,
        images: torch.Tensor,
        rows: torch.Tensor,
        mask: torch.Tensor,
        need_attention: bool = False,
    ) -> Fused:
        """Fuse words with their images.

        Args:
            words: Word vectors, (batch, words, width).
            images: Features of the batch's distinct images, (n_images, image_width). n_images may
                be 0.
            rows: Row in `images` of each word's image, (batch, words); -1 if it has no image.
            mask: True at words, False at padding, (batch, words).
            need_attention: Whether to return attention weights, if the fusion attends.

        Returns:
            The fused words, gates and attention weights.
        """
        projected = self.project(self.standardize(images))
        # Row -1 takes the last entry, the vector of words without an image.
        image = self.dropout(torch.cat([projected, self.no_image.unsqueeze(0)])[rows])
        attention = None
        if self.attends:
            image, attention = self.attention(
                words, image, image, key_padding_mask=~mask, need_weights=need_attention
            )
        gate = torch.sigmoid(self.gate(torch.cat([words, image], dim=-1)))
        return Fused((1 - gate) * words + gate * image, gate.squeeze(-1), attention)


class VisualAttention(GatedFusion):
    """Gated fusion in which each word attends to the images of its whole sentence.

    Paper, 4.2.2 and Eq. 6: multi-head attention, with the word as query and the sentence's images
    as keys and values, takes the place of the word's own image.

    Args:
        heads: Number of attention heads. It must divide the width of the word vectors.
    """

    attends: ClassVar[bool] = True

    def __init__(self, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads

    def initialize(self, width: int, image_width: int) -> None:
        """Make the parameters.

        Args:
            width: Width of a word vector.
            image_width: Width of the features of an image.

        Raises:
            VokensError: If the number of heads does not divide the width.
        """
        if width % self.heads:
            raise VokensError(
                f"VisualAttention: heads = {self.heads} does not divide {width}, the width of the "
                "word vectors. Choose a number that does."
            )
        super().initialize(width, image_width)
        self.attention = nn.MultiheadAttention(width, self.heads, batch_first=True)


class TaggerHead(nn.Module):
    """Score tags, given words and their images.

    Args:
        fusion: An initialized fusion.
        width: Width of a word vector.
        n_tags: Number of tags.
        voken_dropout: In training, the probability that a sentence loses all its images, and that a
            word of the other sentences loses its own. It is how the "no image" vector is learned.
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
        need_attention: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Compute emissions, and what the fusion says about the images.

        Args:
            words: Word vectors, (batch, words, width).
            images: Features of the batch's distinct images, (n_images, image_width).
            rows: Row in `images` of each word's image, (batch, words); -1 if it has no image.
            mask: True at words, False at padding, (batch, words).
            need_attention: Whether to return attention weights, if the fusion attends.

        Returns:
            Emissions (batch, words, tags), gates (batch, words) or None, and attention weights
            (batch, words, words) or None, all in single precision.
        """
        if self.training and self.fusion.uses_images:
            rows = rows.where(self._is_kept(rows[:, :1]) & self._is_kept(rows), -1)
        fused, gates, attention = self.fusion(words, images, rows, mask, need_attention)
        # NumPy has no bfloat16, and the CRF needs the range of single precision.
        return (
            self.output(self.dropout(fused)).float(),
            None if gates is None else gates.float(),
            None if attention is None else attention.float(),
        )

    def _is_kept(self, like: torch.Tensor) -> torch.Tensor:
        return torch.rand(like.shape, device=like.device) >= self.voken_dropout
