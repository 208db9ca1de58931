from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from spacy_vokens.identity import EncoderId
from spacy_vokens.images.encoders import ImageEncoder

SIDE = 16
DIMENSION = 8
N_IMAGES = 11


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
    return ImageEncoder(EncoderId("tiny", "0" * 64), module, transform, DIMENSION)


@pytest.fixture
def save_image() -> Callable[..., Path]:
    """Write an image of noise, the same for the same seed; the extension says the format."""

    def save(path: Path, *, seed: int = 0, size: tuple[int, int] = (24, 20)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        width, height = size
        noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        return path

    return save


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """Run as somebody whom permissions concern."""
    if not hasattr(os, "geteuid"):
        pytest.skip("the system has no users of this kind")
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)


@pytest.fixture
def images(tmp_path: Path, save_image: Callable[..., Path]) -> Path:
    extensions = ["jpg", "png", "webp", "JPEG"]
    for i in range(N_IMAGES):
        folder = "sub/" if i % 3 == 0 else ""
        save_image(
            tmp_path / f"images/{folder}{i:02d}.{extensions[i % 4]}", seed=i, size=(30, 10 + i)
        )
    return tmp_path / "images"


class Interrupting:
    """A transform that stops the job at its n-th image."""

    def __init__(self, encoder: ImageEncoder, n: int) -> None:
        self.transform, self.left = encoder.transform, n

    def __call__(self, image: Image.Image) -> torch.Tensor:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.transform(image)
