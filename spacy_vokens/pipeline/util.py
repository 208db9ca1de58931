"""Batches by length, images lost before an evaluation, and finding the components of a pipeline."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

import spacy
from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc
from spacy.training import Example
from spacy_transformers.util import batch_by_length

from ..files import VokensError

logger = logging.getLogger(__name__)

PipeT = TypeVar("PipeT", bound=Pipe)

# Tokens per batch, including padding.
MAX_TOKENS = 4096


def batches_by_length(docs: Sequence[Sized]) -> Iterator[list[int]]:
    """Group documents of similar length, so that little of a batch is padding.

    Args:
        docs: The documents. Those without tokens are in no batch.

    Yields:
        The positions of a batch's documents. A batch has at most `MAX_TOKENS` tokens, unless it is
        one document.
    """
    filled = [i for i, doc in enumerate(docs) if len(doc)]
    for batch in batch_by_length([docs[i] for i in filled], MAX_TOKENS):
        yield [filled[i] for i in batch]


class OwnImages:
    """Warns, once, if predicted documents have not got the images that their references came with.

    spaCy's own readers and `spacy evaluate` make predicted documents from words alone.

    Args:
        name: Name of the component that needs the images.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._has_warned = False

    def check(self, examples: Iterable[Example]) -> None:
        """Look for references with an image whose predicted document has none.

        Args:
            examples: The documents.
        """
        if self._has_warned:
            return
        lost = [
            example.reference._.visual_image_id
            for example in examples
            if example.reference._.visual_image_id is not None
            and example.reference._.visual_image_id != example.predicted._.visual_image_id
        ]
        if lost:
            self._has_warned = True
            logger.warning(
                "%s: %d predicted documents do not have the image that their reference came with, "
                "for example %r, so they were annotated without it. Read the corpus with "
                "'spacy-vokens.Corpus.v1', and evaluate with 'spacy vokens evaluate' in place of "
                "'spacy evaluate'. This is reported only once.",
                self.name,
                len(lost),
                lost[0],
            )


def find_pipe(nlp: Language, kind: type[PipeT]) -> PipeT | None:
    """Find a component by its class, whatever its name.

    Args:
        nlp: The pipeline.
        kind: The class.

    Returns:
        The first enabled component of the class, or None.
    """
    return next((pipe for _, pipe in nlp.pipeline if isinstance(pipe, kind)), None)


def pipe_before(nlp: Language, pipe: Pipe, docs: Iterable[Doc]) -> Iterator[Doc]:
    """Let the enabled components before another one process documents.

    Args:
        nlp: The pipeline.
        pipe: The component that is not to process them.
        docs: The documents.

    Yields:
        The documents, in order.
    """
    before = list(takewhile(lambda name: nlp.get_pipe(name) is not pipe, nlp.pipe_names))
    with nlp.select_pipes(enable=before):
        yield from nlp.pipe(docs)


def load_with_pipe(model: str | Path, kind: type[PipeT]) -> tuple[Language, PipeT]:
    """Load a pipeline and find its component of a class.

    Args:
        model: Name of an installed pipeline, or its folder.
        kind: Class of the component.

    Returns:
        The pipeline and the component.

    Raises:
        OSError: If there is no such pipeline.
        VokensError: If it has no such component.
    """
    nlp = spacy.load(model)
    pipe = find_pipe(nlp, kind)
    if pipe is None:
        factories = {name: nlp.get_pipe_meta(name).factory for name in nlp.pipe_names}
        named = [
            name if name == factory else f"{name} made by {factory}"
            for name, factory in factories.items()
        ]
        components = ", ".join(named) or "none"
        wanted = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()
        raise VokensError(f"{model} has no {wanted} (its components: {components}).")
    return nlp, pipe
