"""Explain whether images mattered: tag the same words again with other images, or with none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import minibatch

from ..attributes import get_token_values, set_token_values
from ..corpus.reader import blank_copy
from ..files import VokensError
from ..pipeline.util import find_pipe
from ..pipeline.visual_ner import VisualNer
from ..pipeline.voken_retriever import VokenRetriever

# (first token, token after the last, label)
EntitySpan = tuple[int, int, str]
# Differences in probability below this one are not reported as evidence.
MIN_DIFFERENCE = 0.05
# Copies of a document tagged at once.
BATCH_SIZE = 32


@dataclass(frozen=True)
class Outcome:
    """What the tagger finds in the place of an entity, with certain images.

    Attributes:
        probability: Probability of exactly this entity, 0 to 1, whether it is found or not.
        found: The entities found that share a token with it.
    """

    probability: float
    found: tuple[EntitySpan, ...]


@dataclass(frozen=True)
class Alternative:
    """The outcome if one token has another image.

    Attributes:
        token: Index of the token.
        voken: Id of the image.
        score: Relevance score of the image for the token.
        outcome: What the tagger finds.
    """

    token: int
    voken: str
    score: float
    outcome: Outcome


@dataclass(frozen=True)
class Evidence:
    """An entity, and the outcomes with other images.

    Attributes:
        span: The entity.
        with_images: Outcome with the images that the document has.
        without_images: Outcome if no token has an image.
        with_random: Outcomes with random images for all tokens, one per draw.
        alternatives: Outcomes if one token has one of its next best images.
        labels: Probability of exactly these tokens being an entity of each label, with the images
            that the document has, in descending order.
    """

    span: EntitySpan
    with_images: Outcome
    without_images: Outcome
    with_random: tuple[Outcome, ...]
    alternatives: tuple[Alternative, ...]
    labels: dict[str, float]

    @property
    def is_found(self) -> bool:
        """Whether the entity is found with the document's images."""
        return self.span in self.with_images.found

    @property
    def verdict(self) -> str:
        """A few words on whether the images mattered."""
        if self.is_found != (self.span in self.without_images.found):
            # If most draws have the same effect, what the entity's images show did not matter.
            n_same = sum((self.span in draw.found) == self.is_found for draw in self.with_random)
            verdict = f"found only {'with' if self.is_found else 'without'}"
            if 2 * n_same > len(self.with_random):
                return f"{verdict} images, but any images do"
            return f"{verdict} its images"
        gain = self.with_images.probability - self.without_images.probability
        if self.with_random:
            by_chance = np.mean([draw.probability for draw in self.with_random])
            if (
                abs(gain) >= MIN_DIFFERENCE
                and abs(self.with_images.probability - by_chance) < MIN_DIFFERENCE
            ):
                return f"random images {'raise' if gain > 0 else 'lower'} its probability as much"
        if gain >= MIN_DIFFERENCE:
            return "its images speak for it"
        if gain <= -MIN_DIFFERENCE:
            return "its images speak against it"
        return "its images make no difference"


@dataclass(frozen=True)
class Explanation:
    """A document and the evidence for its entities.

    Attributes:
        doc: The document, annotated by the pipeline.
        evidence: One per entity: first those found with the document's images, in order, then
            those found only without images.
    """

    doc: Doc
    evidence: list[Evidence]


def explain(
    nlp: Language, doc: Doc | str, *, n_random: int = 20, top_k: int = 5, seed: int = 0
) -> Explanation:
    """Compare the entities of a text with what the tagger finds with other images.

    The words and their vectors stay the same; only the images that `visual_ner` sees change.

    Args:
        nlp: A pipeline with a `visual_ner`.
        doc: A text, or a document that the pipeline has not annotated yet.
        n_random: Number of draws of random images. They are drawn from all images that the tagger
            knows, one for each token that has a voken.
        top_k: Number of best images to try for each token of an entity, including its own. Without
            a `voken_retriever`, none are tried.
        seed: Seed of the draws.

    Returns:
        The annotated document and the evidence for its entities.

    Raises:
        VokensError: If the pipeline has no `visual_ner`.
    """
    tagger = _require_tagger(nlp)
    retriever = find_pipe(nlp, VokenRetriever)
    return explain_doc(nlp(doc), tagger, retriever, n_random=n_random, top_k=top_k, seed=seed)


def explain_doc(
    doc: Doc,
    tagger: VisualNer,
    retriever: VokenRetriever | None,
    *,
    n_random: int = 20,
    top_k: int = 5,
    seed: int = 0,
) -> Explanation:
    """Compare the entities of an annotated document with what the tagger finds with other images.

    Args:
        doc: The document, annotated by the tagger's pipeline. It is not changed.
        tagger: The tagger to explain.
        retriever: Finds the next best images of a token; None tries none.
        n_random: Number of draws of random images. They are drawn from all images that the tagger
            knows, one for each token that has a voken.
        top_k: Number of best images to try for each token of an entity, including its own.
        seed: Seed of the draws.

    Returns:
        The document and the evidence for its entities.
    """
    if not len(doc):
        return Explanation(doc, [])
    vokens = get_token_values(doc, "voken")
    nothing: list[str | None] = [None] * len(doc)
    tagged = tagger.predict([_with_vokens(doc, vokens), _with_vokens(doc, nothing)])
    spans = list(dict.fromkeys(span for each in tagged for span in tagger.spans_of(each)))
    if not spans:
        return Explanation(doc, [])

    relabeled = [(start, end, label) for start, end, _ in spans for label in tagger.labels]
    by_label = tagger.span_probabilities(tagged[:1], [relabeled])[0].reshape(len(spans), -1)
    draws = _draw_vokens(tagger, vokens, n_random, seed) if any(vokens) else []
    swaps = [] if retriever is None else _next_best(retriever, doc, vokens, spans, top_k)
    swapped = [[*vokens[:token], voken, *vokens[token + 1 :]] for token, voken, _ in swaps]
    for batch in minibatch([*draws, *swapped], BATCH_SIZE):
        tagged += tagger.predict([_with_vokens(doc, others) for others in batch])
    probabilities = tagger.span_probabilities(tagged, [spans] * len(tagged))
    found = [tagger.spans_of(each) for each in tagged]

    evidence = []
    for number, span in enumerate(spans):
        start, end, _ = span
        outcomes = [
            Outcome(
                float(values[number]),
                tuple(other for other in others if other[0] < end and other[1] > start),
            )
            for values, others in zip(probabilities, found, strict=True)
        ]
        alternatives = [
            Alternative(token, voken, score, outcome)
            for (token, voken, score), outcome in zip(
                swaps, outcomes[2 + len(draws) :], strict=True
            )
            if start <= token < end
        ]
        evidence.append(
            Evidence(
                span,
                with_images=outcomes[0],
                without_images=outcomes[1],
                with_random=tuple(outcomes[2 : 2 + len(draws)]),
                alternatives=tuple(alternatives),
                labels={
                    tagger.labels[i]: float(by_label[number, i])
                    for i in np.argsort(-by_label[number])
                },
            )
        )
    return Explanation(doc, evidence)


def find_flips(
    nlp: Language, docs: Sequence[Doc]
) -> list[tuple[list[EntitySpan], list[EntitySpan]]]:
    """Find the entities of documents with their images and without images.

    Args:
        nlp: A pipeline with a `visual_ner`.
        docs: Documents that the pipeline has annotated.

    Returns:
        Per document, the entities that the tagger finds with the document's vokens and without
        vokens. Entities of other components are not included.

    Raises:
        VokensError: If the pipeline has no `visual_ner`.
    """
    tagger = _require_tagger(nlp)
    bare = [_with_vokens(doc, [None] * len(doc)) for doc in docs]
    found = [
        [tagger.spans_of(each) for each in tagger.predict(variant)] for variant in (docs, bare)
    ]
    return list(zip(*found, strict=True))


def _require_tagger(nlp: Language) -> VisualNer:
    tagger = find_pipe(nlp, VisualNer)
    if tagger is None:
        components = ", ".join(nlp.pipe_names) or "none"
        raise VokensError(f"The pipeline has no visual_ner (its components: {components}).")
    return tagger


def _with_vokens(doc: Doc, vokens: Sequence[str | None]) -> Doc:
    """Copy a document and what its transformer or tok2vec set, with other vokens."""
    copy = blank_copy(doc)
    copy.tensor = doc.tensor
    set_token_values(copy, "voken", vokens)
    return copy


def _draw_vokens(
    tagger: VisualNer, vokens: list[str | None], n_random: int, seed: int
) -> list[list[str | None]]:
    """Replace all vokens by random images, `n_random` times; no draws without images."""
    if tagger.images is None:
        return []
    ids = tagger.images.ids
    rows = np.random.default_rng(seed).integers(len(ids), size=(n_random, len(vokens)))
    return [
        [None if voken is None else ids[row] for voken, row in zip(vokens, draw, strict=True)]
        for draw in rows.tolist()
    ]


def _next_best(
    retriever: VokenRetriever,
    doc: Doc,
    vokens: list[str | None],
    spans: list[EntitySpan],
    top_k: int,
) -> list[tuple[int, str, float]]:
    """Find the other images that the retriever could have given to the tokens of entities.

    Returns:
        (token, image id, score), best first for each token that has a voken.
    """
    tokens = {token for start, end, _ in spans for token in range(start, end)}
    grounded = sorted(token for token in tokens if vokens[token] is not None)
    if retriever.index is None or not grounded:
        return []
    ids, scores = (found[grounded] for found in retriever.rank(doc, top_k))
    threshold = -np.inf if retriever.threshold is None else retriever.threshold
    excluded = doc._.visual_image_id if retriever.exclude_own else None
    return [
        (token, voken, float(score))
        for token, its_ids, its_scores in zip(grounded, ids, scores, strict=True)
        for voken, score in zip(its_ids, its_scores, strict=True)
        if voken is not None and voken not in (vokens[token], excluded) and score >= threshold
    ]
