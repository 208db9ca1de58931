from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from spacy_vokens.images.encoders import ImageEncoder

SIDE = 16
DIMENSION = 8


def transform(image: Image.Image) -> torch.Tensor:
    pixels = np.asarray(image.resize((SIDE, SIDE)), dtype=np.float32)
    return torch.from_numpy(pixels / 255).permute(2, 0, 1)


@pytest.fixture
def encoder() -> ImageEncoder:
    """A convolution and a linear layer, with the same random weights in every test."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 8)
    )
    module.eval().requires_grad_(False)
    return ImageEncoder("tiny", module, transform, DIMENSION, "0" * 64)


@pytest.fixture
def save_picture() -> Callable[..., Path]:
    """Write a picture of noise, the same for the same seed; the extension says the format."""

    def save(path: Path, *, seed: int = 0, size: tuple[int, int] = (24, 20)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        width, height = size
        noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        return path

    return save
