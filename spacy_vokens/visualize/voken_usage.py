"""How often a corpus retrieves the pictures of a pool, and for which words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spacy.tokens import Doc
from spacy.vocab import Vocab

from ..corpus.docbin import load_docs
from ..extensions import get_token_values, index_pool
from ..images.pool import ImagePool


@dataclass(frozen=True)
class VokenUsage:
    """How often each picture is a voken.

    n_tokens: of the corpora, those without a voken too.
    counts: number of tokens by voken; of the pictures that are one.
    words: the lower-cased words of each voken with their number.
    """

    n_tokens: int
    counts: Counter[str]
    words: dict[str, Counter[str]]

    @classmethod
    def of_docs(cls, docs: Iterable[Doc]) -> VokenUsage:
        """Count the vokens of documents."""
        pairs: Counter[tuple[str | None, str]] = Counter()
        for doc in docs:
            # Not `lower_`: it is empty where the vocabulary is of no language.
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
        """Number of the tokens that have a voken."""
        return self.counts.total()

    def most_frequent(self, n: int) -> list[str]:
        """The n vokens that most tokens have, the most frequent first; ties by their ids."""
        return _most_frequent(self.counts, n)

    def top_words(self, voken: str, n: int) -> list[tuple[str, int]]:
        """The n most frequent words of a voken with their number; ties in alphabetical order."""
        words = self.words[voken]
        return [(word, words[word]) for word in _most_frequent(words, n)]


def read_usage(corpora: Sequence[Path], pool: ImagePool) -> VokenUsage:
    """Count the vokens of corpora, taken together.

    corpora: `.spacy` files, or folders of them.
    pool: what the vokens were retrieved from.
    raises FileNotFoundError: where a corpus is missing.
    raises ValueError: naming the corpus that is damaged, or has no vokens, or those of another
        pool.
    """
    docs = []
    for corpus in corpora:
        found = load_docs(corpus, Vocab())
        _check_vokens(found, corpus, pool)
        docs += found
    return VokenUsage.of_docs(docs)


def _check_vokens(docs: list[Doc], corpus: Path, pool: ImagePool) -> None:
    vokens = {v for doc in docs for v in get_token_values(doc, "voken") if v is not None}
    if not vokens:
        raise ValueError(f"{corpus} has no vokens: run 'spacy vokens vokenize' on it.")
    fix = (
        "Give the pool that its vokens were retrieved from, or run 'spacy vokens index' with this "
        "one and 'spacy vokens vokenize'."
    )
    try:
        pool.rows(sorted(vokens))
    except ValueError as error:
        raise ValueError(f"{corpus} does not fit: {error}. {fix}") from error
    # Equal ids do not tell: of a larger pool, more pictures could have been retrieved.
    other = {index_pool(doc) for doc in docs} - {None, pool.hash[:16]}
    if other:
        raise ValueError(
            f"{corpus} has vokens of pool {', '.join(sorted(map(str, other)))}, but {pool.path} is "
            f"{pool.hash[:16]}. {fix}"
        )


def _most_frequent(counts: Counter[str], n: int) -> list[str]:
    return sorted(counts, key=lambda name: (-counts[name], name))[:n]
