from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spacy.lexeme import Lexeme
from spacy.tokens import Doc
from spacy.util import fix_random_seed, get_lang_class
from spacy.vocab import Vocab, create_vocab
from thinc.api import Adam, Model, set_dropout_rate

from spacy_vokens.files import VokensError
from spacy_vokens.images.pool import ImagePool
from spacy_vokens.models.matching import apply_tower, matching_of
from spacy_vokens.models.torch.losses import WordPositives
from spacy_vokens.models.torch_layer import get_module
from spacy_vokens.models.training_words import MIN_IMAGES, TrainingWords
from spacy_vokens.models.word_matching import (
    IDF_POWER,
    SCENE_KEY_WIDTH,
    WordMatching,
    build_word_matching_v1,
)
from spacy_vokens.models.word_vectors import build_piece_vectors_v1, build_vocab_vectors_v1
from spacy_vokens.stems import stemmer_of
from tests.conftest import DIMENSION, IMAGES, LANG


def make_vocab(lang: str) -> Vocab:
    """A vocabulary that knows the stop words of its language; no test needs a tokenizer."""
    return create_vocab(lang, get_lang_class(lang).Defaults)


EN = make_vocab("en")
WIDTH = 4


def caption(text: str, vocab: Vocab = EN) -> Doc:
    return Doc(vocab, words=text.split(" "))


def vocab_of(words: Sequence[str], lang: str = "en") -> Vocab:
    """A vocabulary in which each of some words has a random vector."""
    vocab = make_vocab(lang)
    vocab.reset_vectors(width=WIDTH)
    for word, vector in zip(
        words, np.random.default_rng(0).normal(size=(len(words), WIDTH)), strict=True
    ):
        vocab.set_vector(word, vector.astype("f"))
    return vocab


def make_model(words: Model | None = None, **more: Any) -> Model:
    return build_word_matching_v1(
        build_vocab_vectors_v1() if words is None else words,
        WordPositives(),
        hidden_width=16,
        width=8,
        **more,
    )


def fit(model: Model, docs: list[Doc], rows: np.ndarray, features: np.ndarray) -> dict[str, Any]:
    """Initialize a model as the retriever does."""
    matching = matching_of(model)
    width = matching.text_width(model, docs)
    matching.build(model, {"text_width": width, "image_width": features.shape[1]})
    return matching.fit(model, docs, rows, features)


def learn(
    model: Model, docs: list[Doc], rows: np.ndarray, features: np.ndarray, steps: int
) -> list[float]:
    optimizer, losses = Adam(0.01), []
    for _ in range(steps):
        update = matching_of(model).begin_update(model, docs, rows, features)
        assert update is not None
        loss, backprop = update
        backprop()
        model.finish_update(optimizer)
        losses.append(loss)
    return losses


def gradients_of(model: Model, name: str) -> list[torch.Tensor]:
    """Take the gradients of a tower's weights."""
    weights = list(get_module(model.get_ref(name)).parameters())
    found = [weight.grad.clone() for weight in weights]
    for weight in weights:
        weight.grad = None
    return found


# Words in the texts of images

FORMS = ("dog", "Dog", "dogs", "cat", "the", "runs", "run", "!", " ", "...", "7")
CAPTIONS = st.lists(
    st.tuples(st.integers(0, 5), st.lists(st.sampled_from(FORMS), max_size=5)), min_size=1
)
STEM_OF = stemmer_of("en")


def forms_of(words: Sequence[str]) -> set[str]:
    return {word.lower() for word in words} - {"!", " ", "..."}


def words_of(captions: Sequence[tuple[int, list[str]]]) -> TrainingWords:
    docs = [Doc(EN, words=words) for _, words in captions]
    return TrainingWords.from_docs(docs, np.array([row for row, _ in captions]))


@given(CAPTIONS)
def test_training_words(captions: list[tuple[int, list[str]]]) -> None:
    found = words_of(captions)
    forms = [word.text for word in found.words]
    assert len(set(forms)) == len(forms)
    assert set(forms) == set().union(*(forms_of(words) for _, words in captions))
    assert found.images.tolist() == sorted({row for row, _ in captions})
    for form, count in zip(forms, found.counts.tolist(), strict=True):
        assert count == sum(form in forms_of(words) for _, words in captions)
    # Forms share a number if and only if they share a stem.
    stems = {form: STEM_OF(form) for form in forms}
    number_of = dict(zip(stems.values(), found.stems.tolist(), strict=True))
    assert [number_of[stems[form]] for form in forms] == found.stems.tolist()
    assert len(set(number_of.values())) == len(number_of)
    if not forms:
        return
    images = [found.images[places].tolist() for places in found.stem_images()]
    assert len(images) == len(number_of)
    for stem, number in number_of.items():
        expected = {row for row, words in captions if stem in map(STEM_OF, forms_of(words))}
        assert images[number] == sorted(expected)
        assert found.n_images()[number] == len(expected)


@given(CAPTIONS, st.lists(st.integers(0, 7), max_size=8), st.sets(st.sampled_from(FORMS)))
def test_batch(captions: list[tuple[int, list[str]]], rows: list[int], unknown: set[str]) -> None:
    words = words_of(captions)
    forms = [word.text for word in words.words]
    # A word is recognized by its vector.
    numbers = [np.nan if form in unknown else number for number, form in enumerate(forms)]
    words.set_vectors(np.array(numbers, np.float32)[:, None])
    expected = {
        form: [of_row for of_row, of_caption in captions if form in forms_of(of_caption)]
        for form in forms
        if form not in unknown
    }
    expected = {form: found for form, found in expected.items() if set(found) & set(rows)}
    batch = words.batch(np.array(rows, np.int64))
    if not expected:
        assert batch is None
        return
    assert batch is not None
    images, vectors, positives, counts = batch
    assert images.tolist() == sorted(set(rows) & {row for row, _ in captions})
    assert positives.dtype == counts.dtype == np.float32
    assert positives.shape == (len(vectors), len(images))
    found = [forms[int(vector)] for vector in vectors[:, 0]]
    assert sorted(found) == sorted(expected)
    for form, of_image, count in zip(found, positives, counts, strict=True):
        assert count == sum(row in rows for row in expected[form])
        stem = STEM_OF(form)
        for image, n_texts in zip(images, of_image, strict=True):
            assert n_texts == sum(
                row == image and stem in map(STEM_OF, forms_of(of_caption))
                for row, of_caption in captions
            )


def test_batch_before_there_are_vectors() -> None:
    assert words_of([(0, ["dog"])]).batch(np.array([0])) is None


def test_content_words() -> None:
    captions = [(row, ["the", "dog" if row else "dogs", "cat", "7"]) for row in range(MIN_IMAGES)]
    # The same image with another text is no further image.
    captions = [*captions[:-1], (MIN_IMAGES - 1, ["the", "dog", "7"]), (0, ["cat"])]
    words = words_of(captions)
    found = {word.text: bool(c) for word, c in zip(words.words, words.is_content(), strict=True)}
    assert found == {"the": False, "dogs": True, "dog": True, "cat": False, "7": False}


# Training


def test_learns_which_image_shows_a_word(text_encoder: str, pool: ImagePool) -> None:
    vocab = make_vocab(LANG)
    model = make_model(build_piece_vectors_v1(text_encoder))
    docs = [caption(f"a {image} !", vocab) for image in IMAGES]
    rows = pool.rows(IMAGES)
    assert fit(model, docs, rows, pool.features)["min_visualness"] is None
    losses = learn(model, docs, rows, pool.features, steps=40)
    assert losses[-1] < losses[0]
    words = [vocab[image] for image in IMAGES]
    queries, _ = matching_of(model).form_queries(model, words)
    keys = matching_of(model).keys(model, pool.features)
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(keys, axis=1), 1, rtol=1e-5)
    assert (queries @ keys.T).argmax(axis=1).tolist() == rows.tolist()


def test_all_texts_of_an_image_count_in_every_batch() -> None:
    """An update reads the texts of training, not those of the batch."""
    vocab = vocab_of(["dog", "cat"])
    docs = [caption(text, vocab) for text in ("dog", "cat", "dog")]
    rows, features = np.array([0, 0, 1]), np.eye(2, 3)
    model = make_model()
    fit(model, docs, rows, features)
    matching = matching_of(model)
    by_all = matching.begin_update(model, docs, rows, features)
    by_two = matching.begin_update(model, docs[1:], rows[1:], features)
    assert by_all is not None
    assert by_two is not None
    assert by_all[0] == by_two[0]


def test_loss_and_gradients_are_those_of_the_words() -> None:
    vocab = vocab_of(["dog", "dogs", "cat"])
    docs = [caption(text, vocab) for text in ("dog zebra", "dogs cat", "dog", "cat")]
    rows, features = np.array([2, 0, 0, 1]), np.random.default_rng(0).normal(size=(3, 5))
    model = make_model()
    fit(model, docs, rows, features)
    update = matching_of(model).begin_update(model, docs[:2], rows[:2], features)
    assert update is not None
    update[1]()
    found = [gradients_of(model, name) for name in ("text_tower", "image_tower")]
    # Images 0 and 2; by stem, "dog" and "dogs" have the same positives.
    text_tower, image_tower = (
        get_module(model.get_ref(name)).train() for name in ("text_tower", "image_tower")
    )
    vectors = np.array([vocab[word].vector for word in ("dog", "dogs", "cat")])
    loss = get_module(model.get_ref("loss"))(
        text_tower(torch.from_numpy(vectors)),
        image_tower(torch.from_numpy(features[[0, 2]].astype("f"))),
        torch.tensor([[2.0, 1.0], [2.0, 1.0], [1.0, 0.0]]),
        torch.tensor([2.0, 1.0, 1.0]),
    )
    loss.backward()
    assert update[0] == pytest.approx(loss.item(), rel=1e-5)
    for name, ours in zip(("text_tower", "image_tower"), found, strict=True):
        torch.testing.assert_close(ours, gradients_of(model, name), rtol=1e-4, atol=1e-5)


def test_nothing_to_learn_from() -> None:
    vocab = vocab_of(["dog"])
    docs = [caption(text, vocab) for text in ("dog", "zebra")]
    features = np.eye(2, 3)
    model = make_model()
    matching = matching_of(model)
    fit(model, docs, np.arange(2), features)
    assert matching.begin_update(model, docs[1:], np.array([1]), features) is None
    assert matching.begin_update(model, docs[:1], np.array([0]), features) is not None


def test_texts_that_were_not_there_before_are_learned_from() -> None:
    """As in a stream, of which only the first are known, and with a copy, which has no texts."""
    vocab = vocab_of(["dog", "cat"])
    docs = [caption(text, vocab) for text in ("dog", "cat", "cat dog")]
    rows, features = np.arange(3), np.eye(3)
    model, whole = make_model(), make_model()
    fit(model, docs[:1], rows[:1], features)
    fit(whole, docs, rows, features)
    # Only what they know of the texts differs.
    for name in ("text_tower", "image_tower"):
        state = get_module(whole.get_ref(name)).state_dict()
        get_module(model.get_ref(name)).load_state_dict(state)
    copied = copy.deepcopy(whole)
    found = [
        matching_of(some).begin_update(some, docs, rows, features)
        for some in (whole, model, copied)
    ]
    losses = [update[0] for update in found if update is not None]
    assert losses == [pytest.approx(losses[0])] * 3
    assert losses[0] > 0


@pytest.mark.parametrize("text", ["zebra", "! !", "! zebra"])
def test_no_word_has_a_vector(text_encoder: str, text: str) -> None:
    model = make_model(build_piece_vectors_v1(text_encoder))
    docs = [caption(text, make_vocab(LANG))]
    with pytest.raises(VokensError, match="No word of the training texts has a word vector"):
        fit(model, docs, np.array([0]), np.eye(1, 3))


def test_statistics_are_those_of_words_and_images_with_texts() -> None:
    vocab = vocab_of(["dog", "cat"])
    features = np.random.default_rng(0).normal(size=(4, 3))
    model = make_model()
    fit(model, [caption("dog zebra", vocab), caption("cat", vocab)], np.array([3, 1]), features)
    text, image = (
        get_module(model.get_ref(name)).standardize.mean for name in ("text_tower", "image_tower")
    )
    np.testing.assert_allclose(
        text, (vocab["dog"].vector + vocab["cat"].vector) / 2, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(image, features[[1, 3]].mean(axis=0), rtol=1e-5)


# Visualness


def shown(words: Sequence[str], images_per_word: int = 10) -> tuple[list[str], np.ndarray]:
    """Texts about images of some words, which are far apart."""
    texts = [f"the {word}" for word in words for _ in range(images_per_word)]
    centers = 10 * np.eye(len(words))
    noise = np.random.default_rng(0).normal(size=(len(texts), len(words)))
    return texts, np.repeat(centers, images_per_word, axis=0) + noise


def test_stop_words_have_less_to_show() -> None:
    content = ("dog", "cat", "fish")
    texts, features = shown(content)
    vocab = vocab_of(["the", *content])
    model = make_model()
    fitted = fit(model, [caption(t, vocab) for t in texts], np.arange(30), features)
    words = [vocab[word] for word in (*content, "the")]
    _, visualness = matching_of(model).form_queries(model, words)
    # Each content word is a third of all, so none may be lost.
    assert fitted["min_visualness"] == pytest.approx(visualness[:3].min(), abs=1e-3)
    assert visualness[3] < fitted["min_visualness"]


@pytest.mark.parametrize("n_rare", [MIN_IMAGES, 3 * MIN_IMAGES])
def test_few_content_words_are_lost(n_rare: int) -> None:
    """A word that is below 1% of all content words may have no vokens, a more frequent one not."""
    texts, features = shown(("dog", "cat"), images_per_word=400)
    # Rare words in images of both kinds.
    random = np.random.default_rng(0)
    for row in random.permutation(800)[:n_rare]:
        texts[row] += " idea"
    vocab = vocab_of(["the", "dog", "cat", "idea"])
    # Idea is like "the".
    vocab.set_vector("idea", vocab["the"].vector * np.float32(1.1))
    model = make_model()
    fitted = fit(model, [caption(t, vocab) for t in texts], np.arange(800), features)
    _, visualness = matching_of(model).form_queries(model, [vocab["idea"], vocab["dog"]])
    assert visualness[0] < visualness[1]
    is_lost = visualness[0] < fitted["min_visualness"]
    assert is_lost == (n_rare == MIN_IMAGES)


def test_languages_without_stop_words_keep_all() -> None:
    texts, features = shown(("dog", "cat", "fish"))
    vocab = vocab_of(["the", "dog", "cat", "fish"], lang=LANG)
    docs = [caption(t, vocab) for t in texts]
    assert fit(make_model(), docs, np.arange(30), features) == {"min_visualness": None}


def test_too_few_images_keep_all() -> None:
    texts, features = shown(("dog", "cat"), images_per_word=MIN_IMAGES - 1)
    vocab = vocab_of(["the", "dog", "cat"])
    docs = [caption(t, vocab) for t in texts]
    rows = np.arange(len(docs))
    assert fit(make_model(), docs, rows, features) == {"min_visualness": None}


# Queries and keys


@pytest.fixture(scope="module")
def fitted() -> tuple[Model, Vocab, np.ndarray]:
    """A model that has seen some words, their vocabulary, and features of four images."""
    fix_random_seed(0)
    words = ("dog", "dogs", "cat", "photo", "fish")
    vocab = vocab_of(words)
    features = np.random.default_rng(0).normal(size=(4, DIMENSION))
    model = make_model()
    docs = [caption(word, vocab) for word in words]
    fit(model, docs, np.array([0, 1, 2, 3, 0]), features)
    return model, vocab, features


Fitted = tuple[Model, Vocab, np.ndarray]


def keys_of(fitted: Fitted, texts: Sequence[str], features: np.ndarray | None = None) -> np.ndarray:
    model, vocab, own = fitted
    words = [[vocab[word] for word in text.split()] for text in texts]
    return matching_of(model).keys(model, own if features is None else features, words, "en")


def queries_of(fitted: Fitted, *words: str) -> np.ndarray:
    model, vocab, _ = fitted
    return matching_of(model).form_queries(model, [vocab[word] for word in words])[0]


def test_queries_do_not_depend_on_the_batch(fitted: Fitted) -> None:
    words = ("dog", "zebra", "cat", "photo", "fish")
    together = queries_of(fitted, *words)
    alone = np.concatenate([queries_of(fitted, word) for word in words])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)
    assert np.isnan(together).any(axis=1).tolist() == [False, True, False, False, False]
    np.testing.assert_allclose(np.delete(np.linalg.norm(together, axis=1), 1), 1, rtol=1e-5)


def test_visualness_of_unknown_words(fitted: Fitted) -> None:
    model, vocab, _ = fitted
    _, visualness = matching_of(model).form_queries(model, [vocab["zebra"], vocab["dog"]])
    assert np.isnan(visualness).tolist() == [True, False]


def test_queries_of_no_words(fitted: Fitted) -> None:
    queries, visualness = matching_of(fitted[0]).form_queries(fitted[0], [])
    assert queries.shape == (0, 8)
    assert visualness.shape == (0,)


def test_keys_without_texts_are_those_of_images(fitted: Fitted) -> None:
    model, _, features = fitted
    expected = apply_tower(model.get_ref("image_tower"), features)
    for texts in ([], [""] * 4):
        np.testing.assert_array_equal(keys_of(fitted, texts), expected)
    np.testing.assert_allclose(np.linalg.norm(expected, axis=1), 1, rtol=1e-5)


def test_keys_are_weighted_means_of_image_and_words(fitted: Fitted) -> None:
    model, _, features = fitted
    # "dog" and "dogs" are forms of a word that two of three images have; "zebra" has no vector.
    found = keys_of(fitted, ["dog photo dog", "zebra dogs", "", "cat photo"])
    dog, dogs, cat, photo = queries_of(fitted, "dog", "dogs", "cat", "photo")
    often, once = math.log(3 / 2) ** IDF_POWER, math.log(3) ** IDF_POWER
    twice = math.sqrt(2)
    of_texts = [
        often * twice * dog + often * photo,
        often * dogs,
        0 * cat,
        once * cat + often * photo,
    ]
    images = apply_tower(model.get_ref("image_tower"), features)
    for key, image, of_text in zip(found, images, of_texts, strict=True):
        length = np.linalg.norm(of_text)
        joined = image + model.attrs["text_weight"] * (of_text / length if length else of_text)
        np.testing.assert_allclose(key, joined / np.linalg.norm(joined), rtol=1e-4, atol=1e-5)


def test_an_image_is_best_for_what_its_text_alone_says(fitted: Fitted) -> None:
    equal = np.ones((4, DIMENSION))
    keys = keys_of(fitted, ["photo dog", "photo", "cat photo", "photo fish"], equal)
    scores = queries_of(fitted, "dog", "cat", "fish") @ keys.T
    assert scores.argmax(axis=1).tolist() == [0, 2, 3]


def test_words_of_all_images_do_not_count(fitted: Fitted) -> None:
    texts = ["dog", "cat", "fish", "cat"]
    np.testing.assert_allclose(
        keys_of(fitted, [f"photo {text}" for text in texts]), keys_of(fitted, texts), rtol=1e-6
    )
    np.testing.assert_allclose(keys_of(fitted, ["photo"] * 4), keys_of(fitted, []), rtol=1e-5)


def test_words_without_vectors_do_not_count(fitted: Fitted) -> None:
    found = keys_of(fitted, ["zebra", "", "", "zebra panda"])
    np.testing.assert_allclose(found, keys_of(fitted, []), rtol=1e-5)


def test_text_weight(fitted: Fitted) -> None:
    model, _, features = fitted
    light = copy.deepcopy(model)
    light.attrs["text_weight"] = 0.0
    texts = [[fitted[1]["dog"]], [fitted[1]["cat"]], [], []]
    found = matching_of(light).keys(light, features, texts, "en")
    np.testing.assert_allclose(found, keys_of(fitted, []), rtol=1e-5)
    assert make_model(text_weight=0.5).attrs["text_weight"] == 0.5


# The model as a layer


def test_tokens_of_a_form_share_a_query(fitted: Fitted) -> None:
    model, vocab, _ = fitted
    docs = [Doc(vocab), caption("dog zebra dog", vocab), caption("cat dog", vocab)]
    found = model.predict(docs)
    assert [query.shape for query in found] == [(0, 8), (3, 8), (2, 8)]
    dog, zebra, cat = queries_of(fitted, "dog", "zebra", "cat")
    assert np.isnan(zebra).all()
    np.testing.assert_allclose(found[1], [dog, zebra, dog], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[2], [cat, dog], rtol=1e-5, atol=1e-6)


def test_gradients_of_repeated_forms_add_up(fitted: Fitted) -> None:
    model, vocab, _ = fitted
    docs = [caption("dog zebra dog", vocab), Doc(vocab), caption("cat dog", vocab)]
    d_queries = [np.random.default_rng(0).normal(size=(len(d), 8)).astype("f") for d in docs]
    # What comes back for a token without a query does not count.
    d_queries[0][1] = np.nan
    _, backprop = model.begin_update(docs)
    backprop(d_queries)
    found = gradients_of(model, "text_tower")
    tokens = [token for doc in docs for token in doc]
    known = [row for row, token in enumerate(tokens) if token.text != "zebra"]
    vectors = torch.from_numpy(np.array([tokens[row].vector for row in known]))
    queries = get_module(model.get_ref("text_tower"))(vectors)
    queries.backward(torch.from_numpy(np.concatenate(d_queries)[known]))
    torch.testing.assert_close(found, gradients_of(model, "text_tower"), rtol=1e-4, atol=1e-5)
    assert any(gradient.abs().max() > 0.1 for gradient in found)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_do_without_the_texts_of_training(fitted: Fitted, copied: Any) -> None:
    model, vocab, features = fitted
    other = copied(model)
    assert isinstance(matching_of(other), WordMatching)
    assert matching_of(other) is not matching_of(model)
    assert matching_of(other)._texts is None
    assert matching_of(model)._texts is not None
    words = [vocab["dog"]]
    np.testing.assert_array_equal(
        matching_of(other).form_queries(other, words)[0],
        matching_of(model).form_queries(model, words)[0],
    )
    np.testing.assert_array_equal(
        matching_of(other).keys(other, features), matching_of(model).keys(model, features)
    )


def test_stored_models_give_the_same(fitted: Fitted) -> None:
    model, vocab, features = fitted
    other = make_model()
    matching_of(other).build(other, {"text_width": WIDTH, "image_width": DIMENSION})
    other.from_bytes(model.to_bytes())
    words = [vocab["dog"], vocab["zebra"]]
    for ours, theirs in zip(
        matching_of(other).form_queries(other, words),
        matching_of(model).form_queries(model, words),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(
        matching_of(other).keys(other, features), matching_of(model).keys(model, features)
    )


# Scenes


def made_scenes(n_texts: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scenes that a linear map takes to their images; two texts for each image."""
    random = np.random.default_rng(0)
    features = random.normal(size=(n_texts // 2 + 3, 5))
    rows = np.repeat(np.arange(n_texts // 2), 2)
    scenes = features[rows] @ random.normal(size=(5, 12)) + 0.1 * random.normal(size=(n_texts, 12))
    return scenes.astype(np.float32), rows, features


def model_with_scenes() -> Model:
    model = make_model()
    matching_of(model).build(model, {"text_width": WIDTH, "image_width": 5, "scene_width": 12})
    return model


def fit_scenes(model: Model, *, seed: int = 0, steps: int = 60, **more: Any) -> list[float]:
    scenes, rows, features = made_scenes()
    fix_random_seed(0)
    matching = matching_of(model)
    assert isinstance(matching, WordMatching)
    found = matching.fit_scenes(
        model, scenes, rows, features, steps=steps, batch_size=20, seed=seed, **more
    )
    return list(found)


def test_scenes_learn_which_image_they_are_of() -> None:
    model = model_with_scenes()
    before = matching_of(model).keys(model, made_scenes()[2])
    losses = fit_scenes(model, learn_rate=0.01)
    assert len(losses) == 60
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    scenes, rows, features = made_scenes()
    keys = matching_of(model).keys(model, features)
    # The word part stays as it is.
    np.testing.assert_array_equal(keys[:, :8], before[:, :8])
    scene_keys = keys[:, 8:]
    np.testing.assert_array_equal(
        scene_keys, apply_tower(model.get_ref("scene_image_tower"), features)
    )
    queries = apply_tower(model.get_ref("scene_tower"), scenes)
    assert queries.shape[1] == scene_keys.shape[1] == SCENE_KEY_WIDTH
    assert ((queries @ scene_keys.T).argmax(axis=1) == rows).mean() > 0.9


def test_scenes_standardize_by_images_with_texts() -> None:
    model = model_with_scenes()
    fit_scenes(model, steps=1)
    scenes, rows, features = made_scenes()
    for name, values in (
        ("scene_tower", scenes),
        ("scene_image_tower", features[: rows.max() + 1]),
    ):
        mean = get_module(model.get_ref(name)).standardize.mean
        np.testing.assert_allclose(mean, values.mean(axis=0), rtol=1e-4, atol=1e-5)


def test_seed_decides_how_scenes_learn() -> None:
    model = model_with_scenes()
    first, again, other = (
        fit_scenes(copy.deepcopy(model), seed=seed, steps=3) for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_scenes_learn_with_dropout_and_predict_without() -> None:
    model = model_with_scenes()
    with_dropout = fit_scenes(copy.deepcopy(model), steps=2, dropout=0.5)
    assert with_dropout[0] != fit_scenes(model, steps=2, dropout=0.0)[0]
    tower = model.get_ref("scene_tower")
    set_dropout_rate(tower, 0.5)
    np.testing.assert_array_equal(
        apply_tower(tower, made_scenes()[0]), apply_tower(tower, made_scenes()[0])
    )


def test_scene_part_is_added_and_replaced() -> None:
    model = make_model()
    matching = matching_of(model)
    assert isinstance(matching, WordMatching)
    matching.build(model, {"text_width": WIDTH, "image_width": 5})
    assert matching.scene_width(model) is None
    assert matching.keys(model, np.ones((2, 5))).shape == (2, 8)
    n_layers = len(model.layers)
    for width in (12, 7):
        matching.add_scene_part(model, width, 5)
        assert matching.scene_width(model) == width
        assert len(model.layers) == n_layers + 2
        assert model.get_ref("scene_tower") in model.layers
        assert apply_tower(model.get_ref("scene_tower"), np.ones((1, width))).shape[1] == 64
        assert matching.keys(model, np.ones((2, 5))).shape == (2, 8 + SCENE_KEY_WIDTH)


def test_texts_do_not_change_the_scene_part_of_keys() -> None:
    vocab = vocab_of(["dog", "cat"])
    model = model_with_scenes()
    matching_of(model).text_width(model, [caption("dog", vocab)])
    words: list[list[Lexeme]] = [[vocab["dog"]], [vocab["cat"]]]
    features = made_scenes()[2][:2]
    without, with_texts = (
        matching_of(model).keys(model, features, texts, "en") for texts in ([], words)
    )
    np.testing.assert_array_equal(with_texts[:, 8:], without[:, 8:])
    assert np.abs(with_texts[:, :8] - without[:, :8]).max() > 0.1
