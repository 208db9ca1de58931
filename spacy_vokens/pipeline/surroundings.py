"""What a tagger needs of the components before it."""

from __future__ import annotations

from collections.abc import Sequence

from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.pipeline.tok2vec import Tok2VecListener
from spacy.tokens import Doc
from spacy_transformers.layers.listener import TransformerListener

from ..retrieval.index import VokenIndex


def check_retriever(tagger: TrainablePipe, pool_hash: str, nlp: Language | None) -> None:
    """The last retriever before a tagger, frozen or not, must have indexed the tagger's pool.

    raises ValueError: where it has not.
    """
    others = pool_hash
    for name, pipe in nlp.components if nlp is not None else ():
        if pipe is tagger:
            break
        # Components of others may call anything an index.
        if isinstance(index := getattr(pipe, "index", None), VokenIndex):
            retriever, others = name, index.meta["pool_hash"]
    if others != pool_hash:
        raise ValueError(
            f"{tagger.name} was given image features of pool {pool_hash[:16]}, but {retriever} has "
            f"indexed pool {others[:16]}. Give both the same pool."
        )


def require_upstream(tagger: TrainablePipe, docs: Sequence[Doc]) -> None:
    """Where nothing has run that a tagger listens to, a listener gives zeros and says nothing.

    raises ValueError: there.
    """
    layers = {type(node) for node in tagger.model.walk()}
    for doc in filter(len, docs):
        if (TransformerListener in layers and doc._.trf_data is None) or (
            Tok2VecListener in layers and not doc.tensor.size
        ):
            raise ValueError(
                f"{tagger.name} listens to a transformer or tok2vec, and the documents have "
                "nothing of one: put the one that it was trained with before it, and no component "
                "after it that removes what it left, as 'doc_cleaner' does."
            )
