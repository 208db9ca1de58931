"""Score a pipeline's entities on a corpus, from the corpus's own tokens, images and raw tags."""

from __future__ import annotations

from collections.abc import Iterable

from spacy.language import Language
from spacy.training import Example
from tqdm import tqdm

from ..metrics.ner import SpanScores, bio_tags, gold_tags, score_tags


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
