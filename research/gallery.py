"""An HTML page of entities repaired and harmed by images, in equal numbers, with their images.

The page holds texts and images of the data, so it must not be published.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from spacy.tokens import Doc, Span

from spacy_vokens.attributes import set_token_values
from spacy_vokens.corpus.docbin import load_docs
from spacy_vokens.files import VokensError
from spacy_vokens.pipeline.util import load_with_pipe
from spacy_vokens.pipeline.voken_retriever import VokenRetriever
from spacy_vokens.scoring.ner import Span as Entity
from spacy_vokens.visualize.render import to_html

from .analysis import paired
from .grid import Cell, Comparison
from .hashes import hash_data
from .results import Results
from .runs import Gold, Run

N_CASES = 10


@dataclass(frozen=True)
class Case:
    """A gold entity that only one of two runs finds.

    Attributes:
        doc: Number of its document.
        entity: Its (start, end, label).
        is_repair: Whether the run with images finds it.
    """

    doc: int
    entity: Entity
    is_repair: bool


def render_gallery(results: Results, *, seed: int = 0) -> str:
    """Render cases of the primary comparison, from the first seed that both arms were run with.

    Args:
        results: The results.
        seed: Seed for the choice of cases.

    Raises:
        FileNotFoundError: If the corpora or the pool are missing.
        VokensError: If they are not what the run saw, the dataset names no vokenizer, or no primary
            comparison with images was run.
    """
    comparison, one, other = _first_pair(results)
    dataset, gold = results.grid.datasets[one.dataset], results.gold[one.dataset]
    if dataset.vokenizer is None:
        raise VokensError(
            f"The dataset {one.dataset!r} names no vokenizer, and the images come from there: add "
            "its path to the grid."
        )
    corpus = dataset.path(results.grid.split)
    cell = Cell(one.dataset, one.tagger, one.images, one.seed)
    if hash_data(results.grid, cell) != one.data_sha256:
        raise VokensError(
            f"{corpus}, the other corpora or {dataset.pool} are not what {cell.name} was trained "
            "on, so the gallery would show images that it did not see. Run 'python -m research "
            "run' again, or make the gallery on the machine of that run."
        )
    nlp, retriever = load_with_pipe(dataset.vokenizer, VokenRetriever)
    docs = load_docs(corpus, nlp.vocab)
    cases = list(find_cases(gold, one, other))
    repairs = [case for case in cases if case.is_repair]
    harms = [case for case in cases if not case.is_repair]
    chosen = choose_cases(repairs, harms, seed)
    title = (
        f"{comparison.of} against {comparison.against}, seed {one.seed}: "
        f"entities repaired {len(repairs)}, harmed {len(harms)}; "
        f"{len(chosen) // 2} of each are shown"
    )
    shown = [_annotated(docs[case.doc].copy(), case, one, other) for case in chosen]
    return to_html(shown, images=retriever.image, page=True, options={"title": title})


def find_cases(gold: Gold, one: Run, other: Run) -> Iterator[Case]:
    """Yield the gold entities that only one of two runs finds.

    Args:
        gold: The gold entities.
        one: The run with images.
        other: The run that it is compared with.
    """
    for doc, (wanted, found, others) in enumerate(
        zip(gold.strict, one.spans, other.spans, strict=True)
    ):
        for entity in wanted:
            if (entity in found) != (entity in others):
                yield Case(doc, entity, entity in found)


def choose_cases(repairs: list[Case], harms: list[Case], seed: int) -> list[Case]:
    """Draw as many repairs as harms, at most `N_CASES` of each, and alternate them."""
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
    raise VokensError(
        "No two runs of the primary comparison have the same seed, with images in the first: run "
        "more cells."
    )


def _annotated(doc: Doc, case: Case, one: Run, other: Run) -> Doc:
    """Tag the document as the run with images does. Its title says what the other run found."""
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
