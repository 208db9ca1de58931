from __future__ import annotations

import numpy as np
import pytest

from spacy_vokens.models.visualness import (
    COMPONENTS,
    MAX_WEIGHT,
    MIN_DISTANCE,
    RIDGE,
    fit_visualness,
    visual_distances,
)

N_IMAGES = 500


def images(n_images: int = N_IMAGES, width: int = 6) -> np.ndarray:
    """Features whose dimensions have other means and scales, and depend on each other."""
    random = np.random.default_rng(0)
    mixing = random.normal(size=(width, width)) * np.logspace(-1, 1, width)
    return (random.normal(size=(n_images, width)) @ mixing + 5).astype(np.float32)


@pytest.mark.parametrize("n", [1, 5, 50, 400])
def test_words_that_say_nothing_have_no_distance_on_average(n: int) -> None:
    random = np.random.default_rng(1)
    words = [random.choice(N_IMAGES, n, replace=False) for _ in range(2000)]
    distances = visual_distances(words, images())
    assert abs(distances.mean()) < 4 * distances.std() / np.sqrt(len(words))
    # Without the correction, it would be as much as this on average.
    assert abs(distances.mean()) < 0.2 * 6 * (1 - n / N_IMAGES) / n


def test_distance_is_that_of_the_whitened_mean() -> None:
    features = images()
    chosen = np.arange(40)
    difference = (features[chosen].mean(axis=0) - features.mean(axis=0)).astype(np.float64)
    covariance = np.cov(features.T.astype(np.float64), bias=True)
    expected = difference @ np.linalg.solve(covariance, difference)
    expected -= 6 * (1 - 40 / N_IMAGES) / 40
    assert visual_distances([chosen], features)[0] == pytest.approx(expected, rel=1e-4)


def test_words_with_images_apart_have_a_distance() -> None:
    features = images()
    order = np.argsort(features[:, 2])
    random = np.random.default_rng(2).permutation(N_IMAGES)
    apart, less, none = visual_distances([order[-50:], order[-250:], random[:50]], features)
    assert apart > 2
    assert apart > less > 0.4
    assert abs(none) < 0.3


def test_scales_and_shifts_do_not_count() -> None:
    features, words = images().astype(np.float64), [np.arange(9), np.arange(30, 33)]
    moved = features * np.logspace(-2, 2, 6) - 7
    np.testing.assert_allclose(
        visual_distances(words, moved), visual_distances(words, features), rtol=1e-6
    )


def test_a_word_of_all_images_has_no_distance() -> None:
    assert visual_distances([np.arange(N_IMAGES)], images())[0] == pytest.approx(0, abs=1e-9)


def test_constant_dimensions_do_not_count() -> None:
    features = images().astype(np.float64)
    wider = np.hstack([features, np.full((N_IMAGES, 2), 0.1)])
    words = [np.arange(9), np.arange(30, 33)]
    np.testing.assert_allclose(
        visual_distances(words, wider), visual_distances(words, features), rtol=1e-6
    )


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3])
def test_equal_images_are_not_apart(value: float) -> None:
    # The mean of equal numbers can differ from them in the last digit.
    assert visual_distances([np.array([0, 1])], np.full((10, 4), value)).tolist() == [0.0]


def test_one_image() -> None:
    assert visual_distances([np.array([0])], images(1)).tolist() == [0.0]


def test_fewer_images_than_dimensions() -> None:
    # Images minus their mean span 4 dimensions, in which all of 5 are equally far away.
    distances = visual_distances([np.array([i]) for i in range(5)], images(5, width=20))
    np.testing.assert_allclose(distances, 4 - 4 * (1 - 1 / 5), rtol=1e-6)


def test_only_the_first_components_count() -> None:
    features = np.random.default_rng(0).normal(size=(N_IMAGES, COMPONENTS + 4))
    chosen = np.arange(3)
    distance = visual_distances([chosen], features)[0]
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    left, _, _ = np.linalg.svd(scaled, full_matrices=False)
    white = left[:, :COMPONENTS] * np.sqrt(N_IMAGES)
    expected = (white[chosen].mean(axis=0) ** 2).sum() - COMPONENTS * (1 - 3 / N_IMAGES) / 3
    assert distance == pytest.approx(expected, rel=1e-6)


def made_words(n_words: int = 400, width: int = 5) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(n_words, width)) * np.logspace(-1, 1, width) + 3
    return vectors.astype(np.float32), random.integers(1, 2 * MAX_WEIGHT, n_words)


def test_fit_finds_a_linear_map() -> None:
    vectors, n_images = made_words()
    standard = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    truth = np.array([1.0, -0.5, 0.0, 0.25, 0.0])
    weight, bias = fit_visualness(vectors, np.exp(standard @ truth - 0.5), n_images)
    assert weight.dtype == np.float32
    assert weight.shape == (5,)
    predicted = vectors @ weight + bias
    # The penalty shrinks the weights, but the mean stays.
    slope, offset = np.polyfit(standard @ truth, predicted, 1)
    assert slope == pytest.approx(1 / (1 + RIDGE), abs=0.05)
    assert offset == pytest.approx(-0.5, abs=0.1)
    assert np.corrcoef(predicted, standard @ truth)[0, 1] > 0.99


def test_fit_minimizes_the_penalized_error() -> None:
    vectors, n_images = made_words(30)
    distances = np.random.default_rng(3).normal(size=30)
    weight, bias = fit_visualness(vectors, distances, n_images)
    deviation = vectors.std(axis=0).astype(np.float64)
    targets = np.log(np.maximum(distances, MIN_DISTANCE))
    counts = np.minimum(n_images, MAX_WEIGHT)

    def error(weight: np.ndarray, bias: float) -> float:
        residuals = vectors.astype(np.float64) @ weight + bias - targets
        penalty = RIDGE * counts.sum() * ((weight * deviation) ** 2).sum()
        return float((counts * residuals**2).sum() + penalty)

    least = error(weight.astype(np.float64), bias)
    for dimension in range(5):
        for step in (-1e-2, 1e-2):
            moved = weight.astype(np.float64)
            moved[dimension] += step / deviation[dimension]
            # The bias belongs to the mean word.
            assert error(moved, bias - (moved - weight) @ vectors.mean(axis=0)) > least
    assert error(weight, bias + 1e-2) > least < error(weight, bias - 1e-2)


def test_words_with_more_images_count_more() -> None:
    vectors = np.zeros((2, 1), np.float32)
    _, bias = fit_visualness(vectors, np.exp([0.0, 1.0]), np.array([1, 3]))
    assert bias == pytest.approx(0.75)
    _, bias = fit_visualness(vectors, np.exp([0.0, 1.0]), np.array([MAX_WEIGHT, 10**6]))
    assert bias == pytest.approx(0.5)


def test_constant_dimensions_of_words_have_no_weight() -> None:
    vectors, n_images = made_words(50)
    vectors[:, 1] = 0.1
    weight, bias = fit_visualness(vectors, np.full(50, 2.0), n_images)
    assert abs(weight[1]) < 1e-6
    np.testing.assert_allclose(vectors @ weight + bias, np.log(2), rtol=1e-5)


def test_small_distances_count_alike() -> None:
    vectors = np.arange(3, dtype=np.float32)[:, None]
    n_images = np.ones(3, int)
    expected = fit_visualness(vectors, np.array([MIN_DISTANCE, MIN_DISTANCE, 1.0]), n_images)
    found = fit_visualness(vectors, np.array([-3.0, 0.0, 1.0]), n_images)
    assert (found[0] == expected[0]).all()
    assert found[1] == expected[1]
    assert found[0][0] > 0
