from __future__ import annotations

import sys

import numpy as np
import pytest

from spacy_vokens.visualize.pool_map import MIN_FOR_TSNE, project


def clusters(n: int, dimension: int = 20, seed: int = 0) -> np.ndarray:
    """Two clusters of n vectors each, one after the other, as a pool stores features."""
    rng = np.random.default_rng(seed)
    centers = np.repeat(rng.normal(size=(2, dimension)) * 3, n, axis=0)
    return (centers + rng.normal(size=(2 * n, dimension))).astype(np.float16)


def nearest(points: np.ndarray) -> np.ndarray:
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return distances.argmin(axis=1)


@pytest.mark.parametrize("n", [3, 40])
def test_near_features_land_near_each_other(n):
    points = project(clusters(n))
    assert points.shape == (2 * n, 2)
    is_second = np.arange(2 * n) >= n
    assert (is_second[nearest(points)] == is_second).all()
    # Further apart than each is wide, in the plane too.
    centers = points[:n].mean(axis=0), points[n:].mean(axis=0)
    gap = np.linalg.norm(centers[0] - centers[1])
    assert gap > 2 * points[:n].std(axis=0).max()


def test_every_dimension_counts_as_much_as_any_other():
    # The first tells the clusters apart, the second is noise a thousand times as large.
    rng = np.random.default_rng(0)
    is_second = np.arange(8) >= 4
    features = np.column_stack([is_second * 1.0, *(is_second + rng.normal(0, 0.1, (3, 8)))])
    features = np.column_stack([features, 1000 * rng.normal(size=8)])
    points = project(features)
    assert (is_second[nearest(points)] == is_second).all()


def test_the_seed_says_it_all():
    # Wide enough for PCA to draw vectors at random.
    features = clusters(35, 600)
    first = project(features, seed=1)
    np.testing.assert_array_equal(project(features, seed=1), first)
    assert not np.array_equal(project(features, seed=2), first)


@pytest.mark.parametrize("n", [0, 1, 2, 3, MIN_FOR_TSNE - 1, MIN_FOR_TSNE])
@pytest.mark.parametrize("dimension", [1, 2, 7])
def test_a_few_vectors_are_laid_out_too(n, dimension):
    features = np.random.default_rng(0).normal(size=(n, dimension)).astype(np.float16)
    points = project(features)
    assert points.shape == (n, 2)
    assert np.isfinite(points).all()
    # As many places as vectors.
    assert len(np.unique(points, axis=0)) == n


def test_of_a_few_vectors_the_distances_stay():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(6, 2))
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    points = project(features)
    for one, two in ((0, 1), (2, 5), (3, 4)):
        expected = np.linalg.norm(features[one] - features[two])
        assert np.linalg.norm(points[one] - points[two]) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("n", [1, 4, 30])
def test_vectors_that_are_all_alike_lie_on_one_point(n):
    assert (project(np.full((n, 5), 2.5, dtype=np.float16)) == 0).all()


def test_a_dimension_that_is_constant_disturbs_nothing():
    features = np.column_stack([clusters(5), np.full(10, 3)])
    np.testing.assert_allclose(project(features)[:, 0], project(clusters(5))[:, 0], atol=1e-4)


def test_missing_scikit_learn_is_explained(monkeypatch):
    # Python's own mark for a module that cannot be imported.
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(ImportError, match=r"install 'spacy-vokens\[visualize\]'"):
        project(clusters(2))
