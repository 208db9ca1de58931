"""Load the pipeline that a command was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spacy.language import Language

    from ..pipeline.voken_retriever import VokenRetriever


def load_with_retriever(model: str) -> tuple[Language, VokenRetriever]:
    """Load a pipeline, and find its retriever.

    raises OSError: when there is no such pipeline.
    raises ValueError: when it has no retriever.
    """
    import spacy

    from ..pipeline.voken_retriever import find_retriever

    nlp = spacy.load(model)
    retriever = find_retriever(nlp)
    if retriever is None:
        components = ", ".join(nlp.pipe_names) or "none"
        raise ValueError(f"{model} has no voken_retriever (its components: {components}).")
    return nlp, retriever
