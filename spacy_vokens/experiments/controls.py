"""What takes the place of the retrieved pictures: the controls that tell why a tagger gains.

Every control rewrites the data alone, vokens or features, so that the tagger, its config and its
training are the same in all cells of a grid.

| images | a token's picture | what it keeps |
|---|---|---|
| `retrieved` | its voken | everything |
| `given` | the picture that came with the document | what the paper calls "Original" |
| `random` | one drawn from the pool | nothing but that there is a picture |
| `shuffled` | the voken of another token of the split | how often each picture is retrieved |
| `zero` | its voken, all of whose features are zero | the parameters of the fusion |
| `permuted` | its voken, with the features of another | which words share a picture |
| `query` | the vector that its voken was retrieved with | the second text encoder, no picture |
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from spacy.tokens import Doc

from ..extensions import get_token_values, set_token_values
from ..images.pool import ImageRecord
from ..pipeline.given_image import give_image
from ..pipeline.voken_retriever import VokenRetriever


@dataclass(frozen=True)
class Grounding:
    """A corpus's vokens and the features that they name.

    docs: the documents of every split, by its name; a control may write to them.
    records: of the images, sorted by id.
    features: (n_images, width), one row a record.
    """

    docs: dict[str, list[Doc]]
    records: list[ImageRecord]
    features: np.ndarray


Control = Callable[[Grounding, np.random.Generator], Grounding]


def retrieved(grounding: Grounding, rng: np.random.Generator) -> Grounding:
    """The vokens as they are."""
    return grounding


def given(grounding: Grounding, rng: np.random.Generator) -> Grounding:
    """The picture that came with the document, for every token."""
    for docs in grounding.docs.values():
        for doc in docs:
            give_image(doc)
    return grounding


def random(grounding: Grounding, rng: np.random.Generator) -> Grounding:
    """A picture drawn from the pool for every token that has a voken."""
    ids = [record.id for record in grounding.records]
    for docs in grounding.docs.values():
        n_vokens = len(_all_vokens(docs))
        _set_vokens(docs, [ids[i] for i in rng.integers(len(ids), size=n_vokens)])
    return grounding


def shuffled(grounding: Grounding, rng: np.random.Generator) -> Grounding:
    """The vokens of a split, permuted over its tokens that have one."""
    for docs in grounding.docs.values():
        vokens = _all_vokens(docs)
        _set_vokens(docs, [vokens[i] for i in rng.permutation(len(vokens))])
    return grounding


def zero(grounding: Grounding, rng: np.random.Generator) -> Grounding:
    """The vokens, with features that are all zero."""
    return replace(grounding, features=np.zeros_like(grounding.features))


def permuted(grounding: Grounding, rng: np.random.Generator) -> Grounding:
    """The vokens, with one permutation of the features over the images, the same in all splits."""
    order = rng.permutation(len(grounding.features))
    return replace(grounding, features=grounding.features[order])


CONTROLS: dict[str, Control] = {
    control.__name__: control for control in (retrieved, given, random, shuffled, zero, permuted)
}


def query(grounding: Grounding, retriever: VokenRetriever) -> Grounding:
    """The query vector of every token that has a voken, as if it were a picture of its own.

    retriever: whose text tower makes the queries.
    """
    features: list[np.ndarray] = []
    for docs in grounding.docs.values():
        has_voken = [v is not None for doc in docs for v in get_token_values(doc, "voken")]
        first = sum(map(len, features))
        features.append(np.concatenate(retriever.queries(docs))[has_voken])
        _set_vokens(docs, [_query_id(first + row) for row in range(len(features[-1]))])
    vectors = np.concatenate(features)
    records = [
        ImageRecord(_query_id(row), _query_id(row), _sha256(vector), 1, 1, "a query, no picture")
        for row, vector in enumerate(vectors)
    ]
    return replace(grounding, records=records, features=vectors)


def check_pictures(grounding: Grounding, images: str) -> None:
    """Raise ValueError where a split has no picture at all, or one that is not among the records.

    images: what gave the tokens their pictures.
    """
    known = {record.id for record in grounding.records}
    for split, docs in grounding.docs.items():
        used = set(_all_vokens(docs))
        if not used:
            raise ValueError(f"The images {images!r} give no token of {split!r} a picture.")
        if missing := used - known:
            raise ValueError(
                f"The images {images!r} give the tokens of {split!r} {len(missing)} pictures that "
                f"are not in the pool, {min(missing)!r} the first."
            )


def _all_vokens(docs: list[Doc]) -> list[str]:
    """The vokens of all tokens that have one."""
    return [v for doc in docs for v in get_token_values(doc, "voken") if v is not None]


def _set_vokens(docs: list[Doc], vokens: Sequence[str]) -> None:
    """Give the tokens that have a voken others, in order; their relevance scores stay."""
    remaining = iter(vokens)
    for doc in docs:
        old = get_token_values(doc, "voken")
        set_token_values(doc, "voken", [v if v is None else next(remaining) for v in old])
        set_token_values(doc, "vokens", [None] * len(doc))


def _query_id(row: int) -> str:
    return f"query-{row:08d}"


def _sha256(vector: np.ndarray) -> str:
    return hashlib.sha256(vector.tobytes()).hexdigest()
