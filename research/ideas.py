"""Make the pools and corpora for the ideas in `research/plans/screen.yml`.

They are made from the data of the profile `twitter2017` and the quickstart's vokenizer. An idea
about images is a pool with other features under the same IDs, so the control `permuted` works
unchanged. An idea about tokens is a pool with one image per token. Its permuted control is made
here, since the features must be permuted before they are combined.

Run in the project's folder: python research/ideas.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from spacy.tokens import Doc

from spacy_vokens.attributes import get_token_values, set_token_values
from spacy_vokens.corpus.docbin import load_docs, save_docs
from spacy_vokens.files import VokensError
from spacy_vokens.identity import EncoderId
from spacy_vokens.images.encoders import LITE0_FILE, LITE0_PACKAGE
from spacy_vokens.images.pool import ImagePool, ImageRecord, PoolContent
from spacy_vokens.index import VokenIndex
from spacy_vokens.pipeline.util import load_with_pipe
from spacy_vokens.pipeline.voken_retriever import VokenRetriever

SPLITS = ("train", "valid")
TAGGED = Path("corpus/twitter2017/ner")
POOL = Path("pool/twitter2017")
VOKENIZER = Path("training/twitter2017/vokenizer/model-best")
QUICKSTART_VOKENIZER = Path("training/quickstart/vokenizer/model-best")
CORPORA = Path("corpus/screen")
N_COMPONENTS = 16
TOP_K = 8

Features = NDArray[np.floating]
# The best images of a token, as (image ID, relevance score).
Ranking = list[tuple[str, float]]


def main() -> None:
    """Write `pool/screen-IDEA` for each idea, and `corpus/screen/IDEA` if its vokens differ too."""
    pool = ImagePool.open(POOL)
    features = np.asarray(pool.features, dtype=np.float32)
    components = principal_components(features)
    nlp, retriever = load_with_pipe(VOKENIZER, VokenRetriever)
    index = require_index(retriever)

    write_pool("pca16", pool.records, components)
    write_pool("labels", pool.records, principal_components(class_log_probabilities(features)))
    write_pool("keys", pool.records, index.keys)

    retriever.top_k = TOP_K
    # With the pipeline's vocabulary, which knows what is punctuation and gets no voken.
    docs = {split: load_docs(TAGGED / f"{split}.spacy", nlp.vocab) for split in SPLITS}
    for split_docs in docs.values():
        list(retriever.pipe(split_docs))
    order = np.random.default_rng(0).permutation(len(components))
    for suffix, shown in (("", components), ("-permuted", components[order])):
        write_token_data(f"relevance{suffix}", docs, best_with_score(index.rows, shown))
        write_token_data(f"top8{suffix}", docs, mean_of_best(index.rows, shown))

    nlp, retriever = load_with_pipe(QUICKSTART_VOKENIZER, VokenRetriever)
    index = require_index(retriever)
    write_pool("openmoji", index.records, index.keys)
    for split in SPLITS:
        tagged = load_docs(TAGGED / f"{split}.spacy", nlp.vocab)
        save_docs(retriever.pipe(tagged), CORPORA / "openmoji" / f"{split}.spacy")


def require_index(retriever: VokenRetriever) -> VokenIndex:
    """Return the index of a retriever.

    Raises:
        VokensError: If it has none.
    """
    if retriever.index is None:
        raise VokensError(
            "The vokenizer has no index: make one with 'spacy vokens index' and run this again."
        )
    return retriever.index


def principal_components(features: Features) -> Features:
    """Standardize features and project them onto their first components, (n, N_COMPONENTS)."""
    standardized = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)
    _, _, directions = np.linalg.svd(standardized, full_matrices=False)
    return standardized @ directions[:N_COMPONENTS].T


def class_log_probabilities(features: Features) -> Features:
    """Return the log-probabilities of the ImageNet classes by the encoder's own last layer."""
    package = import_module(LITE0_PACKAGE)
    if package.__file__ is None:
        raise ImportError(f"{LITE0_PACKAGE} has no files. Install the extra 'quickstart'.")
    weights = torch.load(Path(package.__file__).parent / LITE0_FILE, weights_only=True)
    scores = features @ weights["_fc.weight"].numpy().T + weights["_fc.bias"].numpy()
    return torch.log_softmax(torch.from_numpy(scores), dim=1).numpy()


def best_with_score(rows: Mapping[str, int], features: Features) -> Callable[[Ranking], Features]:
    """Return a function from a ranking to the best image's features and its relevance score."""

    def combine(ranking: Ranking) -> Features:
        image_id, score = ranking[0]
        return np.append(features[rows[image_id]], score)

    return combine


def mean_of_best(rows: Mapping[str, int], features: Features) -> Callable[[Ranking], Features]:
    """Return a function from a ranking to the mean features of its images."""

    def combine(ranking: Ranking) -> Features:
        mean: Features = features[[rows[image_id] for image_id, _ in ranking]].mean(axis=0)
        return mean

    return combine


def write_token_data(
    name: str, docs: dict[str, list[Doc]], combine: Callable[[Ranking], Features]
) -> None:
    """Write a pool with one image per token that has a voken, and corpora with these vokens.

    Args:
        name: Name of the idea.
        docs: Documents of every split, with rankings (`Token._.vokens`). They are not changed.
        combine: Computes a token's features from its ranking.
    """
    vectors: list[Features] = []
    for split, split_docs in docs.items():
        copies = [doc.copy() for doc in split_docs]
        for doc in copies:
            ids: list[str | None] = []
            for ranking in get_token_values(doc, "vokens"):
                ids.append(None if ranking is None else token_id(len(vectors)))
                if ranking is not None:
                    vectors.append(combine(ranking))
            set_token_values(doc, "voken", ids)
            set_token_values(doc, "vokens", [None] * len(doc))
        save_docs(copies, CORPORA / name / f"{split}.spacy")
    records = [
        ImageRecord(token_id(row), token_id(row), "0" * 64, 1, 1, "a token, not an image")
        for row in range(len(vectors))
    ]
    write_pool(name, records, np.stack(vectors))


def token_id(row: int) -> str:
    """Return the ID of a token's image."""
    return f"token-{row:08d}"


def write_pool(name: str, records: Iterable[ImageRecord], features: Features) -> None:
    """Write the pool of an idea, and print its name and the shape of its features."""
    ImagePool.write(
        Path("pool") / f"screen-{name}",
        PoolContent(
            list(records),
            features,
            encoder=EncoderId(f"screen-{name}", "0" * 64),
            image_root=Path("pool"),
        ),
        overwrite=True,
    )
    print(name, features.shape)


if __name__ == "__main__":
    main()
