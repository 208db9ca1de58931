"""Time the epochs of spaCy's own training loop. Used by the other benchmarks; not run alone."""

from __future__ import annotations

import time

from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.training.loop import create_train_batches, train_while_improving
from spacy.util import registry, resolve_dot_names


def spacy_epochs(nlp: Language, n: int) -> list[float]:
    """Return the seconds of n epochs over the pipeline's training corpus, without evaluation.

    Args:
        nlp: An initialized pipeline with its training config.
        n: Number of epochs.
    """
    config = nlp.config.interpolate()
    T = registry.resolve(config["training"], schema=ConfigSchemaTraining)
    (corpus,) = resolve_dot_names(config, [T["train_corpus"]])
    batches = create_train_batches(nlp, corpus, T["batcher"], max_epochs=n)
    seconds: list[float] = []
    epoch, start = 0, time.perf_counter()
    loop = train_while_improving(
        nlp,
        T["optimizer"],
        batches,
        lambda: (0.0, {}),
        dropout=T["dropout"],
        eval_frequency=10**9,
        accumulate_gradient=1,
        patience=0,
        max_steps=0,
        exclude=[],
        annotating_components=[],
        before_update=None,
    )
    for _, info, _ in loop:
        if info["epoch"] != epoch:
            now = time.perf_counter()
            seconds.append(now - start)
            epoch, start = info["epoch"], now
    seconds.append(time.perf_counter() - start)
    return seconds
