"""What the commands share: their common options, the GPU, expected errors and output files."""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from spacy.cli._util import setup_gpu
from wasabi import msg

ModelArg = Annotated[str, typer.Argument(help="Pipeline: a package's name or a folder")]
PoolArg = Annotated[Path, typer.Argument(help="Image pool", exists=True, file_okay=False)]
PageOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="HTML page to write as well", dir_okay=False)
]
ScoresOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="JSON file for the scores", dir_okay=False)
]
CodeOption = Annotated[
    Path | None,
    typer.Option(
        "--code",
        "-c",
        help="Python file with registered functions to import",
        exists=True,
        dir_okay=False,
    ),
]
GpuOption = Annotated[int, typer.Option("--gpu-id", "-g", help="GPU id, or -1 for the CPU")]
# Options of glibc's mallopt, from malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3


@contextmanager
def expected_errors(title: str) -> Iterator[None]:
    """Print an expected error under a title and end the command with status 1.

    Any other exception is a bug, and keeps its traceback.
    """
    from ..files import VokensError

    try:
        yield
    except (VokensError, OSError, ImportError) as error:
        msg.fail(title, str(error), exits=1)


def use_gpu(gpu_id: int) -> None:
    """Let spaCy, and the torch layers below it, compute on a GPU, or on the CPU for -1.

    Raises:
        VokensError: If there is no such GPU.
    """
    from thinc.api import CupyOps, get_current_ops
    from thinc.util import gpu_is_available

    from ..files import VokensError

    try:
        setup_gpu(gpu_id, silent=not gpu_is_available())
    # CuPy's own errors are RuntimeErrors.
    except (RuntimeError, ValueError) as error:
        raise VokensError(_no_gpu(gpu_id, str(error))) from error
    if isinstance(get_current_ops(), CupyOps):
        torch_device(gpu_id)


def torch_device(gpu_id: int) -> str:
    """Return torch's name of a GPU, or of the CPU for -1.

    Raises:
        VokensError: If torch does not find the GPU.
    """
    if gpu_id < 0:
        return "cpu"
    import torch

    from ..files import VokensError

    # Without a driver the count is 0; nothing is raised.
    n_devices = torch.cuda.device_count()
    if gpu_id >= n_devices:
        raise VokensError(
            _no_gpu(gpu_id, f"torch {torch.__version__} finds {n_devices} CUDA devices")
        )
    return f"cuda:{gpu_id}"


def keep_freed_memory() -> bool:
    """Let the C library keep memory that is freed, if it is glibc, for a command that ends soon.

    By default, glibc returns large blocks to the system at once. A layer's output is such a block,
    so the next layer waits for the system to clear it again: half of the time of an image encoder
    on a CPU.

    Returns:
        Whether the library takes the setting.
    """
    # Other systems have no such function, and their libraries other habits.
    if sys.platform != "linux" or not hasattr(libc := ctypes.CDLL(None), "mallopt"):
        return False
    taken = [libc.mallopt(option, 2**31 - 1) for option in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD)]
    return all(taken)


def _no_gpu(gpu_id: int, reason: str) -> str:
    return (
        f"Cannot use GPU {gpu_id}: {reason}. Install 'spacy-vokens[gpu]' on a machine with a GPU, "
        "or leave out --gpu-id to use the CPU."
    )


def save_text(path: Path, text: str) -> None:
    """Write a file as a whole; an older one stays until the new one is complete."""
    from ..files import file_written_aside

    with file_written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def save_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file as a whole; an older one stays until the new one is complete."""
    save_text(path, json.dumps(content, indent=2) + "\n")
