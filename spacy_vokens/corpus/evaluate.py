"""Score a pipeline on a corpus, from the corpus's own tokens, images and raw tags."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from spacy.language import Language
from spacy.training import Example
from tqdm import tqdm

from ..metrics.ner import SpanScores, bio_tags, gold_tags, score_tags
from ..metrics.retrieval import chance_scores
from ..pipeline.voken_retriever import VokenRetriever


def evaluate_entities(nlp: Language, examples: Iterable[Example]) -> dict[str, SpanScores]:
    """The "strict" and the "lenient" reading of the entities that `nlp` finds.

    nlp: a pipeline that sets `Doc.ents`.
    examples: as `Corpus` yields them; their predicted documents go through the pipeline.
    """
    examples = list(examples)
    gold = [gold_tags(example.reference) for example in examples]
    docs = nlp.pipe(example.predicted for example in examples)
    progress = tqdm(docs, total=len(examples), unit=" docs", disable=None, leave=False)
    return score_tags(gold, [bio_tags(doc) for doc in progress])


def evaluate_retrieval(
    retriever: VokenRetriever, examples: Iterable[Example]
) -> dict[str, Any] | None:
    """How well a retriever finds the pictures that the references name.

    returns: `candidates`, how many pictures there are to choose from; `scores` as
        `VokenRetriever.score` gives them; and what `chance` gives. None where its index has none of
        the pictures.
    """
    if retriever.index is None:
        return None
    examples = list(examples)
    named = {example.reference._.image_id for example in examples}
    n_candidates = sum(image_id in retriever.index for image_id in named)
    if not n_candidates:
        return None
    return {
        "candidates": n_candidates,
        "scores": retriever.score(examples),
        "chance": chance_scores(n_candidates),
    }
