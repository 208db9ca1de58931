"""The features of pictures as points of a plane, near where the features are alike."""

from __future__ import annotations

import numpy as np

N_COMPONENTS = 50
# The neighbours that t-SNE looks at; fewer where there are few pictures.
PERPLEXITY = 30.0
MIN_FOR_TSNE = 10


def project(features: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Lay vectors out in the plane.

    Every dimension is standardised; then come at most 50 principal components, and t-SNE that
    begins with the first two. Of fewer than 10 vectors these two are all.

    features: (n, dimension) of any float type; n may be 0.
    seed: of what is random in it. The same vectors and seed give the same points.
    returns: (n, 2) float32, without a unit; zeros where all vectors are alike.
    raises ImportError: where scikit-learn is missing.
    """
    try:
        from sklearn.decomposition import PCA
        from sklearn.manifold import TSNE
        from sklearn.preprocessing import StandardScaler
        from threadpoolctl import threadpool_limits
    except ImportError:
        raise ImportError(
            "The map of a pool needs scikit-learn: install 'spacy-vokens[visualize]'."
        ) from None

    points = np.zeros((len(features), 2), dtype=np.float32)
    # PCA divides by the variance.
    if len(features) == 0 or not np.ptp(features, axis=0).any():
        return points
    # One thread: the sums' order, and so the points, do not depend on the number of cores; and
    # t-SNE's threads wait for each other, ten times as long where other programs take the cores.
    with threadpool_limits(1):
        scaled = StandardScaler().fit_transform(features.astype(np.float32))
        n_components = min(N_COMPONENTS, *scaled.shape)
        reduced = PCA(n_components, random_state=seed).fit_transform(scaled)
        points[:, :n_components] = reduced[:, :2]
        scale = points[:, 0].std()
        # Of a scale of zero t-SNE would compute with NaN, and crash.
        if len(features) < MIN_FOR_TSNE or scale == 0:
            return points
        perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
        # Features of a single dimension have no second component, which `init="pca"` asks for.
        start = points / scale * 1e-4
        tsne = TSNE(perplexity=perplexity, init=start, random_state=seed)
        return tsne.fit_transform(reduced)
