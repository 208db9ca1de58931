"""`spacy vokens evaluate`: entity or retrieval scores of a pipeline on a corpus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from wasabi import msg

if TYPE_CHECKING:
    from ..metrics.ner import SpanScores

SCORER = "spacy_vokens.metrics.ner.score_tags"
READINGS = {
    "strict": "Strict: an entity begins with B-",
    "lenient": "Lenient: or with an I- that continues none",
}


def evaluate(
    model: Annotated[str, typer.Argument(help="Name of an installed pipeline, or its folder")],
    corpus: Annotated[
        Path, typer.Argument(help="The .spacy file to score on", exists=True, dir_okay=False)
    ],
    output: Annotated[
        Path | None, typer.Option(help="JSON file for the scores", dir_okay=False)
    ] = None,
    pool: Annotated[
        Path | None,
        typer.Option(
            help="Score retrieval, among the corpus's pictures in this pool", file_okay=False
        ),
    ] = None,
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU id, or -1 for CPU")] = -1,
) -> None:
    """Score a pipeline, from the corpus's own tokens, images, vokens and raw tags.

    Where the corpus has entities: precision, recall and F1, overall (micro) and per type, in the
    strict and the lenient reading of the raw tags. Otherwise, where it names pictures that the
    pipeline's retriever has indexed, or with --pool: how well these are retrieved, against chance.
    """
    import spacy

    from ..corpus.evaluate import evaluate_entities, evaluate_retrieval
    from ..corpus.readers import Corpus
    from ..files import file_written_aside, sha256_file
    from ..images.pool import ImagePool
    from ..pipeline.loading import find_retriever
    from .device import use_device

    use_device(gpu_id)
    try:
        nlp = spacy.load(model)
        examples = list(Corpus(corpus)(nlp))
        retriever = find_retriever(nlp)
        if pool is not None:
            if retriever is None:
                raise ValueError(f"{model} has no voken_retriever to look into --pool.")
            retriever.set_pool(ImagePool.open(pool))
        report: dict[str, Any] = {
            "model": model,
            "corpus": str(corpus),
            "corpus_sha256": sha256_file(corpus),
            "docs": len(examples),
            "tokens": sum(len(example.predicted) for example in examples),
        }
        if pool is None and any(example.reference.ents for example in examples):
            scores = evaluate_entities(nlp, examples)
            for name, title in READINGS.items():
                _print_scores(title, scores[name])
            report |= {"scorer": SCORER}
            report |= {name: reading.to_dict() for name, reading in scores.items()}
        elif retriever is not None and (found := evaluate_retrieval(retriever, examples)):
            _print_retrieval(found)
            report["retrieval"] = found
        else:
            missing = "pictures of that pool" if pool else "entities and no indexed pictures"
            raise ValueError(f"{corpus} has no {missing}.")
        if output is not None:
            with file_written_aside(output) as aside:
                aside.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
            msg.good(f"Saved the scores to {output}")
    except (ImportError, OSError, ValueError) as error:
        msg.fail(f"Could not evaluate {model} on {corpus}", str(error), exits=1)


def _print_scores(title: str, scores: SpanScores) -> None:
    percent = "{:.2f}".format
    rows: list[tuple[Any, ...]] = [
        (name, *(percent(100 * x) for x in (c.precision, c.recall, c.f1)), c.mentions)
        for name, c in (("All", scores.overall), *scores.per_type.items())
    ]
    rows.append(("Weighted by mentions", "", "", percent(100 * scores.weighted_f1), ""))
    msg.divider(title)
    msg.table(rows, header=("", "P", "R", "F1", "Mentions"), aligns=("l", "r", "r", "r", "r"))


def _print_retrieval(retrieval: dict[str, Any]) -> None:
    msg.divider(f"Retrieval among {retrieval['candidates']:,} pictures")
    rows = [
        (
            name,
            f"{score:.3f}",
            f"{retrieval['chance'][name]:.3f}" if name in retrieval["chance"] else "",
        )
        for name, score in retrieval["scores"].items()
    ]
    msg.table(rows, header=("", "Score", "Chance"), aligns=("l", "r", "r"))
