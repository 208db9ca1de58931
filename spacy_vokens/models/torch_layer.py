"""Wrap a PyTorch module for Thinc: `set_dropout_rate` reaches it, and safetensors store it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, cast

import safetensors.torch
import torch
from thinc.api import (
    Model,
    PyTorchGradScaler,
    PyTorchShim,
    PyTorchWrapper_v3,
    torch2xp,
    xp2torch,
)
from thinc.types import ArgsKwargs, FloatsXdT
from torch import nn


def _use_one_thread() -> None:
    torch.set_num_threads(1)
    # Whether FAISS has threads of its own depends on which library was imported first. If it is
    # imported later, it reads the environment.
    os.environ["OMP_NUM_THREADS"] = "1"
    if (faiss := sys.modules.get("faiss")) is not None:
        faiss.omp_set_num_threads(1)


# Windows cannot fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_use_one_thread)


# Guards changes of a network's mode.
_MODE = Lock()


class EvaluationMode:
    """Mixin for a shim: prediction leaves the network in evaluation mode, for other threads.

    Thinc's `PyTorchShim` goes back to training mode after each prediction. Another thread that is
    in the middle of its own then computes with dropout. Training needs no change, as each update
    begins with training mode.
    """

    _model: nn.Module
    _mixed_precision: bool

    def predict(self, inputs: ArgsKwargs) -> Any:
        """Call the network in evaluation mode, without gradients.

        Args:
            inputs: Arguments of the network.

        Returns:
            What the network returns.
        """
        with _MODE:
            if self._model.training:
                self._model.eval()
        with torch.no_grad(), torch.autocast("cuda", enabled=self._mixed_precision):
            return self._model(*inputs.args, **inputs.kwargs)


class TorchShim(EvaluationMode, PyTorchShim):
    """Thinc's shim of a PyTorch network, for several threads that predict at once."""


def torch_layer(
    module: nn.Module,
    *,
    convert_inputs: Callable | None = None,
    convert_outputs: Callable | None = None,
    mixed_precision: bool = False,
) -> Model:
    """Make a Thinc layer around a PyTorch module.

    Args:
        module: The module. Its `nn.Dropout` modules get the rate of `set_dropout_rate`, which is 0
            until that is called.
        convert_inputs: Converts inputs, as in Thinc's `PyTorchWrapper.v3`.
        convert_outputs: Converts outputs, as in Thinc's `PyTorchWrapper.v3`.
        mixed_precision: Whether to use PyTorch's autocast to half precision, on a GPU.

    Returns:
        The layer. Its inputs and outputs are the converted ones.
    """
    wrapper = PyTorchWrapper_v3(
        module, convert_inputs=convert_inputs, convert_outputs=convert_outputs
    )
    wrapper.shims[0] = TorchShim(
        module,
        mixed_precision=mixed_precision,
        grad_scaler=PyTorchGradScaler(mixed_precision),
        serialize_model=_to_safetensors,
        deserialize_model=_from_safetensors,
    )
    return Model("torch_layer", _forward, layers=[wrapper], attrs={"dropout_rate": 0.0})


def get_module(layer: Model) -> Any:
    """Return the module inside a layer made by `torch_layer`."""
    return layer.layers[0].shims[0]._model


def loss_and_gradients(
    layer: Model, inputs: Sequence[FloatsXdT], *constants: torch.Tensor
) -> tuple[float, list[FloatsXdT]]:
    """Call a layer whose module is a loss, and differentiate it.

    The gradients of the module's own parameters stay on them, for `finish_update`.

    Args:
        layer: A layer made by `torch_layer`.
        inputs: Arrays to differentiate with respect to.
        *constants: Further arguments of the module, after the inputs.

    Returns:
        The loss, and the gradient of each input.
    """
    module = get_module(layer)
    module.train()
    tensors = [xp2torch(x, requires_grad=True) for x in inputs]
    loss = module(*tensors, *constants)
    loss.backward()
    gradients = [torch2xp(cast(torch.Tensor, tensor.grad)) for tensor in tensors]
    return loss.item(), cast("list[FloatsXdT]", gradients)


def _forward(model: Model, inputs: Any, is_train: bool) -> tuple[Any, Callable]:
    if is_train:
        for module in get_module(model).modules():
            if isinstance(module, nn.Dropout):
                module.p = model.attrs["dropout_rate"]
    return model.layers[0](inputs, is_train)


def _to_safetensors(module: nn.Module) -> bytes:
    tensors = {name: value.contiguous() for name, value in module.state_dict().items()}
    return safetensors.torch.save(tensors)


def _from_safetensors(module: nn.Module, data: bytes, device: torch.device) -> nn.Module:
    module.load_state_dict(safetensors.torch.load(data))
    return module.to(device)
