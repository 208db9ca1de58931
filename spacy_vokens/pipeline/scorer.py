"""The scorers of the components: entities and the use of images, and retrieval."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from spacy.scorer import get_ner_prf
from spacy.tokens import Doc
from spacy.training import Example

from ..attributes import get_token_values
from ..scoring.ner import bio_tags, score_tags
from ..scoring.retrieval import matching_scores

if TYPE_CHECKING:
    from .voken_retriever import VokenRetriever


def make_visual_ner_scorer() -> Callable[..., dict[str, Any]]:
    """Make the scorer `spacy-vokens.visual_ner_scorer.v1`.

    Returns:
        `score_ner`.
    """
    return score_ner


def score_ner(examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
    """Score entities, and measure the use of images.

    If every reference has the tags of its corpus (`Doc._.visual_raw_tags`) and the tokens are the
    same, these tags are the gold standard. Otherwise `Doc.ents` are, and there is no
    `ents_lenient_f`.

    Args:
        examples: Documents with predictions, and their references.
        **kwargs: Ignored. spaCy passes the settings of the component.

    Returns:
        `ents_p`, `ents_r`, `ents_f` and `ents_per_type`, in which ill-formed tags start no entity;
        `ents_lenient_f`, in which they do; `voken_coverage`, the share of tokens with a voken;
        `visual_gate`, the mean gate of these tokens; and `visual_gate_ents`, the mean gate of those
        in a predicted entity. The last three are left out if there are no such tokens.
    """
    examples = list(examples)
    return {**_score_entities(examples), **_score_images(eg.predicted for eg in examples)}


def make_voken_scorer() -> Callable[..., dict[str, Any]]:
    """Make the scorer `spacy-vokens.voken_scorer.v1`.

    Returns:
        `score_vokens`.
    """
    return score_vokens


def score_vokens(
    examples: Iterable[Example], *, retriever: VokenRetriever, **kwargs: Any
) -> dict[str, Any]:
    """Score how well a retriever finds the images of the examples.

    The candidates are the distinct images of the examples. Every token that the text encoder has a
    vector for counts, whatever `skip` and `threshold` are.

    Args:
        examples: The image's id is `Doc._.visual_image_id` of the reference.
        retriever: The component.
        **kwargs: Ignored. spaCy passes the settings of the component.

    Returns:
        `voken_r1`, `voken_r5`, `voken_r10` and `voken_mrr` over tokens, `voken_sent_r1` and so on
        over sentences, and `voken_diversity`. Empty if the pool or index has none of the images,
        or if no token counts.
    """
    pairs = retriever.select_pairs(examples)
    queries = retriever.queries([eg.predicted for eg in pairs])
    queries = [query[~np.isnan(query[:, 0])] for query in queries]
    named = [eg.reference._.visual_image_id for eg in pairs]
    scored = [row for row, query in enumerate(queries) if len(query)]
    if not scored:
        return {}
    ids, image_of_pair = np.unique([named[row] for row in scored], return_inverse=True)
    keys = retriever.keys(ids.tolist())
    return matching_scores([queries[row] for row in scored], keys, image_of_pair)


def _score_entities(examples: list[Example]) -> dict[str, Any]:
    raw = [eg.reference._.visual_raw_tags for eg in examples]
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
        "ents_f": strict.overall.fscore,
        "ents_lenient_f": scores["lenient"].overall.fscore,
        "ents_per_type": {label: score.to_dict() for label, score in strict.per_type.items()},
    }


def _score_images(docs: Iterable[Doc]) -> dict[str, float]:
    has_voken: list[bool] = []
    gates: list[float] = []
    entity_gates: list[float] = []
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
                    entity_gates.append(gate)
    values: dict[str, Sequence[float]] = {
        "voken_coverage": has_voken,
        "visual_gate": gates,
        "visual_gate_ents": entity_gates,
    }
    return {name: float(np.mean(found)) for name, found in values.items() if found}
