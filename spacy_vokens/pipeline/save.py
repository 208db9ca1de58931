"""Save a pipeline: whole or not at all, and smaller where that is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from spacy.language import Language
from spacy_transformers.layers.hf_shim import HFShim
from thinc.api import Model

from ..files import folder_written_aside


def save_pipeline(nlp: Language, path: Path) -> None:
    """Write a pipeline aside and move it into place, over an older pipeline if there is one.

    What is written tells nothing of the folders that its transformers were loaded from: equal
    pipelines are stored as equal bytes.

    raises FileExistsError: where `path` holds something that is no pipeline.
    """
    for shim in _transformers(nlp):
        shim._model.config._name_or_path = ""
    with folder_written_aside(path, marker="meta.json", overwrite=True) as aside:
        nlp.to_disk(aside)


def halve_transformers(nlp: Language) -> int:
    """Round the weights of all transformers to half precision, in place.

    What is saved then takes half the room; loading makes single precision of it.

    returns: how many transformers there were.
    """
    shims = list(_transformers(nlp))
    for shim in shims:
        shim._model.half()
    return len(shims)


def _transformers(nlp: Language) -> Iterator[HFShim]:
    for _, pipe in nlp.pipeline:
        model = getattr(pipe, "model", None)
        for node in model.walk() if isinstance(model, Model) else ():
            yield from (shim for shim in node.shims if isinstance(shim, HFShim))
