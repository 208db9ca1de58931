"""The commands `python -m research run` and `python -m research report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from wasabi import msg

from spacy_vokens.files import VokensError
from spacy_vokens.messages import count_of

if TYPE_CHECKING:
    from .run_grid import GridPlan

EXPECTED_ERRORS = (VokensError, OSError, ImportError)
EXTRA = "Research needs the extra 'experiments'"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Run grids of training runs and report on them.",
)


@app.command()
def run(
    grid: Annotated[
        Path, typer.Argument(help="Grid of training runs (YAML)", exists=True, dir_okay=False)
    ],
    output: Annotated[
        Path, typer.Argument(help="Folder for one JSON file per run", file_okay=False)
    ],
    work: Annotated[
        Path, typer.Option(help="Folder for logs and for models during training", file_okay=False)
    ] = Path("training/research"),
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", help="Cells to run at a time, one thread each", min=1)
    ] = 1,
    cells: Annotated[str, typer.Option(help="Run only the cells whose name matches")] = "*",
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU ID or -1 for CPU")] = -1,
) -> None:
    """Train and score every cell of a grid: dataset x tagger x images x seed.

    A cell that has a result from the same config and data is not run again. If a cell fails, the
    others still run.
    """
    try:
        from .run_grid import RunOptions, run_grid

        options = RunOptions(work=work, jobs=jobs, cells=cells, gpu_id=gpu_id)
        failures = run_grid(grid, output, options, on_plan=_print_plan)
    except EXPECTED_ERRORS as error:
        _fail(f"Could not run {grid}", error)
    if failures:
        msg.fail(f"{count_of(len(failures), 'cell')} failed")
        rows = [(failure.cell, str(failure.log), failure.last_line) for failure in failures]
        msg.table(rows, header=("Cell", "Log", "Last line"), divider=True, max_col=100)
        raise typer.Exit(1)
    msg.good(f"All results are in {output}")


@app.command()
def report(
    runs: Annotated[
        Path,
        typer.Argument(
            help="Folder written by 'python -m research run'", exists=True, file_okay=False
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder for the report [default: RUNS]", file_okay=False
        ),
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(
            help="Also write an HTML page of cases, with texts and images; needs the corpora",
            dir_okay=False,
        ),
    ] = None,
    verify: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="Write nothing; recompute all scores from the runs' entities and this data",
            exists=True,
            file_okay=False,
        ),
    ] = None,
) -> None:
    """Write report.md, report.html and plots/ from the JSON files of a grid's runs.

    The same files give the same report, byte for byte.
    """
    try:
        if verify is None:
            from .write_report import write_report

            written = write_report(runs, output, gallery=gallery)
            msg.good(f"Wrote {written.markdown}, {written.html.name} and {written.n_plots} plots")
            if gallery is not None:
                msg.good(
                    f"Wrote {gallery}. Do not publish it: it holds texts and images of the data"
                )
            return
        from .verify import verify_runs

        verification = verify_runs(runs, verify)
    except EXPECTED_ERRORS as error:
        _fail(f"Could not report on {runs}", error)
    if verification.problems:
        msg.fail(f"{runs} does not follow from {verify}", "\n".join(verification.problems), exits=1)
    msg.good(
        f"The scores of all {verification.n_runs} runs follow from their entities and {verify}"
    )


def _print_plan(plan: GridPlan) -> None:
    msg.info(f"{count_of(len(plan.cells), 'cell')}, {plan.n_finished} already run")
    if plan.n_replaced:
        msg.warn(
            f"{count_of(plan.n_replaced, 'result')} from another config or other data will be "
            "replaced",
            "Vokens and features differ in their last digits from machine to machine.",
        )
    if plan.outdated:
        msg.warn(
            f"{count_of(len(plan.outdated), 'result')} not selected by --cells, from another "
            "config than this grid's",
            f"The first is {plan.outdated[0].name}. A report compares all results: run these again "
            "too.",
        )


def _fail(title: str, error: Exception) -> None:
    msg.fail(EXTRA if isinstance(error, ImportError) else title, str(error), exits=1)


if __name__ == "__main__":
    app()
