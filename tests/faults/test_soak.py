"""A long stream of documents takes no more memory than a short one."""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import spacy

from tests.conftest import WORDS

N_DOCS = 200_000
N_WARM = 20_000
ALLOWED_MB = 30


@pytest.mark.slow
def test_200_000_documents(pipeline_path: Path) -> None:
    """The words come from a small vocabulary: spaCy keeps every new string that it meets."""
    nlp = spacy.load(pipeline_path)
    draw = random.Random(0)

    def texts() -> Iterator[str]:
        for _ in range(N_DOCS):
            yield " ".join(draw.choices(WORDS, k=draw.randint(0, 30)))

    process = psutil.Process()
    memory_mb: list[float] = []
    n_tokens = 0
    for number, doc in enumerate(nlp.pipe(texts(), batch_size=256), start=1):
        n_tokens += len(doc)
        if number % N_WARM == 0:
            gc.collect()
            memory_mb.append(process.memory_info().rss / 1e6)
    print(f"{N_DOCS} documents, {n_tokens} tokens; MB after each {N_WARM}: {memory_mb}")
    assert number == N_DOCS
    assert max(memory_mb) - memory_mb[0] < ALLOWED_MB
