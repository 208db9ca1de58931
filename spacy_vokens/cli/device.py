"""The device that a command was asked to run on; where it is not there, the command ends."""

from __future__ import annotations

from wasabi import msg


def use_device(gpu_id: int) -> None:
    """Let spaCy, and the torch below it, compute on a GPU, or on the CPU for -1."""
    from spacy.cli._util import setup_gpu
    from thinc.api import CupyOps, get_current_ops

    try:
        setup_gpu(gpu_id, silent=False)
    # CuPy's own errors are RuntimeErrors.
    except (RuntimeError, ValueError) as error:
        _fail(gpu_id, str(error))
    if isinstance(get_current_ops(), CupyOps):
        torch_device(gpu_id)


def torch_device(gpu_id: int) -> str:
    """The name that torch has for a GPU, or for the CPU for -1."""
    import torch

    if gpu_id < 0:
        return "cpu"
    # Without a driver a count of 0, not an error.
    n_devices = torch.cuda.device_count()
    if gpu_id >= n_devices:
        _fail(gpu_id, f"torch {torch.__version__} finds {n_devices} CUDA devices")
    return f"cuda:{gpu_id}"


def _fail(gpu_id: int, reason: str) -> None:
    msg.fail(
        f"Cannot use GPU {gpu_id}",
        f"{reason}. Install 'spacy-vokens[gpu]' where there is one, or leave out --gpu-id to use "
        "the CPU.",
        exits=1,
    )
