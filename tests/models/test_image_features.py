from __future__ import annotations

import numpy as np
import pytest
import spacy
import srsly
from spacy.tokens import Doc

from spacy_vokens.attributes import set_token_values
from spacy_vokens.files import array_to_bytes
from spacy_vokens.images.pool import ImagePool
from spacy_vokens.models.image_features import ImageFeatures
from tests.conftest import IMAGES, LANG

NLP = spacy.blank(LANG)


def doc_with(*vokens: str | None) -> Doc:
    doc = Doc(NLP.vocab, words=["w"] * len(vokens))
    set_token_values(doc, "voken", vokens)
    return doc


def test_lookup(pool: ImagePool) -> None:
    table = ImageFeatures.from_pool(pool)
    docs = [doc_with("cat", None, "apple", "cat"), doc_with("dog")]
    features, rows = table.lookup(docs)
    assert features.shape == (3, table.width)
    first, second = (found.tolist() for found in rows)
    assert [row < 0 for row in first + second] == [False, True, False, False, False]
    for row, image_id in ((first[0], "cat"), (first[2], "apple"), (second[0], "dog")):
        np.testing.assert_array_equal(features[row], pool.features[pool.ids.index(image_id)])
    assert first[3] == first[0]


def test_lookup_without_vokens(pool: ImagePool) -> None:
    table = ImageFeatures.from_pool(pool)
    features, (rows,) = table.lookup([doc_with(None, None)])
    assert features.shape == (0, table.width)
    assert rows.tolist() == [-1, -1]


def test_given_image_outside_the_table_is_none_and_said_once(
    pool: ImagePool, caplog: pytest.LogCaptureFixture
) -> None:
    table = ImageFeatures.from_pool(pool)
    docs = [doc_with("cow", "cow"), doc_with("cat")]
    for doc in docs:
        doc._.voken_index = "given"
    for _ in range(2):
        _, rows = table.lookup(docs)
        assert [(found >= 0).tolist() for found in rows] == [[False, False], [True]]
    (record,) = caplog.records
    assert (
        "lacks 1 of the images given to a batch of 2 documents, for example 'cow'"
        in record.getMessage()
    )


def test_unknown_voken_is_an_error(pool: ImagePool) -> None:
    with pytest.raises(ValueError, match="'cow'.*spacy vokens index"):
        ImageFeatures.from_pool(pool).lookup([doc_with("cat", "cow")])


def test_round_trip(pool: ImagePool) -> None:
    table = ImageFeatures.from_pool(pool)
    loaded = ImageFeatures.from_bytes(table.to_bytes())
    assert (loaded.ids, loaded.pool, loaded.encoder) == (table.ids, table.pool, table.encoder)
    np.testing.assert_array_equal(loaded.features, table.features)


@pytest.mark.parametrize(
    "changed",
    [
        {"ids": []},
        {"ids": ["../a", *IMAGES[1:]]},
        {"ids": IMAGES[:-1]},
        {"ids": 7},
        {"ids": list(range(6))},
        {"pool": 1},
        {"encoder": "tiny"},
        {"features": b"no array"},
        {"features": array_to_bytes(np.zeros((6, 2), np.float64))},
        {"features": array_to_bytes(np.zeros((6, 2), np.float16))[:-1]},
    ],
)
def test_bytes_of_something_else_are_refused(pool: ImagePool, changed: dict) -> None:
    message = srsly.msgpack_loads(ImageFeatures.from_pool(pool).to_bytes())
    with pytest.raises(ValueError, match=r"image features cannot be used.*spacy vokens index"):
        ImageFeatures.from_bytes(srsly.msgpack_dumps(message | changed))
