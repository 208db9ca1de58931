"""The scorer of entities, which knows the corpus's own tags."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from spacy.scorer import get_ner_prf
from spacy.training import Example

from ..metrics.ner import bio_tags, score_tags


def make_tag_scorer() -> Callable[..., dict[str, Any]]:
    """Make the scorer `spacy-vokens.TagScorer.v1`."""
    return score_ner


def score_ner(examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
    """Precision, recall and F1 of the entities.

    Documents that carry their corpus's own tags (`Doc._.raw_tags`) on their own tokens are scored
    by these: `ents_p`, `ents_r`, `ents_f` and `ents_per_type` in the strict reading of ill-formed
    tags, `ents_lenient_f` in the lenient one. Otherwise the scores are spaCy's own for entities.
    """
    examples = list(examples)
    raw = [eg.reference._.raw_tags for eg in examples]
    if not examples or any(
        tags is None or len(tags) != len(eg.predicted)
        for tags, eg in zip(raw, examples, strict=True)
    ):
        return get_ner_prf(examples)
    scores = score_tags(raw, [bio_tags(eg.predicted) for eg in examples])
    strict = scores["strict"]
    return {
        "ents_p": strict.overall.precision,
        "ents_r": strict.overall.recall,
        "ents_f": strict.overall.f1,
        "ents_lenient_f": scores["lenient"].overall.f1,
        "ents_per_type": {
            label: {"p": counts.precision, "r": counts.recall, "f": counts.f1}
            for label, counts in strict.per_type.items()
        },
    }
