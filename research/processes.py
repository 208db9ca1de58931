"""Run cells in processes of their own, several at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from .grid import Cell
from .results import GRID_FILE

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
    with (
        ThreadPoolExecutor(jobs) as pool,
        tqdm(total=len(cells), unit=" cells", disable=None) as bar,
    ):
        futures = [pool.submit(_run_process, cell, output, work, gpu_id) for cell in cells]
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


def _run_process(cell: Cell, output: Path, work: Path, gpu_id: int) -> Failure | None:
    log = work / f"{cell.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "research.run_cell", str(output / GRID_FILE)]
    command += [cell.name, str(output), str(work / cell.name), str(gpu_id)]
    with log.open("w", encoding="utf-8") as file:
        result = subprocess.run(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | dict.fromkeys(THREAD_VARIABLES, "1"),
        )
    if result.returncode == 0:
        return None
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    last_line = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
    return Failure(cell.name, log, last_line)
