"""Commands that change, score and describe pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from spacy.cli._util import import_code
from wasabi import MarkdownRenderer, msg

from ._util import (
    CodeOption,
    GpuOption,
    ModelArg,
    PoolArg,
    ScoresOption,
    expected_errors,
    save_json,
    save_text,
    use_gpu,
)

CorpusArg = Annotated[
    Path, typer.Argument(help="The .spacy file to score on", exists=True, dir_okay=False)
]
# How an entity may begin, by the prefix of the score keys.
READINGS = {
    "ents": "Strict: an entity begins with B-",
    "ents_lenient": "Lenient: an entity can also begin with an I-",
}


def index_cli(
    model: ModelArg,
    pool: PoolArg,
    output: Annotated[Path, typer.Argument(help="Folder for the indexed pipeline")],
    code: CodeOption = None,
    gpu_id: GpuOption = -1,
) -> None:
    """Give a pipeline another image pool, and save it.

    Every component that holds images takes them from the new pool: the retriever its keys, the
    tagger its image features.
    """
    from ..pipeline.indexing import index

    import_code(code)
    with expected_errors(f"Could not index {pool}"):
        use_gpu(gpu_id)
        report = index(model, pool, output)
    msg.good(f"Indexed {report.n_images:,} images for {', '.join(report.components)}", output)


def evaluate_cli(
    model: ModelArg,
    data: CorpusArg,
    output: ScoresOption = None,
    code: CodeOption = None,
    gpu_id: GpuOption = -1,
) -> None:
    """Score the entities of a pipeline: precision, recall and F1, overall and per type.

    The tokens, images, vokens and raw tags are the corpus's own. The lenient reading also counts
    an I- tag that continues nothing as the start of an entity.
    """
    from ..scoring.evaluate import evaluate

    import_code(code)
    with expected_errors(f"Could not evaluate {model} on {data}"):
        use_gpu(gpu_id)
        scores = evaluate(model, data)
        for prefix, title in READINGS.items():
            _print_entities(title, prefix, scores)
        _save_scores(scores, output)


def evaluate_retrieval_cli(
    model: ModelArg,
    data: CorpusArg,
    pool: Annotated[
        Path | None,
        typer.Option(
            help="Score among the corpus's images in this pool, not in the pipeline's index",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    captions: Annotated[
        list[Path] | None,
        typer.Option(
            help="A .spacy file, or a folder of them, with texts of the images, for word-hit. Can "
            "be repeated. Default: the pool's own texts, or else the .spacy files beside DATA",
            exists=True,
        ),
    ] = None,
    output: ScoresOption = None,
    code: CodeOption = None,
    gpu_id: GpuOption = -1,
) -> None:
    """Score how well a pipeline retrieves the images that a corpus names, against chance.

    Word-hit is the share of the words whose image has a text with that word. The images are all
    those of the pool but the document's own.
    """
    from ..scoring.evaluate import evaluate_retrieval

    import_code(code)
    with expected_errors(f"Could not evaluate {model} on {data}"):
        use_gpu(gpu_id)
        scores = evaluate_retrieval(model, data, pool, captions=captions or ())
        _print_retrieval(scores)
        _save_scores(scores, output)


def _print_entities(title: str, prefix: str, scores: dict[str, Any]) -> None:
    def row(name: str, p: float, r: float, f: float, mentions: int) -> tuple[str, ...]:
        return (name, *(f"{100 * figure:.2f}" for figure in (p, r, f)), str(mentions))

    per_type = scores[f"{prefix}_per_type"]
    rows = [
        row("All", *(scores[f"{prefix}_{key}"] for key in ("p", "r", "f", "mentions"))),
        *(row(x, s["p"], s["r"], s["f"], s["mentions"]) for x, s in per_type.items()),
        ("Weighted by mentions", "", "", f"{100 * scores[f'{prefix}_weighted_f']:.2f}", ""),
    ]
    msg.divider(title)
    msg.table(rows, header=("", "P", "R", "F1", "Mentions"), aligns=("l", "r", "r", "r", "r"))


def _print_retrieval(scores: dict[str, Any]) -> None:
    from ..messages import count_of
    from ..scoring.compare import retrieval_rows, word_hit_rows

    def print_rows(title: str, rows: list[tuple[str, str, str]]) -> None:
        msg.divider(title)
        msg.table(rows, header=("", "Score", "Chance"), aligns=("l", "r", "r"))

    retrieval, word_hit = scores["retrieval"], scores["word_hit"]
    print_rows(f"Retrieval among {retrieval['candidates']:,} images", retrieval_rows(retrieval))
    if word_hit is None:
        msg.info("Word-hit is left out", scores["no_word_hit"])
        return
    print_rows(f"Word-hit among {word_hit['images']:,} images", word_hit_rows(word_hit))
    msg.text(
        f"{count_of(word_hit['voken_content_words'], 'content word')} with "
        f"{count_of(word_hit['voken_content_stems'], 'stem')}"
    )
    if n_without := word_hit["images"] - word_hit["images_with_texts"]:
        why = "A word whose voken is such an image counts as a miss."
        msg.info(f"{count_of(n_without, 'image')} without a text", why)


def _save_scores(scores: dict[str, Any], output: Path | None) -> None:
    if output is not None:
        save_json(output, scores)
        msg.good(f"Saved the scores to {output}")


def compare_cli(
    metrics: Annotated[
        list[Path],
        typer.Argument(
            help="JSON files of 'evaluate' and 'evaluate-retrieval'", exists=True, dir_okay=False
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Markdown file to write as well", dir_okay=False),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Heading above the tables")] = None,
) -> None:
    """Print the scores of several evaluations side by side."""
    from ..scoring.compare import compare

    with expected_errors("Could not read the scores"):
        tables = compare(metrics)
    markdown = []
    if title is not None:
        msg.divider(title)
        markdown += [f"# {title}\n"]
    for table in tables:
        aligns = ("l", *"r" * (len(table.header) - 1))
        msg.divider(table.title)
        msg.table(table.rows, header=table.header, divider=True, aligns=aligns)
        rendered = MarkdownRenderer().table(table.rows, table.header, aligns)
        markdown += [f"## {table.title}\n", rendered, ""]
    if output is not None:
        with expected_errors("Could not save the tables"):
            save_text(output, "\n".join(markdown))
        msg.good("Saved the tables", output)


def align_cli(
    model: ModelArg,
    pairs: Annotated[
        Path,
        typer.Argument(help="A .spacy file of texts about images", exists=True, dir_okay=False),
    ],
    pool: PoolArg,
    output: Annotated[Path, typer.Argument(help="Folder for the pipeline")],
    steps: Annotated[int, typer.Option(min=1, help="Number of updates")] = 600,
    limit: Annotated[
        int, typer.Option(min=0, help="Largest number of texts to read; 0 for all")
    ] = 10_000,
    seed: Annotated[int, typer.Option(help="Decides what is drawn at random")] = 0,
    code: CodeOption = None,
    gpu_id: GpuOption = -1,
) -> None:
    """Let a retriever read the scene of a text from the pipeline's own transformer.

    Images then show the word, and the sense that it has in its text. The transformer stays as it
    is, and so does what the retriever knows about words. The pipeline retrieves from the pool
    afterwards.
    """
    from ..corpus.align import align
    from ..messages import count_of

    import_code(code)
    with expected_errors(f"Could not align {model}"):
        use_gpu(gpu_id)
        report = align(model, pairs, pool, output, steps=steps, limit=limit, seed=seed)
    msg.good(f"Read {count_of(report.n_texts, 'text')}; loss {report.loss:.2f}", output)


def calibrate_cli(
    model: ModelArg,
    dev: Annotated[
        Path,
        typer.Argument(
            help="The .spacy file to fit on; not the training data", exists=True, dir_okay=False
        ),
    ],
    output: Annotated[Path, typer.Argument(help="Folder for the calibrated pipeline")],
    test: Annotated[
        Path | None,
        typer.Option(help="Another .spacy file to measure on", exists=True, dir_okay=False),
    ] = None,
    metrics: Annotated[
        Path | None, typer.Option(help="JSON file for the figures", dir_okay=False)
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="SVG file for reliability diagrams", dir_okay=False)
    ] = None,
    code: CodeOption = None,
    gpu_id: GpuOption = -1,
) -> None:
    """Fit the temperature of a tagger's confidences on dev data, and save the pipeline with it.

    The entities stay the same; only their confidences change. ECE is the expected calibration
    error: the mean difference between confidence and accuracy.
    """
    from ..scoring.calibration import calibrate
    from ..visualize.reliability import draw_reliability, require_matplotlib

    import_code(code)
    with expected_errors(f"Could not calibrate {model} on {dev}"):
        use_gpu(gpu_id)
        if plot is not None:
            # Before the work, not after it.
            require_matplotlib()
        calibration = calibrate(model, dev, output, test=test)
        for warning in calibration.warnings:
            msg.warn(warning)
        if metrics is not None:
            save_json(metrics, calibration.report)
        if plot is not None:
            save_text(plot, draw_reliability(calibration.confidences).decode())
    _print_calibration(calibration.report)
    msg.good(f"Temperature {calibration.temperature:.2f}", output)


def _print_calibration(report: dict[str, Any]) -> None:
    rows = []
    temperatures = {"before": report["temperature_before"], "after": report["temperature"]}
    for name in ("dev", "test"):
        if measured := report.get(name):
            for when, temperature in temperatures.items():
                figures = [measured[when][key] for key in ("ece", "log_loss", "confidence")]
                figures.append(measured["precision"])
                cells = (f"{figure:.3f}" for figure in figures)
                rows.append((f"{name}, {when}", f"{temperature:.2f}", *cells))
    header = ("", "Temperature", "ECE", "Log loss", "Confidence", "Precision")
    msg.table(rows, header=header, divider=True, aligns=("l", *"rrrrr"))


def shrink_cli(
    model: ModelArg,
    output: Annotated[Path, typer.Argument(help="Folder for the smaller pipeline")],
    code: CodeOption = None,
) -> None:
    """Save a pipeline with its transformers in half precision, at half their size on disk.

    Their word embeddings take 8 bits per value. All are loaded in single precision again, so speed
    and memory do not change.
    """
    from ..pipeline.serialize import shrink

    import_code(code)
    with expected_errors(f"Could not shrink {model}"):
        report = shrink(model, output)
    msg.good(f"Halved {report.n_transformers} transformers: {report.n_bytes / 1e6:.0f} MB", output)


def write_card_cli(
    model: ModelArg,
    meta: Annotated[
        Path,
        typer.Argument(
            help="JSON file with description, license and sources", exists=True, dir_okay=False
        ),
    ],
    output: Annotated[
        Path, typer.Argument(help="JSON file for 'spacy package --meta-path'", dir_okay=False)
    ],
    scores: Annotated[
        Path | None,
        typer.Option(help="JSON file of 'evaluate' on test data", exists=True, dir_okay=False),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="JSON file of 'calibrate --metrics'", exists=True, dir_okay=False),
    ] = None,
    retrieval: Annotated[
        Path | None,
        typer.Option(help="JSON file of 'evaluate-retrieval'", exists=True, dir_okay=False),
    ] = None,
    code: CodeOption = None,
) -> None:
    """Complete a package's meta.json, so that the README spaCy writes from it is a model card.

    The notes get what spaCy leaves out: the licenses of the sources, the images' credits, how well
    words find their images, the scores per type, and how far the confidences can be trusted.
    """
    from ..pipeline.card import write_card

    import_code(code)
    with expected_errors(f"Could not write the card of {model}"):
        write_card(model, meta, output, scores=scores, calibration=calibration, retrieval=retrieval)
    msg.good("Completed the meta", output)
