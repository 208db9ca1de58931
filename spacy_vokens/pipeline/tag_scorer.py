"""The scorer of entities, which knows the corpus's own tags, and of what the pictures did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from spacy.scorer import get_ner_prf
from spacy.tokens import Doc
from spacy.training import Example

from ..extensions import get_token_values
from ..metrics.ner import bio_tags, score_tags


def make_tag_scorer() -> Callable[..., dict[str, Any]]:
    """Make the scorer `spacy-vokens.TagScorer.v1`."""
    return score_ner


def score_ner(examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
    """Precision, recall and F1 of the entities, and what was seen of the pictures.

    Documents that carry their corpus's own tags (`Doc._.raw_tags`) on their own tokens are scored
    by these: `ents_p`, `ents_r`, `ents_f` and `ents_per_type` in the strict reading of ill-formed
    tags, `ents_lenient_f` in the lenient one. Otherwise the scores are spaCy's own for entities.

    `vokens` is the share of the tokens that have one, `gate` the mean gate of these and `gate_ents`
    of those of them that are in an entity found; where there are none, they are left out.
    """
    examples = list(examples)
    return {**_score_entities(examples), **_score_pictures(eg.predicted for eg in examples)}


def _score_entities(examples: list[Example]) -> dict[str, Any]:
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


def _score_pictures(docs: Iterable[Doc]) -> dict[str, float]:
    has_voken: list[bool] = []
    gates: list[float] = []
    gates_of_entities: list[float] = []
    for doc in docs:
        vokens = get_token_values(doc, "voken")
        is_entity = doc.to_array("ENT_TYPE") != 0
        has_voken += [voken is not None for voken in vokens]
        for voken, gate, in_entity in zip(
            vokens, get_token_values(doc, "visual_gate"), is_entity, strict=True
        ):
            if voken is not None and gate is not None:
                gates.append(gate)
                if in_entity:
                    gates_of_entities.append(gate)
    values: dict[str, Sequence[float]] = {
        "vokens": has_voken,
        "gate": gates,
        "gate_ents": gates_of_entities,
    }
    return {name: float(np.mean(of_name)) for name, of_name in values.items() if of_name}
