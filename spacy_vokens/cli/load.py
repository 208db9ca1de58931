"""Load the pipeline that a command was given."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from spacy.language import Language

    from ..pipeline.voken_retriever import VokenRetriever


def load_with_retriever(model: str) -> tuple[Language, VokenRetriever]:
    """Load a pipeline, and find its `voken_retriever`.

    raises OSError: when there is no such pipeline.
    raises ValueError: when it has no `voken_retriever`.
    """
    import spacy

    nlp = spacy.load(model)
    if not nlp.has_pipe("voken_retriever"):
        components = ", ".join(nlp.pipe_names) or "none"
        raise ValueError(f"{model} has no voken_retriever (its components: {components}).")
    return nlp, cast("VokenRetriever", nlp.get_pipe("voken_retriever"))
