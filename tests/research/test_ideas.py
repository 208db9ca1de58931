from __future__ import annotations

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc
from spacy.vocab import Vocab

from research import ideas
from research.ideas import best_with_score, mean_of_best, principal_components, write_token_data
from spacy_vokens.attributes import get_token_values, set_token_values
from spacy_vokens.corpus.docbin import load_docs
from spacy_vokens.images.pool import ImagePool
from tests.conftest import LANG

ROWS = {"cat": 0, "dog": 1}
FEATURES = np.array([[1.0, 2.0], [3.0, 6.0]])
RANKING = [("dog", 0.5), ("cat", 0.25)]


def test_components_are_of_standardized_features_in_order_of_variance():
    features = np.random.default_rng(0).normal(size=(40, 20)) * np.geomspace(1, 1000, 20) + 5
    components = principal_components(features)
    assert components.shape == (40, ideas.N_COMPONENTS)
    np.testing.assert_allclose(components.mean(axis=0), 0, atol=1e-9)
    assert np.all(np.diff(components.std(axis=0)) <= 1e-9)
    # The scale of a feature does not matter.
    again = principal_components(features * np.linspace(1, 9, 20))
    np.testing.assert_allclose(np.abs(again), np.abs(components), atol=1e-3)


def test_rankings_are_combined():
    assert best_with_score(ROWS, FEATURES)(RANKING).tolist() == [3, 6, 0.5]
    assert mean_of_best(ROWS, FEATURES)(RANKING).tolist() == [2, 4]


@pytest.fixture
def doc():
    doc = Doc(spacy.blank(LANG).vocab, words=["a", "dog", "!"])
    set_token_values(doc, "voken", ["cat", "dog", None])
    set_token_values(doc, "vokens", [[["cat", 0.1]], [list(pair) for pair in RANKING], None])
    return doc


def test_every_token_with_a_voken_gets_an_image_of_its_own(
    doc, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    combine = best_with_score(ROWS, FEATURES)
    write_token_data("relevance", {"train": [doc, doc], "valid": [doc]}, combine)
    pool = ImagePool.open(tmp_path / "pool" / "screen-relevance")
    assert pool.features.tolist() == [[1, 2, pytest.approx(0.1, abs=1e-3)], [3, 6, 0.5]] * 3
    found = [
        get_token_values(read, "voken")
        for split in ("train", "valid")
        for read in load_docs(
            tmp_path / "corpus" / "screen" / "relevance" / f"{split}.spacy", Vocab()
        )
    ]
    assert [v for vokens in found for v in vokens if v is not None] == list(pool.ids)
    assert all(vokens[2] is None for vokens in found)
    # The documents given are unchanged.
    assert get_token_values(doc, "voken") == ["cat", "dog", None]
