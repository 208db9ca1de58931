"""Tables of vectors in 8 bits per value, with one scale per row."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

MAX_INT8 = 127


def to_eight_bits(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Round each value to one of 255 steps between plus and minus the row's largest value.

    Args:
        rows: Vectors of any float type, (n, width).

    Returns:
        The steps, int8 (n, width), and their sizes, float32 (n, 1). The product of both is at most
        half a step off.
    """
    rows = rows.float()
    scales = rows.abs().amax(dim=1, keepdim=True) / MAX_INT8
    scales[scales == 0] = 1.0
    return (rows / scales).round().to(torch.int8), scales


def save_in_eight_bits(embedding: nn.Embedding) -> None:
    """Have the state of an embedding in half precision hold its table in 8 bits.

    States with the table in any float type can be loaded too.

    Args:
        embedding: The embedding. In single precision its state is as ever.
    """
    embedding.register_state_dict_post_hook(_narrow)
    embedding.register_load_state_dict_pre_hook(_widen)


def _narrow(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    weight = state[f"{prefix}weight"]
    if weight.dtype == torch.float16:
        state[f"{prefix}weight"], state[f"{prefix}scales"] = to_eight_bits(weight)


def _widen(module: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    scales = state.pop(f"{prefix}scales", None)
    if scales is not None:
        state[f"{prefix}weight"] = state[f"{prefix}weight"] * scales
