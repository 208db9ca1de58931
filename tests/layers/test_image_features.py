from __future__ import annotations

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc

from spacy_vokens.extensions import set_token_values
from spacy_vokens.images.pool import ImagePool
from spacy_vokens.layers.image_features import ImageFeatures

NLP = spacy.blank("en")


def doc_with(*vokens: str | None) -> Doc:
    doc = Doc(NLP.vocab, words=["w"] * len(vokens))
    set_token_values(doc, "voken", vokens)
    return doc


def test_lookup(pool: ImagePool) -> None:
    table = ImageFeatures.from_pool(pool)
    features, has_image = table.lookup([doc_with("cat", None, "apple"), doc_with("dog")])
    assert features.shape == (2, 3, table.width)
    assert has_image.tolist() == [[True, False, True], [True, False, False]]
    np.testing.assert_array_equal(features[0, 0], pool.features[pool.ids.index("cat")])
    np.testing.assert_array_equal(features[1, 0], pool.features[pool.ids.index("dog")])


def test_unknown_voken_is_an_error(pool: ImagePool) -> None:
    with pytest.raises(ValueError, match="'cow'.*spacy vokens index"):
        ImageFeatures.from_pool(pool).lookup([doc_with("cat", "cow")])


def test_round_trip_and_damage(pool: ImagePool) -> None:
    table = ImageFeatures.from_pool(pool)
    data = table.to_bytes()
    loaded = ImageFeatures.from_bytes(data)
    assert (loaded.ids, loaded.meta) == (table.ids, table.meta)
    np.testing.assert_array_equal(loaded.features, table.features)
    position = data.index(table.features.tobytes())
    damaged = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
    with pytest.raises(ValueError, match="damaged"):
        ImageFeatures.from_bytes(damaged)
