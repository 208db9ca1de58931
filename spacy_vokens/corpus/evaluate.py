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


def evaluate_retrieval(nlp: Language, examples: Iterable[Example]) -> dict[str, Any] | None:
    """How well the pipeline's retriever finds the pictures that the references name.

    returns: `candidates`, how many pictures there are to choose from; `scores` as
        `VokenRetriever.score` gives them; and what `chance` gives. None without a retriever, or
        where its index has none of the pictures.
    """
    examples = list(examples)
    for _, pipe in nlp.pipeline:
        if isinstance(pipe, VokenRetriever) and pipe.index is not None:
            named = {example.reference._.image_id for example in examples}
            n_candidates = sum(image_id in pipe.index for image_id in named)
            if n_candidates:
                return {
                    "candidates": n_candidates,
                    "scores": pipe.score(examples),
                    "chance": chance_scores(n_candidates),
                }
    return None
