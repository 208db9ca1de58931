"""Commands that show what a pipeline and a pool do."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from spacy.cli._util import import_code
from wasabi import msg

from ._util import (
    CodeOption,
    GpuOption,
    ModelArg,
    PageOption,
    PoolArg,
    expected_errors,
    save_text,
    use_gpu,
)

if TYPE_CHECKING:
    from ..visualize.explain import Evidence, Explanation

PageArg = Annotated[Path, typer.Argument(help="HTML page to write", dir_okay=False)]
TextArg = Annotated[str, typer.Argument(help="The text")]


class Only(str, Enum):
    """Documents that `visualize` can be limited to."""

    errors = "errors"
    flips = "flips"


class Style(str, Enum):
    """How `visualize` shows a document."""

    ent = "ent"
    vokens = "vokens"


def search_cli(
    model: ModelArg,
    text: TextArg,
    top_k: Annotated[int, typer.Option("--top-k", "-k", help="Images per word", min=1)] = 3,
    code: CodeOption = None,
    gpu_id: GpuOption = -1,
) -> None:
    """Print each word of a text with its best images and their relevance scores."""
    from ..pipeline.indexing import search

    import_code(code)
    with expected_errors(f"Could not search with {model}"):
        use_gpu(gpu_id)
        words = search(model, text, top_k)
    rows = []
    for word in words:
        best = [f"{image} {score:.2f}" for image, score in word.images] or ["no image"]
        rows.append((word.word, *best, *[""] * (top_k - len(best))))
    msg.table(rows, header=("Word", *(f"#{i + 1}" for i in range(top_k))), divider=True)


def explain_cli(
    model: ModelArg,
    text: TextArg,
    top_k: Annotated[
        int, typer.Option("--top-k", "-k", min=1, help="Images to try for each word")
    ] = 5,
    draws: Annotated[int, typer.Option(min=0, help="Draws of random images")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the random images")] = 0,
    output: PageOption = None,
    code: CodeOption = None,
    gpu_id: GpuOption = -1,
) -> None:
    """Show how each entity of a text depends on its images.

    For each entity, compares its probability with its own images, without images, with random
    images, and with each word's next best images. If it stays the same, the text alone decides.
    """
    import spacy

    from ..visualize.explain import explain
    from ..visualize.explain_page import render_explanation

    import_code(code)
    with expected_errors(f"Could not explain with {model}"):
        use_gpu(gpu_id)
        explanation = explain(spacy.load(model), text, n_random=draws, top_k=top_k, seed=seed)
        if output is not None:
            save_text(output, render_explanation(explanation))
    if not explanation.evidence:
        msg.info("No entity was found, with images or without.")
    for evidence in explanation.evidence:
        _print_evidence(explanation, evidence)
    if output is not None:
        msg.good(f"Wrote {output}")


def _print_evidence(explanation: Explanation, evidence: Evidence) -> None:
    from ..visualize.explain_page import describe_label_probabilities, evidence_rows

    start, end, label = evidence.span
    entity = explanation.doc[start:end]
    msg.divider(f"{entity.text} · {label}")
    for token in entity:
        if token._.voken is not None:
            score, gate = token._.voken_score, token._.visual_gate
            msg.text(
                f"{token.text}: image {token._.voken}"
                + ("" if score is None else f" · r {score:.2f}")
                + ("" if gate is None else f" · gate {gate:.2f}")
            )
    msg.text(describe_label_probabilities(evidence))
    rows = [
        (row.name, f"{row.probability:.2f}{row.spread}", row.found)
        for row in evidence_rows(evidence, explanation)
    ]
    msg.table(rows, header=("With", "Probability", "Found"), divider=True, max_col=60)
    msg.info(evidence.verdict)


def visualize_cli(
    model: ModelArg,
    data: Annotated[
        Path,
        typer.Argument(
            help="Texts, one per line (.txt), or a corpus (.spacy)", exists=True, dir_okay=False
        ),
    ],
    output: PageArg,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Documents to show")] = 20,
    sample_seed: Annotated[
        int | None,
        typer.Option(help="Draw the documents at random with this seed; default: the first ones"),
    ] = None,
    only: Annotated[
        Only | None,
        typer.Option(
            help="Only documents with errors against the corpus's entities, or whose entities "
            "flip without the images"
        ),
    ] = None,
    style: Annotated[
        Style, typer.Option(help="Entities alone, or each word's image as well")
    ] = Style.vokens,
    top_k: Annotated[
        int, typer.Option("--top-k", "-k", min=1, help="Images per word, shown on hovering")
    ] = 5,
    title: Annotated[str, typer.Option(help="Heading of the page")] = "Words and their images",
    code: CodeOption = None,
    gpu_id: GpuOption = -1,
) -> None:
    """Write a page of texts with their entities and, under each word, its image, score and gate.

    The corpus's own entities are shown next to the predicted ones. The page is one file that needs
    no network. Images without a stored thumbnail are read from their original files, if this
    machine has them.
    """
    from ..visualize.corpus_page import PageOptions, visualize

    import_code(code)
    with expected_errors(f"Could not show {data} with {model}"):
        use_gpu(gpu_id)
        options = PageOptions(
            limit=limit,
            sample_seed=sample_seed,
            only=only.value if only else None,
            style=style.value,
            top_k=top_k,
            title=title,
        )
        report = visualize(model, data, output, options)
    if not report.has_images:
        msg.warn(f"{model} retrieves no images, so the page shows none.")
    msg.good(f"Wrote {output}: {report.n_docs} documents, {report.n_vokens} distinct vokens")
    if not report.n_docs:
        msg.warn("There is no such document: the page is empty.")
    elif only is not None and report.n_docs == limit:
        msg.info(f"Stopped at {limit} documents; see --limit for more.")


def map_pool_cli(
    pool: PoolArg,
    output: PageArg,
    corpus: Annotated[
        list[Path] | None,
        typer.Option(
            help="A corpus with vokens of this pool, or a folder of them. Can be repeated",
            exists=True,
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Images on the map")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random choices")] = 0,
    title: Annotated[str, typer.Option(help="Heading of the page")] = "A map of an image pool",
) -> None:
    """Write a page that shows a pool's images, with similar ones near each other.

    With --corpus, it also shows how evenly the words are spread over the images, which images are
    hubs and for which words, and which are never retrieved. The page is one file that needs no
    network; it contains images of the pool and words of the corpus. Images without thumbnails are
    read from their original files, if this machine has them.
    """
    from ..visualize.pool_map import map_pool

    with expected_errors(f"Could not map {pool}"):
        msg.info("Laying out the images: about ten seconds per thousand")
        n_shown = map_pool(pool, output, corpora=corpus or (), limit=limit, seed=seed, title=title)
    msg.good(f"Wrote {output}: a map of {n_shown:,} images")
