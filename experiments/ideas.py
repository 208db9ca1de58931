"""Make the pools and corpora of `screen.yml`'s ideas, from those of twitter2017 and the quickstart.

An idea about images alone is a pool of other features under the same ids, so that the control
`permuted` works as ever. An idea about tokens is a pool with an image a token; its permuted control
is made here, since the features must be permuted before they are combined.

Run in the project's folder: python experiments/ideas.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from spacy.tokens import Doc

from spacy_vokens.corpus.docbin import load_docs, save_docs
from spacy_vokens.extensions import get_token_values, set_token_values
from spacy_vokens.images.encoders import LITE0_FILE, LITE0_PACKAGE
from spacy_vokens.images.pool import ImagePool, ImageRecord
from spacy_vokens.pipeline.loading import load_with_retriever

SPLITS = ("train", "valid")
BASE = Path("corpus/twitter2017")
CORPORA = Path("corpus/screen")
N_COMPONENTS = 16
TOP_K = 8


def main() -> None:
    """Write `pool/screen-IDEA`, and `corpus/screen/IDEA` where the vokens change too."""
    pool = ImagePool.open(Path("pool/twitter2017"))
    features = np.asarray(pool.features, dtype=np.float32)
    components = principal_components(features)
    nlp, vokenizer = load_with_retriever("training/twitter2017/vokenizer/indexed")

    write_pool("pca16", pool.records, components)
    write_pool("labels", pool.records, principal_components(label_distribution(features)))
    write_pool("keys", pool.records, vokenizer.index.keys)

    order = np.random.default_rng(0).permutation(len(components))
    vokenizer.top_k = TOP_K
    # With the pipeline's vocabulary: what a token is (punctuation, say) is asked of it.
    docs = {split: load_docs(BASE / "ner" / f"{split}.spacy", nlp.vocab) for split in SPLITS}
    for of_split in docs.values():
        list(vokenizer.pipe(of_split))
    rows = vokenizer.index.rows
    for name, shown in (("", components), ("-permuted", components[order])):
        write_tokens(
            f"relevance{name}", docs, lambda ranked, of=shown: with_score(ranked, rows, of)
        )
        write_tokens(f"top8{name}", docs, lambda ranked, of=shown: mean_of(ranked, rows, of))

    nlp, emoji = load_with_retriever("training/quickstart/vokenizer/indexed")
    write_pool("openmoji", emoji.index.records, emoji.index.keys)
    for split in SPLITS:
        found = load_docs(BASE / "ner" / f"{split}.spacy", nlp.vocab)
        save_docs(emoji.pipe(found), CORPORA / "openmoji" / f"{split}.spacy")


def principal_components(features: np.ndarray) -> np.ndarray:
    """Standardised features on their first components, (n, N_COMPONENTS)."""
    centred = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    return centred @ directions[:N_COMPONENTS].T


def label_distribution(features: np.ndarray) -> np.ndarray:
    """Logarithms of the ImageNet classes' probabilities that the encoder's own last layer gives."""
    package = __import__(LITE0_PACKAGE)
    weights = torch.load(Path(package.__file__).parent / LITE0_FILE, weights_only=True)
    scores = features @ weights["_fc.weight"].numpy().T + weights["_fc.bias"].numpy()
    return torch.log_softmax(torch.from_numpy(scores), dim=1).numpy()


def with_score(ranked, rows, features) -> np.ndarray:
    """The best image's components, and its relevance score."""
    image_id, score = ranked[0]
    return np.append(features[rows[image_id]], score)


def mean_of(ranked, rows, features) -> np.ndarray:
    """The mean of the best images' components."""
    return features[[rows[image_id] for image_id, _ in ranked]].mean(axis=0)


def write_tokens(name: str, docs: dict[str, list[Doc]], combine) -> None:
    """A pool with an image for every token that has a voken, and corpora whose vokens they are."""
    vectors: list[np.ndarray] = []
    for split, of_split in docs.items():
        copies = [doc.copy() for doc in of_split]
        for doc in copies:
            ids: list[str | None] = []
            for ranked in get_token_values(doc, "vokens"):
                ids.append(None if ranked is None else token_id(len(vectors)))
                if ranked is not None:
                    vectors.append(combine(ranked))
            set_token_values(doc, "voken", ids)
            set_token_values(doc, "vokens", [None] * len(doc))
        save_docs(copies, CORPORA / name / f"{split}.spacy")
    records = [
        ImageRecord(token_id(row), token_id(row), "0" * 64, 1, 1, "a token, no picture")
        for row in range(len(vectors))
    ]
    write_pool(name, records, np.stack(vectors))


def token_id(row: int) -> str:
    return f"token-{row:08d}"


def write_pool(name: str, records: list[ImageRecord], features: np.ndarray) -> None:
    ImagePool.write(
        Path("pool") / f"screen-{name}",
        records,
        features,
        encoder=f"screen-{name}",
        weights_sha256="0" * 64,
        picture_root=Path("pool"),
        overwrite=True,
    )
    print(name, features.shape)


if __name__ == "__main__":
    main()
