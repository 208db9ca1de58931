"""Visualness: how well the pictures of a word can be told from all others.

"the" and "through" are in texts about pictures of any kind; pictures of a dog are alike. The
average picture of a word is therefore compared with the average of all pictures, and what was found
for the words of the training texts is carried over to all words by their vectors.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

# Principal components of the image features in which pictures are compared.
COMPONENTS = 32
# A word's distance counts at least so much, as its logarithm is taken.
MIN_DISTANCE = 0.05
# Words with more images than this count no more than with so many.
MAX_WEIGHT = 300
# Of the ridge regression, as a share of the sum of the words' weights.
RIDGE = 0.5


def visual_distances(
    images_of_word: Iterable[NDArray[np.integer]], features: NDArray
) -> NDArray[np.float64]:
    """Measure how far the average picture of each word is from the average picture.

    The features are whitened in their first principal components. The squared distance of the mean
    of n of N images from the mean of all is, on average, d (1 - n/N) / n for images drawn at random
    in d dimensions; it is subtracted.

    Args:
        images_of_word: Rows in `features` of each word's images.
        features: Features of images, (n_images, width).

    Returns:
        The squared distances, (n_words,); around 0 for a word that says nothing about its pictures.
    """
    features = features.astype(np.float64)
    deviation = features.std(axis=0)
    varies = deviation > 1e-6
    # What does not vary is 0 exactly: its mean can differ from it in the last digit.
    centered = np.where(varies, features - features.mean(axis=0), 0.0)
    scaled = centered / np.where(varies, deviation, 1.0)
    variances, axes = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    # In ascending order. Fewer images than dimensions leave some without any variance.
    kept = np.flatnonzero(variances > 1e-6 * variances[-1])[-COMPONENTS:]
    white = scaled @ (axes[:, kept] / np.sqrt(variances[kept]))
    distances = []
    for images in images_of_word:
        by_chance = len(kept) * (1 - len(images) / len(white)) / len(images)
        distances.append((white[images].mean(axis=0) ** 2).sum() - by_chance)
    return np.array(distances)


def fit_visualness(
    vectors: NDArray, distances: NDArray, n_images: NDArray[np.integer]
) -> tuple[NDArray[np.float32], float]:
    """Predict the logarithm of the distances from word vectors, by ridge regression.

    Args:
        vectors: Vectors of words, (n_words, width).
        distances: What `visual_distances` found for them, (n_words,).
        n_images: Number of images of each word, (n_words,).

    Returns:
        Weights and bias of the linear map, (width,) and a number.
    """
    mean, deviation = vectors.mean(axis=0), vectors.std(axis=0)
    deviation = np.where(deviation > 1e-6, deviation, 1.0)
    inputs = np.column_stack([(vectors - mean) / deviation, np.ones(len(vectors))])
    inputs = inputs.astype(np.float64)
    targets = np.log(np.maximum(distances, MIN_DISTANCE))
    weights = np.minimum(n_images, MAX_WEIGHT).astype(np.float64)
    penalty = np.full(inputs.shape[1], RIDGE * weights.sum())
    penalty[-1] = 0.0
    solution = np.linalg.solve(
        (inputs * weights[:, None]).T @ inputs + np.diag(penalty), inputs.T @ (targets * weights)
    )
    scaled = solution[:-1] / deviation
    return scaled.astype(np.float32), float(solution[-1] - scaled @ mean)
