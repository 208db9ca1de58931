"""Controls: images that replace the retrieved ones, to find out why a tagger improves.

A control changes only the data (vokens or features). The tagger, its config and its training are
the same in all cells of a grid.

| images | image of a token | what it keeps |
|---|---|---|
| `retrieved` | its voken | everything |
| `given` | the image that came with the document | the paper's setting "Original" |
| `random` | an image drawn from the pool | only that there is an image |
| `shuffled` | the voken of another token of the split | how often each image is retrieved |
| `zero` | its voken, with all features set to zero | the parameters of the fusion |
| `permuted` | its voken, with another image's features | which words share an image |
| `query` | the vector that its voken was retrieved with | the second text encoder, but no image |
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from spacy.tokens import Doc

from spacy_vokens.attributes import get_token_values, set_token_values
from spacy_vokens.files import VokensError
from spacy_vokens.images.pool import ImageRecord
from spacy_vokens.messages import count_of
from spacy_vokens.pipeline.given_image import GivenImage
from spacy_vokens.pipeline.voken_retriever import VokenRetriever


@dataclass(frozen=True)
class Grounding:
    """The vokens of a corpus and the features that they refer to.

    Attributes:
        docs: The documents of every split by its name. A control may change them in place.
        records: Records of the images, sorted by ID.
        features: Features of shape (n_images, width), one row per record.
    """

    docs: dict[str, list[Doc]]
    records: list[ImageRecord]
    features: np.ndarray


Control = Callable[[Grounding, np.random.Generator], Grounding]


def retrieved(grounding: Grounding, rng: np.random.Generator) -> Grounding:
    """Keep the vokens."""
    return grounding


def given(grounding: Grounding, rng: np.random.Generator) -> Grounding:
    """Give every token the image that came with its document."""
    give_image = GivenImage()
    for docs in grounding.docs.values():
        for doc in docs:
            give_image(doc)
    return grounding


def random(grounding: Grounding, rng: np.random.Generator) -> Grounding:
    """Draw an image from the pool for every token that has a voken."""
    ids = [record.id for record in grounding.records]
    for docs in grounding.docs.values():
        n_vokens = len(_all_vokens(docs))
        _set_vokens(docs, [ids[i] for i in rng.integers(len(ids), size=n_vokens)])
    return grounding


def shuffled(grounding: Grounding, rng: np.random.Generator) -> Grounding:
    """Permute the vokens of a split over its tokens that have one."""
    for docs in grounding.docs.values():
        vokens = _all_vokens(docs)
        _set_vokens(docs, [vokens[i] for i in rng.permutation(len(vokens))])
    return grounding


def zero(grounding: Grounding, rng: np.random.Generator) -> Grounding:
    """Keep the vokens, but set all features to zero."""
    return replace(grounding, features=np.zeros_like(grounding.features))


def permuted(grounding: Grounding, rng: np.random.Generator) -> Grounding:
    """Keep the vokens, but permute the features over the images, in the same way for all splits."""
    order = rng.permutation(len(grounding.features))
    return replace(grounding, features=grounding.features[order])


CONTROLS: dict[str, Control] = {
    control.__name__: control for control in (retrieved, given, random, shuffled, zero, permuted)
}


def query(grounding: Grounding, retriever: VokenRetriever) -> Grounding:
    """Give every token that has a voken an image of its own: its query vector.

    Args:
        grounding: The vokens.
        retriever: The retriever whose text tower computes the queries.

    Returns:
        The same documents, whose vokens now name the queries, with one record and one feature row
        per query. The features have the width of the retriever's keys.
    """
    features: list[np.ndarray] = []
    for docs in grounding.docs.values():
        has_voken = [v is not None for doc in docs for v in get_token_values(doc, "voken")]
        first = sum(map(len, features))
        features.append(np.concatenate(retriever.queries(docs))[has_voken])
        _set_vokens(docs, [_query_id(first + row) for row in range(len(features[-1]))])
    vectors = np.concatenate(features)
    records = [
        ImageRecord(_query_id(row), _query_id(row), _sha256(vector), 1, 1, "a query, not an image")
        for row, vector in enumerate(vectors)
    ]
    return replace(grounding, records=records, features=vectors)


def check_images(grounding: Grounding, images: str) -> None:
    """Check that every split has images and that all of them are among the records.

    Args:
        grounding: The vokens.
        images: The control that set them, for the message.

    Raises:
        VokensError: If a split has no image, or one that is not among the records.
    """
    known = {record.id for record in grounding.records}
    for split, docs in grounding.docs.items():
        used = set(_all_vokens(docs))
        if not used:
            raise VokensError(f"The images {images!r} give no token of {split!r} an image.")
        if missing := used - known:
            raise VokensError(
                f"The images {images!r} give the tokens of {split!r} "
                f"{count_of(len(missing), 'image')} not in the pool (the first: {min(missing)!r})."
            )


def _all_vokens(docs: list[Doc]) -> list[str]:
    """Return the vokens of all tokens that have one."""
    return [v for doc in docs for v in get_token_values(doc, "voken") if v is not None]


def _set_vokens(docs: list[Doc], vokens: Sequence[str]) -> None:
    """Replace the vokens in order. Relevance scores are kept; rankings are removed."""
    remaining = iter(vokens)
    for doc in docs:
        old = get_token_values(doc, "voken")
        set_token_values(doc, "voken", [v if v is None else next(remaining) for v in old])
        set_token_values(doc, "vokens", [None] * len(doc))


def _query_id(row: int) -> str:
    return f"query-{row:08d}"


def _sha256(vector: np.ndarray) -> str:
    return hashlib.sha256(vector.tobytes()).hexdigest()
