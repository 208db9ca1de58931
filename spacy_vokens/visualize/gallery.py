"""Cases of a comparison, repaired and harmed in equal numbers, shown with their pictures.

The page holds texts and pictures of the data: it is for looking at, not for passing on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from spacy.tokens import Doc, Span

from ..corpus.docbin import load_docs
from ..experiments.analysis import paired
from ..experiments.cell import hash_data
from ..experiments.grid import Cell, Comparison
from ..experiments.results import Results
from ..experiments.runs import Gold, Run
from ..extensions import set_token_values
from ..metrics.ner import Span as Entity
from ..pipeline.loading import load_with_retriever
from .render import to_html

N_CASES = 10


@dataclass(frozen=True)
class Case:
    """A gold entity that one of two runs finds and the other does not.

    doc: number of its document.
    entity: (start, end, label).
    is_repair: whether the run with pictures is the one that finds it.
    """

    doc: int
    entity: Entity
    is_repair: bool


def render_gallery(results: Results, *, seed: int = 0) -> str:
    """A page of the primary comparison's cases, of the first seed that both arms were run with.

    seed: of the choice.
    raises FileNotFoundError: where the corpora or the pool are not at hand.
    raises ValueError: where they are others than the run's, or the grid plans no comparison with
        pictures, or it was not run.
    """
    comparison, one, other = _first_pair(results)
    dataset, gold = results.grid.datasets[one.dataset], results.gold[one.dataset]
    if dataset.vokenizer is None:
        raise ValueError(f"{one.dataset} names no vokenizer, which has the pictures.")
    corpus = dataset.path(results.grid.split)
    cell = Cell(one.dataset, one.tagger, one.images, one.seed)
    if hash_data(results.grid, cell) != one.data_sha256:
        raise ValueError(
            f"{corpus}, the corpora beside it or {dataset.pool} are not what {cell.name} was "
            "trained on, so that other pictures would be shown than it saw. Run "
            "'spacy vokens experiment' again, or draw the gallery where it was run."
        )
    nlp, retriever = load_with_retriever(dataset.vokenizer)
    docs = load_docs(corpus, nlp.vocab)
    cases = list(find_cases(gold, one, other))
    repairs = [case for case in cases if case.is_repair]
    harms = [case for case in cases if not case.is_repair]
    chosen = choose_cases(repairs, harms, seed)
    title = (
        f"{comparison.of} against {comparison.against}, seed {one.seed}: "
        f"entities repaired {len(repairs)}, harmed {len(harms)}; "
        f"of each {len(chosen) // 2} are shown"
    )
    shown = [_annotated(docs[case.doc].copy(), case, one, other) for case in chosen]
    return to_html(shown, pictures=retriever.picture, page=True, options={"title": title})


def find_cases(gold: Gold, one: Run, other: Run) -> Iterator[Case]:
    """The gold entities that only one of two runs finds.

    one: with pictures.
    other: what it is compared with.
    """
    for doc, (wanted, found, others) in enumerate(
        zip(gold.strict, one.spans, other.spans, strict=True)
    ):
        for entity in wanted:
            if (entity in found) != (entity in others):
                yield Case(doc, entity, entity in found)


def choose_cases(repairs: list[Case], harms: list[Case], seed: int) -> list[Case]:
    """As many repairs as harms, at most `N_CASES` of each, drawn and then alternating."""
    rng = np.random.default_rng(seed)
    n = min(N_CASES, len(repairs), len(harms))
    drawn = ([kind[i] for i in rng.permutation(len(kind))[:n]] for kind in (repairs, harms))
    return [case for pair in zip(*drawn, strict=True) for case in pair]


def _first_pair(results: Results) -> tuple[Comparison, Run, Run]:
    for comparison in results.grid.comparisons:
        if comparison.primary:
            pairs = paired(results.find(comparison.of), results.find(comparison.against))
            for one, other in pairs:
                if one.gates is not None:
                    return comparison, one, other
    raise ValueError("No two runs of the primary comparison have the same seed yet.")


def _annotated(doc: Doc, case: Case, one: Run, other: Run) -> Doc:
    """The document as the run with pictures tags it; its title says what the other had there."""
    arm = f"{other.tagger}-{other.images}"
    doc.ents = [Span(doc, start, end, label) for start, end, label in one.spans[case.doc]]
    if one.gates is not None:
        gates = one.gates[case.doc]
        set_token_values(doc, "visual_gate", [None if g is None else g / 1000 for g in gates])
    start, end, label = case.entity
    others = [
        f"{doc[a:b].text} {name}" for a, b, name in other.spans[case.doc] if a < end and b > start
    ]
    doc.user_data["title"] = (
        f"{'repaired' if case.is_repair else 'harmed'}: {doc[start:end].text} {label} · "
        f"{arm}: {', '.join(others) or 'no entity there'}"
    )
    return doc
