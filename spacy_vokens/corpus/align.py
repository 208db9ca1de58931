"""Let a retriever read the scene of a text from the pipeline's own transformer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import spacy
from spacy.util import fix_random_seed
from tqdm import tqdm

from ..files import VokensError, sole_writer
from ..images.pool import ImagePool
from ..pipeline.serialize import save_pipeline
from ..pipeline.util import find_pipe, pipe_before
from ..pipeline.voken_retriever import VokenRetriever
from .docbin import load_docs


@dataclass(frozen=True)
class AlignReport:
    """What `align` did.

    Attributes:
        n_texts: How many texts were read.
        loss: Mean loss of the last tenth of the updates.
    """

    n_texts: int
    loss: float


def align(
    model: str | Path,
    pairs: Path,
    pool: Path,
    output: Path,
    *,
    steps: int = 600,
    limit: int = 10_000,
    seed: int = 0,
) -> AlignReport:
    """Train the scene part of a retriever for the transformer that is before it in a pipeline.

    The transformer reads the texts once and stays as it is. So does the word part of the retriever.

    Args:
        model: Name of an installed pipeline with a transformer and a `voken_retriever`, or its
            folder.
        pairs: A `.spacy` file with texts that name their image, as `convert` makes it of captions.
        pool: Folder of the image pool. The pipeline retrieves from it afterwards.
        output: Folder for the pipeline. It may be the same folder.
        steps: Number of updates.
        limit: Largest number of texts that are read, drawn at random; 0 for all.
        seed: Decides what is drawn at random: the texts, their order and the initial weights.

    Returns:
        How many texts were read, and the loss at the end.

    Raises:
        OSError: If there is no such pipeline, corpus or pool.
        FileExistsError: If `output` holds anything other than a pipeline.
        BlockingIOError: If another process is writing `output`.
        VokensError: If the pipeline lacks one of the components, or if the pool or the corpus
            cannot be used.
    """
    with sole_writer(output):
        nlp = spacy.load(model)
        retriever = find_pipe(nlp, VokenRetriever)
        if retriever is None:
            raise VokensError(f"{model} has no voken_retriever.")
        opened = ImagePool.open(pool)
        docs = [doc for doc in load_docs(pairs, nlp.vocab) if doc._.visual_image_id in opened]
        if limit and len(docs) > limit:
            drawn = np.random.default_rng(seed).choice(len(docs), limit, replace=False)
            docs = [docs[i] for i in np.sort(drawn)]
        n_texts = len(docs)
        # Each is given away, so that what the transformer says about it is not kept.
        stream = (docs.pop() for _ in range(n_texts))
        read = pipe_before(nlp, retriever, stream)
        progress = tqdm(read, total=n_texts, unit=" texts", disable=None, leave=False)
        fix_random_seed(seed)
        updates = retriever.add_scene_part(progress, opened, steps=steps, seed=seed)
        losses = list(tqdm(updates, total=steps, unit=" updates", disable=None, leave=False))
        save_pipeline(nlp, output)
    return AlignReport(n_texts, float(np.mean(losses[-max(1, steps // 10) :])))
