from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_vokens.attributes import set_token_values
from spacy_vokens.corpus.conll import TaggedSentence
from spacy_vokens.corpus.convert import tagged_doc


@pytest.fixture
def make_docs() -> Callable[[], list[Doc]]:
    """Makes, in a vocabulary of their own, an annotated, a bare and an empty document."""

    def make() -> list[Doc]:
        vocab = Vocab()
        words, tags = ("RT", "Ann", "Lee", "\ufe0f", "Bonn"), ("O", "I-PER", "I-PER", "O", "B-LOC")
        annotated = tagged_doc(TaggedSentence(words, tags, "17_06_1"), vocab)
        annotated._.voken_index = "index"
        set_token_values(annotated, "voken", ["a", "b", None, None, "c"])
        set_token_values(annotated, "vokens", [[["a", 0.5]], [["b", 0.25]], None, None, []])
        bare = Doc(vocab, words=["No", "one", "."], spaces=[True, False, False])
        return [annotated, bare, Doc(vocab)]

    return make


@pytest.fixture
def as_ordinary_user() -> Callable:
    """A context in which the process may not read what its files' permissions forbid."""

    @contextmanager
    def drop() -> Iterator[None]:
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(user)

    return drop
