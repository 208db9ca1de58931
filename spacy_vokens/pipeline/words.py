"""From tokens to the words that the tagger tags, and back.

Words are the tokens that the text encoder has a vector for, without white space.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from spacy.tokens import Doc

logger = logging.getLogger(__name__)


def spans_of_tokens(spans: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Convert spans of words to spans of tokens.

    Args:
        spans: Integers (n_spans, 3): first word, the one after the last word, and label index.
        words: The token that each word is, (n_words,).

    Returns:
        The same with tokens in place of words, (n_spans, 3).
    """
    starts, lasts = words[spans[:, 0]], words[spans[:, 1] - 1]
    return np.column_stack([starts, lasts + 1, spans[:, 2]])


def tags_of_words(tags: Sequence[int], words: np.ndarray) -> list[int]:
    """Select the tags of words. An entity that began with another token begins with its first word.

    Args:
        tags: A tag id for each token, as in the `tag_set` of the labels; or `MISSING`.
        words: The token that each word is.

    Returns:
        A tag id for each word.
    """
    if len(words) == len(tags):
        return list(tags)
    ids = np.array(tags)
    is_begin = (ids > 0) & (ids % 2 == 1)
    entities = np.where(ids > 0, is_begin.cumsum(), 0)[words]
    ids = ids[words]
    # A word with an inside tag that is the first word of its entity.
    is_late = (np.diff(entities, prepend=0) != 0) & (ids > 0) & (ids % 2 == 0)
    return (ids - is_late).tolist()


class LostWords:
    """Warns, once, about words that a text encoder has no vector for.

    Other tokens, such as white space and variation selectors, often have none, because tokenizers
    drop them. A word has none if its span has more word pieces than the encoder takes.

    Args:
        name: Name of the component that needs the vectors.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._has_warned = False

    def check(self, docs: Sequence[Doc], tokens: Sequence[np.ndarray]) -> None:
        """Look for words without a vector.

        Args:
            docs: The documents.
            tokens: Per document, the indices of the tokens that have a vector.
        """
        if self._has_warned:
            return
        lost = []
        for doc, seen in zip(docs, tokens, strict=True):
            if len(seen) < len(doc):
                others = np.setdiff1d(np.arange(len(doc)), seen).tolist()
                if words := [doc[i].text for i in others if _is_word(doc[i].text)]:
                    lost.append(words)
        if lost:
            self._has_warned = True
            logger.warning(
                "%s: the text encoder has no vector for %d words in %d of %d documents, for "
                "example %r, usually because they have more word pieces than it takes at a time. "
                "To have every word read, use 'spacy-vokens.piece_spans.v1' as get_spans. This is "
                "reported only once.",
                self.name,
                sum(map(len, lost)),
                len(lost),
                len(docs),
                lost[0][0],
            )


def _is_word(text: str) -> bool:
    return any(character.isalnum() for character in text)
