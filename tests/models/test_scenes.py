from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import spacy
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc
from spacy_transformers.data_classes import TransformerData

from spacy_vokens.models.scenes import Scenes, read_scenes
from tests.conftest import LANG
from tests.fixtures import transformer_config

# A window of the tiny pipeline has 16 words, and the next one begins 12 words later.
LONG = "a red cat in paris we see the big dog " * 4


@pytest.fixture(scope="module")
def reader_path(text_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a pipeline that is a transformer."""
    path = tmp_path_factory.mktemp("models") / "reader"
    nlp = spacy.blank(LANG)
    model = {"@architectures": "spacy-vokens.TransformerModel.v1"}
    nlp.add_pipe("transformer", config={"model": model | transformer_config(text_encoder)})
    nlp.initialize()
    nlp.to_disk(path)
    return path


@pytest.fixture(scope="module")
def reader(reader_path: Path) -> Language:
    return spacy.load(reader_path)


def mean_of_window(doc: Doc, window: int) -> NDArray[np.float32]:
    """The mean of the vectors of a window's pieces, one by one."""
    data = doc._.trf_data
    hidden, mask = data.model_output.last_hidden_state, data.wordpieces.attention_mask
    kept = [
        vector for vector, is_piece in zip(hidden[window], mask[window], strict=True) if is_piece
    ]
    return np.mean(kept, axis=0)


def read(docs: list[Doc]) -> Scenes:
    scenes = read_scenes(docs)
    assert scenes is not None
    return scenes


def test_a_text_is_one_scene_the_mean_of_its_pieces(reader: Language) -> None:
    docs = list(reader.pipe(["a cat", "we see the big red dog in paris !"]))
    scenes = read(docs)
    assert scenes.vectors.shape == (2, 16)
    assert scenes.of_token.tolist() == [0] * 2 + [1] * 9
    for vector, doc in zip(scenes.vectors, docs, strict=True):
        np.testing.assert_allclose(vector, mean_of_window(doc, 0), atol=1e-5)


def test_padding_does_not_count(reader: Language) -> None:
    """A short text alone and beside long ones, in any place of a batch."""
    (alone,) = read([reader("a cat")]).vectors
    for texts in (["a cat", LONG], [LONG, "a cat"], ["we see the dog", "a cat", "a"]):
        docs = list(reader.pipe(texts))
        scenes = read(docs)
        first = sum(len(text.split()) for text in texts[: texts.index("a cat")])
        scene = scenes.of_token[first]
        assert scenes.of_token[first + 1] == scene
        np.testing.assert_allclose(scenes.vectors[scene], alone, atol=1e-5)
    (doc, _) = reader.pipe(["a cat", "we see the dog in paris"])
    assert not doc._.trf_data.wordpieces.attention_mask.all(), "or this test says nothing"
    hidden = doc._.trf_data.model_output.last_hidden_state
    assert np.abs(hidden.mean(axis=1)[0] - alone).max() > 1e-3


def test_tokens_of_later_windows_belong_to_them(reader: Language) -> None:
    docs = list(reader.pipe(["a cat", LONG, "a dog"]))
    scenes = read(docs)
    # Of 40 words: 0 to 15, 12 to 27, 24 to 39. A word in two windows belongs to the first.
    expected = [1] * 16 + [2] * 12 + [3] * 12
    assert scenes.of_token.tolist() == [0, 0, *expected, 4, 4]
    assert len(scenes.vectors) == 5
    for window in range(3):
        np.testing.assert_allclose(
            scenes.vectors[1 + window], mean_of_window(docs[1], window), atol=1e-5
        )


def test_tokens_without_pieces_belong_to_a_scene_too(reader: Language) -> None:
    words = [" ", "cat", "\n", "\u200b", "dog", "\ufe0f"]
    doc = reader(Doc(reader.vocab, words=words))
    assert (doc._.trf_data.align.lengths == 0).sum() >= 3, "or this test says nothing"
    scenes = read([reader("a"), doc, reader("a")])
    assert scenes.of_token.tolist() == [0, *[1] * 6, 2]


@pytest.mark.parametrize("text", [" ", "\n\n", "\u200b"])
def test_a_text_without_pieces(reader: Language, text: str) -> None:
    doc = reader(Doc(reader.vocab, words=[text]))
    scenes = read([doc, reader("a cat")])
    assert np.isfinite(scenes.vectors).all()
    assert scenes.of_token[-1] == len(scenes.vectors) - 1
    assert len(scenes.of_token) == 3


def test_no_transformer_has_read_the_documents(reader: Language) -> None:
    assert read_scenes([]) is None
    assert read_scenes([reader.make_doc("a cat"), Doc(reader.vocab)]) is None
    assert read_scenes([spacy.blank(LANG)("a cat")]) is None


def test_no_transformer_was_made_in_this_process(reader: Language) -> None:
    """`Doc._.trf_data` belongs to spacy-transformers, whose component sets it up when made."""
    default, *_ = Doc.remove_extension("trf_data")
    try:
        assert read_scenes([spacy.blank(LANG)("a cat")]) is None
    finally:
        Doc.set_extension("trf_data", default=default)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("kind", ["unread", "empty", "merged", "no vectors"])
def test_a_document_without_a_scene_changes_nothing_for_others(
    reader: Language, kind: str, place: int
) -> None:
    texts = ["a red cat", "we see the dog"]
    expected = read(list(reader.pipe(texts)))
    odd = reader.make_doc("the fish") if kind == "unread" else reader("the fish")
    if kind == "empty":
        odd = reader("")
    elif kind == "merged":
        with odd.retokenize() as retokenizer:
            retokenizer.merge(odd[:2])
    elif kind == "no vectors":
        odd._.trf_data = TransformerData.empty()
    docs = list(reader.pipe(texts))
    docs.insert(place, odd)
    scenes = read(docs)
    np.testing.assert_allclose(scenes.vectors, expected.vectors, atol=1e-5)
    of_docs = np.split(scenes.of_token, np.cumsum([len(doc) for doc in docs])[:-1])
    assert of_docs.pop(place).tolist() == [-1] * len(odd)
    assert np.concatenate(of_docs).tolist() == expected.of_token.tolist()
