"""Score a pipeline on a corpus, with the corpus's own tokens, images and raw tags."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from tqdm import tqdm

from ..corpus.reader import Corpus
from ..files import VokensError, sha256_file
from ..images.pool import ImagePool
from ..pipeline.scorer import score_vokens
from ..pipeline.util import load_with_pipe, pipe_before
from ..pipeline.voken_retriever import VokenRetriever
from ..stems import stemmer_of
from .image_texts import find_texts
from .ner import SpanScores, bio_tags, gold_tags, score_tags
from .retrieval import chance_scores
from .word_hit import MIN_IMAGES, image_stems, word_hit

SCORER = "spacy_vokens.scoring.ner.score_tags"


def evaluate(model: str | Path, corpus: Path) -> dict[str, Any]:
    """Score the entities that a pipeline finds.

    Args:
        model: Name of an installed pipeline, or its folder.
        corpus: The `.spacy` file to score on.

    Returns:
        What was scored (`model`, `corpus`, `corpus_sha256`, `docs`, `tokens`, `scorer`) and the
        scores. In the strict reading of the corpus's tags these are `ents_p`, `ents_r`, `ents_f`,
        `ents_mentions`, `ents_tp`, `ents_fp`, `ents_fn`, `ents_weighted_f` (mean F1 of the types,
        weighted by their mentions) and `ents_per_type`; in the lenient reading the same with the
        prefix `ents_lenient_`.

    Raises:
        VokensError: If the corpus has no entities, or is damaged.
        OSError: If the pipeline or the corpus is missing.
    """
    nlp = spacy.load(model)
    examples = list(Corpus(corpus)(nlp))
    if not any(example.reference.ents for example in examples):
        raise VokensError(
            f"{corpus} has no entities to score. `spacy vokens evaluate-retrieval` scores the "
            "images that a pipeline finds."
        )
    scores = score_entities(nlp, examples)
    report = {**_describe(model, corpus, examples), "scorer": SCORER}
    for prefix, name in (("ents", "strict"), ("ents_lenient", "lenient")):
        report |= {f"{prefix}_{key}": value for key, value in scores[name].to_dict().items()}
    return report


def evaluate_retrieval(
    model: str | Path,
    corpus: Path,
    pool: Path | None = None,
    *,
    captions: Sequence[Path] = (),
) -> dict[str, Any]:
    """Score how well a pipeline's retriever finds the images that a corpus names.

    With a pool, recall is that of the images alone, without the pool's texts of them, because these
    may be the very texts of the corpus.

    Also measures word-hit, how often a word's image has a text with that word, if texts of the
    images are known.

    Args:
        model: Name of an installed pipeline with a `voken_retriever`, or its folder.
        corpus: The `.spacy` file to score on.
        pool: Folder of the image pool to search. Defaults to the images that the retriever has
            indexed.
        captions: `.spacy` files, or folders of them, whose documents are texts of the images that
            they name. Defaults to the texts that the images' records have, or else to the `.spacy`
            files in the corpus's folder.

    Returns:
        What was scored (`model`, `corpus`, `corpus_sha256`, `docs`, `tokens`); `retrieval`: the
        number of `candidates`, the images to choose from; the `scores`, `voken_r1` and so on; and
        the scores by `chance`; and `word_hit`, what `score_word_hit` returns. If that is None,
        `no_word_hit` says why.

    Raises:
        VokensError: If the pipeline has no retriever, the corpus names none of the images, or a
            file is damaged.
        OSError: If the pipeline, the corpus, the pool or the captions are missing.
    """
    nlp, retriever = load_with_pipe(model, VokenRetriever)
    examples = list(Corpus(corpus)(nlp))
    for example, doc in zip(
        examples, pipe_before(nlp, retriever, (eg.predicted for eg in examples)), strict=True
    ):
        example.predicted = doc
    opened = None if pool is None else ImagePool.open(pool)
    if opened is not None:
        # The texts of the pool's images may be those that are searched with.
        retriever.set_pool(opened, use_texts=False)
    found = score_retrieval(retriever, examples)
    if opened is not None and any(opened.texts):
        retriever.set_pool(opened)
    if found is None:
        images = f"images of the pool {pool}" if pool else f"images that {model} has indexed"
        raise VokensError(f"{corpus} names no {images}: there is nothing to score.")
    report = {**_describe(model, corpus, examples), "retrieval": found}
    index = retriever.index
    texts = find_texts(nlp, [] if index is None else index.records, corpus, captions)
    report["word_hit"] = score_word_hit(nlp, retriever, examples, texts)
    if report["word_hit"] is None:
        report["no_word_hit"] = (
            f"No word of {corpus} is in the texts of at least {MIN_IMAGES} images."
            if any(index is not None and image_id in index for image_id, _ in texts)
            else "No texts of the images are known. Give them to 'embed-images' with --captions or "
            "--texts, or name captions with --captions here: .spacy files whose documents name "
            "their images."
        )
    return report


def score_entities(nlp: Language, examples: Iterable[Example]) -> dict[str, SpanScores]:
    """Score the entities that a pipeline finds, in both readings of the corpus's tags.

    Args:
        nlp: A pipeline that sets `Doc.ents`.
        examples: References, and predicted documents, which go through the pipeline.

    Returns:
        The scores by the names of the readings, "strict" and "lenient".
    """
    examples = list(examples)
    gold = [gold_tags(example.reference) for example in examples]
    docs = nlp.pipe(example.predicted for example in examples)
    progress = tqdm(docs, total=len(examples), unit=" docs", disable=None, leave=False)
    return score_tags(gold, [bio_tags(doc) for doc in progress])


def score_retrieval(
    retriever: VokenRetriever, examples: Sequence[Example]
) -> dict[str, Any] | None:
    """Score how well a retriever finds the images that the references name.

    Args:
        retriever: An indexed retriever.
        examples: Examples whose references name their images.

    Returns:
        The number of `candidates`, the images to choose from; the `scores`, `voken_r1` and so on;
        and those by `chance`. None if the index has none of the images.
    """
    if retriever.index is None:
        return None
    named = {example.reference._.visual_image_id for example in examples}
    n_candidates = sum(image_id in retriever.index for image_id in named)
    if not n_candidates:
        return None
    return {
        "candidates": n_candidates,
        "scores": score_vokens(examples, retriever=retriever),
        "chance": chance_scores(n_candidates),
    }


def score_word_hit(
    nlp: Language,
    retriever: VokenRetriever,
    examples: Sequence[Example],
    texts: Iterable[tuple[str, Doc]],
) -> dict[str, Any] | None:
    """Measure how often the image that a retriever finds for a word has a text with that word.

    The image that a document came with does not count: the next best is taken.

    Args:
        nlp: The pipeline, for its language.
        retriever: An indexed retriever.
        examples: The documents. The predicted ones get vokens.
        texts: Ids of images, each with a text. Other images than those of the index are ignored.

    Returns:
        The number of `images` in the index and of `images_with_texts` among them, and the figures
        of `WordHit` by their names: `voken_word_hit` and so on. None if there is no index, or if no
        word is in the texts of at least `MIN_IMAGES` images.
    """
    index = retriever.index
    if index is None:
        return None
    stem_of = stemmer_of(nlp.lang)
    stems = image_stems(((image_id, doc) for image_id, doc in texts if image_id in index), stem_of)
    if not stems:
        return None
    settings = retriever.exclude_own, retriever.overwrite
    retriever.exclude_own = retriever.overwrite = True
    try:
        docs = retriever.pipe(example.predicted for example in examples)
        progress = tqdm(docs, total=len(examples), unit=" docs", disable=None, leave=False)
        found = word_hit(progress, stems, n_images=len(index.ids), stem_of=stem_of)
    finally:
        retriever.exclude_own, retriever.overwrite = settings
    if found is None:
        return None
    return {"images": len(index.ids), "images_with_texts": len(stems), **found.to_dict()}


def _describe(model: str | Path, corpus: Path, examples: Sequence[Example]) -> dict[str, Any]:
    return {
        "model": str(model),
        "corpus": str(corpus),
        "corpus_sha256": sha256_file(corpus),
        "docs": len(examples),
        "tokens": sum(len(example.predicted) for example in examples),
    }
