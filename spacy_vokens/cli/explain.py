"""`spacy vokens explain`: whether the pictures mattered to the entities of a text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from wasabi import msg

if TYPE_CHECKING:
    from ..visualize.explanation import Evidence, Explanation


def explain(
    model: Annotated[str, typer.Argument(help="Pipeline with visual_ner")],
    text: Annotated[str, typer.Argument(help="The text")],
    top_k: Annotated[
        int, typer.Option("--top-k", "-k", min=1, help="Pictures of each word to try")
    ] = 5,
    draws: Annotated[int, typer.Option(min=0, help="Draws of random pictures")] = 20,
    seed: Annotated[int, typer.Option(help="Of the draws")] = 0,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="HTML page to write as well", dir_okay=False),
    ] = None,
) -> None:
    """Show each entity of a text with its pictures, without, with random and with other ones.

    The figure is the probability that just these words are an entity of just this label. Where it
    stays the same whatever the pictures, the text alone says it.
    """
    import spacy

    from ..files import file_written_aside
    from ..visualize.evidence import render_explanation
    from ..visualize.explanation import explain as explain_doc

    try:
        nlp = spacy.load(model)
        explanation = explain_doc(nlp, text, n_random=draws, top_k=top_k, seed=seed)
        if output is not None:
            page = render_explanation(explanation)
            with file_written_aside(output) as aside:
                aside.write_text(page, encoding="utf-8")
    except (ImportError, OSError, ValueError) as error:
        msg.fail(f"Could not explain with {model}", str(error), exits=1)
    if not explanation.evidence:
        msg.info("No entity is found, with pictures or without.")
    for evidence in explanation.evidence:
        _print_evidence(explanation, evidence)
    if output is not None:
        msg.good(f"Wrote {output}")


def _print_evidence(explanation: Explanation, evidence: Evidence) -> None:
    from ..visualize.evidence import describe_labels, evidence_rows

    start, end, label = evidence.span
    entity = explanation.doc[start:end]
    msg.divider(f"{entity.text} · {label}")
    for token in entity:
        if token._.voken is not None:
            score, gate = token._.voken_score, token._.visual_gate
            msg.text(
                f"{token.text}: picture {token._.voken}"
                + ("" if score is None else f" · r {score:.2f}")
                + ("" if gate is None else f" · gate {gate:.2f}")
            )
    msg.text(describe_labels(evidence))
    rows = [
        (row.name, f"{row.probability:.2f}{row.spread}", row.found)
        for row in evidence_rows(evidence, explanation)
    ]
    msg.table(rows, header=("With", "Probability", "Found"), divider=True, max_col=60)
    msg.info(evidence.verdict)
