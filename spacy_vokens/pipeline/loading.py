"""Find the retriever and the tagger of a pipeline, and load a pipeline that has one."""

from __future__ import annotations

from pathlib import Path

import spacy
from spacy.language import Language

from .visual_ner import VisualNer
from .voken_retriever import VokenRetriever


def find_retriever(nlp: Language) -> VokenRetriever | None:
    """The first retriever of a pipeline, by whatever name; None where it has none."""
    return next((pipe for _, pipe in nlp.pipeline if isinstance(pipe, VokenRetriever)), None)


def find_tagger(nlp: Language) -> VisualNer | None:
    """The first `visual_ner` of a pipeline, by whatever name; None where it has none."""
    return next((pipe for _, pipe in nlp.pipeline if isinstance(pipe, VisualNer)), None)


def load_with_retriever(model: str | Path) -> tuple[Language, VokenRetriever]:
    """Load a pipeline, and find its retriever.

    raises OSError: when there is no such pipeline.
    raises ValueError: when it has no retriever.
    """
    nlp = spacy.load(model)
    retriever = find_retriever(nlp)
    if retriever is None:
        factories = {name: nlp.get_pipe_meta(name).factory for name in nlp.pipe_names}
        named = [
            name if name == factory else f"{name} made by {factory}"
            for name, factory in factories.items()
        ]
        components = ", ".join(named) or "none"
        raise ValueError(f"{model} has no voken_retriever (its components: {components}).")
    return nlp, retriever
