"""Turn tagged sentences and captions into documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from spacy.language import Language
from spacy.tokens import Doc
from spacy.vocab import Vocab

from .. import extensions  # noqa: F401  # the attributes set below
from ..images.decode import picture_id
from ..metrics.ner import repair_bio
from .captions import Caption
from .conll import TaggedSentence


def tagged_doc(sentence: TaggedSentence, vocab: Vocab) -> Doc:
    """A document with the sentence's own words, joined by spaces, and its entities.

    The entities are those of `repair_bio`; `Doc._.raw_tags` keeps the tags as the file has them,
    and `Doc._.image_id` the picture's id. Words keep white space inside them.
    """
    spaces = [True] * (len(sentence.words) - 1) + [False]
    words, tags = list(sentence.words), list(sentence.tags)
    doc = Doc(vocab, words=words, spaces=spaces, ents=repair_bio(tags))
    doc._.raw_tags = tags
    if sentence.image_id is not None:
        doc._.image_id = picture_id(sentence.image_id)
    return doc


def caption_doc(caption: Caption, nlp: Language) -> Doc:
    """A document with the caption as `nlp` tokenises it, and `Doc._.image_id`."""
    doc = nlp.make_doc(caption.text)
    doc._.image_id = picture_id(caption.image)
    return doc


@dataclass(frozen=True)
class Summary:
    """What a converted corpus holds.

    docs, tokens: how many.
    entities: mentions of every type.
    repaired: ill-formed `I-` tags that became `B-` for training.
    images: different pictures named.
    """

    docs: int
    tokens: int
    entities: dict[str, int]
    repaired: int
    images: int


def summarize(docs: Iterable[Doc]) -> Summary:
    """Count what the documents hold."""
    n_docs = n_tokens = n_repaired = 0
    entities: Counter[str] = Counter()
    images: set[str] = set()
    for doc in docs:
        n_docs += 1
        n_tokens += len(doc)
        entities.update(ent.label_ for ent in doc.ents)
        if (tags := doc._.raw_tags) is not None:
            n_repaired += sum(map(str.__ne__, tags, repair_bio(tags)))
        if (image_id := doc._.image_id) is not None:
            images.add(image_id)
    return Summary(n_docs, n_tokens, dict(sorted(entities.items())), n_repaired, len(images))
