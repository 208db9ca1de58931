"""Read from a dataset's corpora what its runs are scored against and analyzed by."""

from __future__ import annotations

from collections import Counter

from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_vokens.attributes import get_token_values
from spacy_vokens.corpus.docbin import load_docs
from spacy_vokens.images.pool import ImagePool
from spacy_vokens.scoring.ner import gold_tags, lenient_spans, strict_spans

from .grid import Grid
from .hashes import hash_tags
from .runs import Gold


def read_gold(grid: Grid, dataset: str) -> Gold:
    """Read the gold entities of a dataset, on the grid's split.

    Args:
        grid: The grid.
        dataset: Name of the dataset.

    Raises:
        FileNotFoundError: If a corpus is missing.
        VokensError: If a corpus or the pool is invalid.
    """
    declared = grid.datasets[dataset]
    vocab = Vocab()
    docs, training = (load_docs(declared.path(split), vocab) for split in (grid.split, "train"))
    return make_gold(dataset, grid.split, docs, training, len(ImagePool.open(declared.pool)))


def make_gold(
    dataset: str, split: str, docs: list[Doc], training: list[Doc], pool_size: int
) -> Gold:
    """Collect the gold entities of documents.

    Args:
        dataset: Name of the dataset.
        split: Name of the split.
        docs: The documents to score on, with vokens.
        training: The documents that the taggers learn from.
        pool_size: Number of images in the pool that the vokens come from.
    """
    # Imported here, since it is the only use of this dependency.
    from textblob.en import parser

    tags = [gold_tags(doc) for doc in docs]
    strict = [strict_spans(doc_tags) for doc_tags in tags]
    known = {ent.text.lower() for doc in training for ent in doc.ents}
    words = [[token.text for token in doc] for doc in docs]
    return Gold(
        dataset=dataset,
        split=split,
        sha256=hash_tags(words, tags),
        ids=[doc._.visual_image_id for doc in docs],
        lengths=[len(doc) for doc in docs],
        strict=strict,
        lenient=[lenient_spans(doc_tags) for doc_tags in tags],
        seen=[
            [doc[start:end].text.lower() in known for start, end, _ in spans]
            for doc, spans in zip(docs, strict, strict=True)
        ],
        pos=[[tag for _, tag in parser.find_tags(doc_words)] for doc_words in words],
        voken_scores=[thousandths(get_token_values(doc, "voken_score")) for doc in docs],
        vokens=dict(
            sorted(Counter(v for doc in docs for v in get_token_values(doc, "voken") if v).items())
        ),
        pool_size=pool_size,
    )


def thousandths(values: list[float | None]) -> list[int | None]:
    """Round values to thousandths, which are short in JSON."""
    return [None if value is None else round(1000 * value) for value in values]
