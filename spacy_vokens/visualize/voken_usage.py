"""Count how often corpora retrieve the images of a pool, and for which words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spacy.tokens import Doc
from spacy.vocab import Vocab

from ..attributes import get_token_values
from ..corpus.docbin import load_docs
from ..files import VokensError
from ..identity import IndexMark
from ..images.pool import ImagePool


@dataclass(frozen=True)
class VokenUsage:
    """How often each image is a voken.

    Attributes:
        n_tokens: Number of tokens, with or without a voken.
        counts: Number of tokens per voken.
        words: Per voken, its lower-cased words with their number.
    """

    n_tokens: int
    counts: Counter[str]
    words: dict[str, Counter[str]]

    @classmethod
    def of_docs(cls, docs: Iterable[Doc]) -> VokenUsage:
        """Count the vokens of documents."""
        pairs: Counter[tuple[str | None, str]] = Counter()
        for doc in docs:
            # Not `lower_`, which is empty if the vocabulary has no language.
            words = (token.text.lower() for token in doc)
            pairs.update(zip(get_token_values(doc, "voken"), words, strict=True))
        counts: Counter[str] = Counter()
        by_voken: dict[str, Counter[str]] = {}
        for (voken, word), count in pairs.items():
            if voken is not None:
                counts[voken] += count
                by_voken.setdefault(voken, Counter())[word] = count
        return cls(pairs.total(), counts, by_voken)

    @property
    def n_vokens(self) -> int:
        """Number of tokens that have a voken."""
        return self.counts.total()

    def most_frequent(self, n: int) -> list[str]:
        """Return the n most frequent vokens, most frequent first; ties are ordered by id."""
        return _most_frequent(self.counts, n)

    def top_words(self, voken: str, n: int) -> list[tuple[str, int]]:
        """Return the n most frequent words of a voken with their number; ties alphabetically."""
        words = self.words[voken]
        return [(word, words[word]) for word in _most_frequent(words, n)]


def read_usage(corpora: Sequence[Path], pool: ImagePool) -> VokenUsage:
    """Count the vokens of corpora, taken together.

    Args:
        corpora: `.spacy` files, or folders of them.
        pool: The pool that the vokens were retrieved from.

    Returns:
        The counts.

    Raises:
        FileNotFoundError: If a corpus is missing.
        VokensError: If a corpus is damaged, has no vokens, or has vokens of another pool.
    """
    docs = []
    for corpus in corpora:
        loaded = load_docs(corpus, Vocab())
        _check_vokens(loaded, corpus, pool)
        docs += loaded
    return VokenUsage.of_docs(docs)


def _check_vokens(docs: list[Doc], corpus: Path, pool: ImagePool) -> None:
    vokens = {v for doc in docs for v in get_token_values(doc, "voken") if v is not None}
    if not vokens:
        raise VokensError(f"{corpus} has no vokens: run 'spacy vokens vokenize' on it.")
    fix = (
        "Give the pool that its vokens were retrieved from, or run 'spacy vokens index' with this "
        "pool and then 'spacy vokens vokenize'."
    )
    try:
        pool.rows(sorted(vokens))
    except ValueError as error:
        raise VokensError(f"{corpus} does not fit the pool: {error}. {fix}") from error
    # Known ids are not enough: a larger pool with the same ids gives other counts.
    marks = [IndexMark.parse(doc._.voken_index) for doc in docs]
    other = {mark.pool for mark in marks if mark is not None} - {pool.id.short}
    if other:
        raise VokensError(
            f"{corpus} has vokens of pool {', '.join(sorted(map(str, other)))}, but {pool.path} is "
            f"{pool.id.short}. {fix}"
        )


def _most_frequent(counts: Counter[str], n: int) -> list[str]:
    return sorted(counts, key=lambda name: (-counts[name], name))[:n]
