"""What the runs on a dataset are scored against and analysed by, read from its corpus once."""

from __future__ import annotations

from collections import Counter

from spacy.tokens import Doc

from ..extensions import get_token_values
from ..metrics.ner import gold_tags, lenient_spans, strict_spans
from .runs import Gold, hash_json


def make_gold(
    dataset: str, split: str, docs: list[Doc], training: list[Doc], pool_size: int
) -> Gold:
    """Read a corpus.

    docs: the documents to score on, with vokens.
    training: the documents that the taggers learn from.
    pool_size: number of images that the vokens were retrieved from.
    """
    # An extra of its own needs this one alone.
    from textblob.en import parser

    tags = [gold_tags(doc) for doc in docs]
    strict = [strict_spans(of_doc) for of_doc in tags]
    known = {ent.text.lower() for doc in training for ent in doc.ents}
    words = [[token.text for token in doc] for doc in docs]
    return Gold(
        dataset=dataset,
        split=split,
        sha256=hash_tags(words, tags),
        ids=[doc._.image_id for doc in docs],
        lengths=[len(doc) for doc in docs],
        strict=strict,
        lenient=[lenient_spans(of_doc) for of_doc in tags],
        seen=[
            [doc[start:end].text.lower() in known for start, end, _ in spans]
            for doc, spans in zip(docs, strict, strict=True)
        ],
        pos=[[tag for _, tag in parser.find_tags(of_doc)] for of_doc in words],
        voken_scores=[thousandths(get_token_values(doc, "voken_score")) for doc in docs],
        vokens=dict(
            sorted(Counter(v for doc in docs for v in get_token_values(doc, "voken") if v).items())
        ),
        pool_size=pool_size,
    )


def thousandths(values: list[float | None]) -> list[int | None]:
    """The values rounded to thousandths, so that they are short in JSON."""
    return [None if value is None else round(1000 * value) for value in values]


def hash_docs(docs: list[Doc]) -> str:
    """SHA-256 of a corpus's tokens and tags."""
    return hash_tags([[token.text for token in doc] for doc in docs], [*map(gold_tags, docs)])


def hash_tags(words: list[list[str]], tags: list[list[str]]) -> str:
    """SHA-256 of a corpus's tokens and tags, one list a document."""
    return hash_json([words, tags])
