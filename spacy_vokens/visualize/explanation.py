"""Whether the pictures mattered: a tagger's entities with other pictures, or with none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import minibatch

from ..corpus.readers import blank_copy
from ..extensions import get_token_values, set_token_values
from ..metrics.ner import Span
from ..pipeline.loading import find_retriever, find_tagger
from ..pipeline.visual_ner import VisualNer

# Less than this is no difference that a reader should think about.
SMALL = 0.05
# Of a document, held at once.
COPIES = 32


@dataclass(frozen=True)
class Reading:
    """What the tagger says of an entity's place, with certain pictures.

    probability: of the very entity, 0 to 1, found or not.
    found: the entities found that share a word with it.
    """

    probability: float
    found: tuple[Span, ...]


@dataclass(frozen=True)
class Alternative:
    """A reading with another picture for one word.

    token: number of the word.
    voken: id of the picture.
    score: its relevance score for the word.
    """

    token: int
    voken: str
    score: float
    reading: Reading


@dataclass(frozen=True)
class Evidence:
    """An entity, and what becomes of it with other pictures.

    span: (start, end, label).
    with_pictures, without: readings with the vokens of all words of the text, and with none.
    random: readings with pictures drawn at random for all words, a draw each.
    alternatives: readings with one word's voken exchanged for its next best ones.
    labels: the probability of just these words as each label, with the words' vokens, best first.
    """

    span: Span
    with_pictures: Reading
    without: Reading
    random: tuple[Reading, ...]
    alternatives: tuple[Alternative, ...]
    labels: dict[str, float]

    @property
    def is_found(self) -> bool:
        """Whether the entity is found with its pictures."""
        return self.span in self.with_pictures.found

    @property
    def verdict(self) -> str:
        """In a few words, whether the pictures mattered."""
        if self.is_found != (self.span in self.without.found):
            # What most draws do as well, its pictures do not do by what they show.
            agree = [(self.span in reading.found) == self.is_found for reading in self.random]
            which = (
                "pictures, whichever they are" if 2 * sum(agree) > len(agree) else "its pictures"
            )
            return f"found only {'with' if self.is_found else 'without'} {which}"
        gain = self.with_pictures.probability - self.without.probability
        if self.random:
            by_chance = np.mean([reading.probability for reading in self.random])
            if abs(gain) >= SMALL and abs(self.with_pictures.probability - by_chance) < SMALL:
                return f"random pictures {'raise' if gain > 0 else 'lower'} it as much"
        if gain >= SMALL:
            return "its pictures speak for it"
        if gain <= -SMALL:
            return "its pictures speak against it"
        return "the text alone says as much"


@dataclass(frozen=True)
class Explanation:
    """A document as the pipeline left it, and the evidence of its entities.

    evidence: of the entities found with the pictures, in order, then of those found only without.
    """

    doc: Doc
    evidence: list[Evidence]


def explain(
    nlp: Language, doc: Doc | str, *, n_random: int = 20, top_k: int = 5, seed: int = 0
) -> Explanation:
    """Hold the entities of a document against what other pictures would make of them.

    The words and what the transformer says of them stay; what changes are the images that
    `visual_ner` sees. Random pictures are drawn from its own table, one for every word that has a
    voken.

    doc: a text, or a document that the pipeline has not seen.
    n_random: draws of random pictures.
    top_k: pictures a word to try, its own among them. None are tried without a retriever.
    seed: of the draws.
    raises ValueError: where the pipeline has no `visual_ner`.
    """
    ner = _tagger(nlp)
    doc = nlp(doc)
    if not len(doc):
        return Explanation(doc, [])
    own = get_token_values(doc, "voken")
    nothing: list[str | None] = [None] * len(doc)
    scores = ner.tag_scores([_with_vokens(doc, own), _with_vokens(doc, nothing)])
    found, bare = scores.entities()
    spans = list(dict.fromkeys([*found, *bare]))
    if not spans:
        return Explanation(doc, [])
    rivals = [(start, end, label) for start, end, _ in spans for label in ner.labels]
    values, _ = scores.probabilities([rivals, []], ner.temperature)
    by_label = values.reshape(len(spans), -1)
    draws = _draw(ner, own, n_random, seed) if any(own) else []
    exchanged = _next_best(nlp, doc, own, spans, top_k)
    variants = [own, nothing, *draws]
    variants += [[*own[:token], voken, *own[token + 1 :]] for token, voken, _ in exchanged]
    probabilities: list[np.ndarray] = []
    entities: list[list[Span]] = []
    for batch in minibatch(variants, COPIES):
        scores = ner.tag_scores([_with_vokens(doc, vokens) for vokens in batch])
        probabilities += scores.probabilities([spans] * len(batch), ner.temperature)
        entities += scores.entities()
    evidence = []
    for number, (start, end, label) in enumerate(spans):
        readings = [
            Reading(
                float(values[number]),
                tuple(other for other in others if other[0] < end and other[1] > start),
            )
            for values, others in zip(probabilities, entities, strict=True)
        ]
        first_exchanged = 2 + len(draws)
        evidence.append(
            Evidence(
                (start, end, label),
                readings[0],
                readings[1],
                tuple(readings[2:first_exchanged]),
                tuple(
                    Alternative(token, voken, score, reading)
                    for (token, voken, score), reading in zip(
                        exchanged, readings[first_exchanged:], strict=True
                    )
                    if start <= token < end
                ),
                {ner.labels[i]: float(by_label[number, i]) for i in np.argsort(-by_label[number])},
            )
        )
    return Explanation(doc, evidence)


def find_flips(nlp: Language, docs: Sequence[Doc]) -> list[tuple[list[Span], list[Span]]]:
    """The entities that a pipeline's tagger finds in documents with their vokens, and without.

    docs: as the pipeline left them; other components' entities do not count.
    raises ValueError: where the pipeline has no `visual_ner`.
    """
    ner = _tagger(nlp)
    bare = [_with_vokens(doc, [None] * len(doc)) for doc in docs]
    found = [ner.tag_scores(each).entities() for each in (docs, bare)]
    return list(zip(*found, strict=True))


def _tagger(nlp: Language) -> VisualNer:
    ner = find_tagger(nlp)
    if ner is None:
        components = ", ".join(nlp.pipe_names) or "no component"
        raise ValueError(f"There is no visual_ner to explain among {components}.")
    return ner


def _with_vokens(doc: Doc, vokens: Sequence[str | None]) -> Doc:
    """The document, and what a transformer or tok2vec left with it, with other vokens."""
    copy = blank_copy(doc)
    copy.tensor = doc.tensor
    set_token_values(copy, "voken", vokens)
    return copy


def _draw(
    ner: VisualNer, own: list[str | None], n_random: int, seed: int
) -> list[list[str | None]]:
    """Random pictures in the place of the vokens; none for a tagger without pictures."""
    if ner.images is None:
        return []
    rng = np.random.default_rng(seed)
    rows = rng.integers(len(ner.images.ids), size=(n_random, len(own)))
    return [
        [
            None if voken is None else ner.images.ids[row]
            for voken, row in zip(own, draw, strict=True)
        ]
        for draw in rows.tolist()
    ]


def _next_best(
    nlp: Language, doc: Doc, own: list[str | None], spans: list[Span], top_k: int
) -> list[tuple[int, str, float]]:
    """For each grounded word of an entity the other pictures that the retriever might have given.

    returns: (word, picture, score), best first.
    """
    retriever = find_retriever(nlp)
    if retriever is None or retriever.index is None:
        return []
    tokens = sorted({token for start, end, _ in spans for token in range(start, end) if own[token]})
    if not tokens:
        return []
    (queries,) = retriever.queries([doc])
    ids, scores = retriever.index.search(queries[tokens], top_k)
    least = -np.inf if retriever.threshold is None else retriever.threshold
    excluded = doc._.image_id if retriever.exclude_own else None
    return [
        (token, voken, float(score))
        for token, of_token, its_scores in zip(tokens, ids, scores, strict=True)
        for voken, score in zip(of_token, its_scores, strict=True)
        if voken is not None and voken not in (own[token], excluded) and score >= least
    ]
