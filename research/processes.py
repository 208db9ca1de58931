"""Run cells in processes of their own, several at a time.

Importing PyTorch and transformers takes as long as a small cell. If the system can fork, one
process imports them, and each cell is forked from it.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path
from threading import Lock

from tqdm import tqdm

from .grid import Cell
from .results import GRID_FILE

_LOCK = Lock()
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True, order=True)
class Failure:
    """A cell whose process failed.

    Attributes:
        cell: Its name.
        log: File with all that the process printed.
        last_line: The log's last line that is not blank.
    """

    cell: str
    log: Path
    last_line: str


def run_in_processes(
    cells: list[Cell], output: Path, *, work: Path, jobs: int, gpu_id: int
) -> list[Failure]:
    """Run each cell in its own process, as declared by the grid file in the output folder.

    Args:
        cells: The cells to run.
        output: Folder of the results; it must hold the grid file and the gold entities.
        work: Folder for logs and for models during training.
        jobs: Number of processes at a time, with one thread each.
        gpu_id: Number of the GPU, or -1 for the CPU.

    Returns:
        The cells that failed, sorted by name.
    """
    failures = []
    context = _make_context()
    with (
        _one_thread_each(),
        ThreadPoolExecutor(jobs) as pool,
        tqdm(total=len(cells), unit=" cells", disable=None) as bar,
    ):
        futures = [pool.submit(_run_process, context, cell, output, work, gpu_id) for cell in cells]
        try:
            for future in as_completed(futures):
                bar.update()
                if (failure := future.result()) is not None:
                    failures.append(failure)
                    bar.write(f"{failure.cell} failed: {failure.last_line}")
        except BaseException:
            # Ctrl-C also reaches the running processes; the waiting ones must not start.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return sorted(failures)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that are started in the block compute with one thread each."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _make_context() -> ForkServerContext | SpawnContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["research.run_cell"])
    return context


def _run_process(
    context: ForkServerContext | SpawnContext, cell: Cell, output: Path, work: Path, gpu_id: int
) -> Failure | None:
    log = work / f"{cell.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    arguments = (log, output / GRID_FILE, cell.name, output, work / cell.name, gpu_id)
    process = context.Process(target=_run_cell, args=arguments)
    # Starting a process also asks after the others, whose status can be read only once.
    with _LOCK:
        process.start()
    wait([process.sentinel])
    with _LOCK:
        process.join()
    if process.exitcode == 0:
        return None
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    last_line = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
    return Failure(cell.name, log, last_line)


def _run_cell(log: Path, grid: Path, name: str, output: Path, work: Path, gpu_id: int) -> None:
    """Run a cell, with all that Python and its libraries print in a file."""
    with log.open("w", encoding="utf-8") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    from .run_cell import main

    main(grid, name, output, work, gpu_id)
