"""The retriever with a matching model of single words."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Config

from spacy_vokens.attributes import find_index, get_token_values
from spacy_vokens.images.pool import ImagePool
from spacy_vokens.models.matching import matching_of
from spacy_vokens.pipeline.search import SearchSettings
from spacy_vokens.pipeline.voken_retriever import VokenRetriever
from tests.conftest import IMAGES, LANG
from tests.fixtures import KIND_IMAGES, KINDS, caption, save_bert

# "cow" and "zebra" have no vector: the text encoder lacks their pieces.
TEXTS = [
    "a red cat in paris",
    "we see the dog !",
    "",
    "fish",
    "cow zebra",
    "the big apple . " * 20,
    "anna  cats \n dogs",
    "the red fish",
]
NAME = "voken_retriever"


def vokens(doc: Doc) -> list[str | None]:
    return get_token_values(doc, "voken")


def scores(doc: Doc) -> list[float]:
    return [score or 0.0 for score in get_token_values(doc, "voken_score")]


def assert_same(found: list[Doc], expected: list[Doc]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.text == other.text
        assert vokens(one) == vokens(other)
        assert one._.voken_index == other._.voken_index
        assert scores(one) == pytest.approx(scores(other), abs=1e-5)


def kind_of(voken: str | None) -> str | None:
    return voken and voken.partition("-")[0]


def visualness(retriever: VokenRetriever, *words: str) -> list[float]:
    lexemes = [retriever.vocab[word] for word in words]
    return matching_of(retriever.model).form_queries(retriever.model, lexemes)[1].tolist()


@pytest.fixture
def retriever(word_vokenizer: Language) -> VokenRetriever:
    return word_vokenizer.get_pipe(NAME)


@pytest.fixture(scope="module")
def english_path(
    make_word_vokenizer: Callable[..., Language], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Folder of a vokenizer of a language whose stop words are known."""
    path = tmp_path_factory.mktemp("models") / "english"
    make_word_vokenizer("en", steps=40).to_disk(path)
    return path


@pytest.fixture
def english(english_path: Path) -> Language:
    return spacy.load(english_path)


# Vokens by form


def test_a_word_gets_an_image_that_shows_it(word_vokenizer: Language) -> None:
    for kind in KINDS:
        doc = word_vokenizer(f"a {kind} !")
        assert kind_of(doc[1]._.voken) == kind
        assert doc[1]._.voken_score > 0.3
        assert doc[2]._.voken is None, "punctuation is skipped"
        assert doc._.voken_index == str(word_vokenizer.get_pipe("voken_retriever").index.mark)


def test_the_context_does_not_count(word_vokenizer: Language) -> None:
    (alone,) = vokens(word_vokenizer("cat"))
    assert alone is not None
    assert vokens(word_vokenizer("the dog cat fish"))[2] == alone


def test_vokens_are_those_of_the_queries_and_keys(
    word_vokenizer: Language, retriever: VokenRetriever
) -> None:
    """Computed here without a table and without a search."""
    doc = word_vokenizer("we see the big red dog in paris")
    lexemes = [word_vokenizer.vocab[token.text] for token in doc]
    queries, _ = matching_of(retriever.model).form_queries(retriever.model, lexemes)
    relevance = queries @ retriever.index.keys.T
    assert vokens(doc) == [retriever.index.ids[row] for row in relevance.argmax(axis=1)]
    assert scores(doc) == pytest.approx(relevance.max(axis=1).tolist(), abs=1e-5)
    np.testing.assert_allclose(retriever.queries([doc])[0], queries, atol=1e-6)


def test_words_without_a_vector_and_white_space_have_no_voken(word_vokenizer: Language) -> None:
    words = ["cat", " ", "cow", "\n", "\ufe0f", "\u200b", "قطة", "x" * 600, "!", "dog"]
    doc = word_vokenizer(Doc(word_vokenizer.vocab, words=words))
    found = dict(zip(words, vokens(doc), strict=True))
    assert [word for word in words if found[word] is not None] == ["cat", "dog"]
    assert get_token_values(doc, "voken_score")[1:-1] == [None] * 8


def test_white_space_has_no_voken_even_if_nothing_is_skipped(
    make_word_vokenizer: Callable[..., Language],
) -> None:
    nlp = make_word_vokenizer(skip=[])
    doc = nlp(Doc(nlp.vocab, words=["cat", " ", "\n\n", "!"]))
    assert [voken is not None for voken in vokens(doc)] == [True, False, False, True]


def test_case_is_that_of_the_vectors(word_vokenizer: Language) -> None:
    """The tiny encoder ignores case; forms that differ in it are other rows of the table."""
    doc = word_vokenizer("cat Cat CAT")
    assert len(set(vokens(doc))) == 1
    assert doc[0]._.voken is not None


# Batches, order and threads


@pytest.mark.parametrize("batch_size", [1, 2, 3, 128])
def test_batches_do_not_count(word_vokenizer_path: Path, batch_size: int) -> None:
    first, second = spacy.load(word_vokenizer_path), spacy.load(word_vokenizer_path)
    assert_same(list(first.pipe(TEXTS, batch_size=batch_size)), [second(text) for text in TEXTS])


@pytest.fixture(scope="module")
def loaded(word_vokenizer_path: Path) -> Language:
    return spacy.load(word_vokenizer_path)


def forget(nlp: Language) -> Language:
    """Begin new tables of forms."""
    nlp.get_pipe(NAME).index = nlp.get_pipe(NAME).index
    return nlp


@settings(max_examples=30)
@given(
    batches=st.lists(
        st.lists(st.text(st.sampled_from("catdogfishesred !\n"), max_size=8), max_size=5),
        max_size=4,
    )
)
def test_neighbors_order_and_what_was_seen_do_not_count(
    loaded: Language, batches: list[list[str]]
) -> None:
    """Each batch after those before it, against each text on its own with an empty table."""
    batches = [[f"{text} cat" for text in batch] for batch in batches]
    found = [list(forget(loaded).pipe(batch)) for batch in batches[:1]]
    found += [list(loaded.pipe(batch)) for batch in batches[1:]]
    for batch, docs in zip(batches, found, strict=True):
        assert_same(docs, [forget(loaded)(text) for text in batch])


def test_a_form_is_asked_for_once(
    word_vokenizer: Language, retriever: VokenRetriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    matching = type(matching_of(retriever.model))
    form_queries = matching.form_queries

    def record(self, model, words):
        asked.extend(word.text for word in words)
        return form_queries(self, model, words)

    monkeypatch.setattr(matching, "form_queries", record)
    list(word_vokenizer.pipe([*TEXTS, *TEXTS], batch_size=3))
    word_vokenizer("the red fish")
    assert len(asked) == len(set(asked))
    assert {"cat", "fish", "cow"} < set(asked)


@pytest.mark.parametrize("text", ["", " ", "cow"])
def test_the_first_document_may_have_nothing_to_find(word_vokenizer: Language, text: str) -> None:
    assert set(vokens(word_vokenizer(text))) <= {None}
    assert kind_of(word_vokenizer("cat")[0]._.voken) == "cat"
    assert list(word_vokenizer.pipe(["", ""]))[1].text == ""


# Before the threads below: a process that is forked while others end may hang in PyTorch.
@pytest.mark.parametrize("is_used", [False, True])
def test_multiprocessing(word_vokenizer: Language, is_used: bool) -> None:
    """In processes that begin with a table of forms, and without one."""
    if is_used:
        list(word_vokenizer.pipe(TEXTS))
    docs = list(word_vokenizer.pipe(TEXTS * 2, n_process=2, batch_size=3))
    assert_same(docs, [word_vokenizer(text) for text in TEXTS * 2])
    assert find_index(docs[0]) is word_vokenizer.get_pipe(NAME).index


def test_threads_get_the_same_vokens(
    word_vokenizer: Language, word_vokenizer_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first document on, while all forms are new, and with a table that overflows."""
    monkeypatch.setattr("spacy_vokens.pipeline.forms.FormTable.__init__.__defaults__", (7,))
    expected = [spacy.load(word_vokenizer_path)(text) for text in TEXTS * 3]
    docs = [word_vokenizer.make_doc(text) for text in TEXTS * 3]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(word_vokenizer.get_pipe(NAME), docs))
    assert_same(found, expected)


def test_a_new_pool_while_another_thread_asks(
    retriever: VokenRetriever, make_kind_pool: Callable[..., ImagePool]
) -> None:
    """What a thread found in the old index must not be remembered for the new one."""
    docs = [Doc(retriever.vocab, words=["cat", "dog"])]
    # A thread that began before the pool was set.
    old, settings = retriever._search, SearchSettings(0.0, None, 0)
    retriever.set_pool(make_kind_pool({"cat-1": ("a dog",), "dog-1": ("a cat",)}))
    before, _ = old.find(docs, 1, settings)
    after, _ = retriever._search.find(docs, 1, settings)
    assert before[:, 0].tolist() != after[:, 0].tolist()
    assert after[:, 0].tolist() == vokens(retriever(docs[0]))


# Settings, as for the other model


def test_top_k(word_vokenizer: Language, retriever: VokenRetriever) -> None:
    """Changed after use, up and down."""
    first = word_vokenizer("a cat !")
    assert first[1]._.vokens is None
    for retriever.top_k in (3, 2, 99, 1, 3):
        doc = word_vokenizer("a cat cow !")
        assert doc[1]._.voken == first[1]._.voken
        ranked = doc[1]._.vokens
        if retriever.top_k == 1:
            assert ranked is None
            continue
        assert len(ranked) == min(retriever.top_k, len(KIND_IMAGES))
        assert len({image for image, _ in ranked}) == len(ranked)
        assert ranked[0] == [doc[1]._.voken, doc[1]._.voken_score]
        assert [s for _, s in ranked] == sorted((s for _, s in ranked), reverse=True)
        assert doc[2]._.vokens is doc[3]._.vokens is None


def test_exclude_own(word_vokenizer: Language, retriever: VokenRetriever) -> None:
    """Each document of a batch has its own image; words are looked up once for all."""
    retriever.top_k = len(KIND_IMAGES)
    ranked = [image for image, _ in word_vokenizer("cat")[0]._.vokens]
    retriever.exclude_own = True
    for retriever.top_k in (1, 2, 4):
        docs = [word_vokenizer.make_doc("a cat !") for _ in range(4)]
        own = [ranked[0], ranked[1], None, "elsewhere"]
        for doc, image in zip(docs, own, strict=True):
            doc._.visual_image_id = image
        for doc, image in zip(retriever.pipe(docs), own, strict=True):
            expected = [i for i in ranked if i != image][: retriever.top_k]
            assert doc[1]._.voken == expected[0]
            if retriever.top_k > 1:
                assert [i for i, _ in doc[1]._.vokens] == expected


def test_skip_and_threshold(word_vokenizer: Language, retriever: VokenRetriever) -> None:
    doc = word_vokenizer("a cat ! cow")
    assert [voken is None for voken in vokens(doc)] == [False, False, True, True]
    retriever.threshold = (doc[0]._.voken_score + doc[1]._.voken_score) / 2
    assert doc[0]._.voken_score < retriever.threshold, "or this test says nothing"
    assert vokens(word_vokenizer("a cat !")) == [None, doc[1]._.voken, None]
    retriever.threshold = None
    assert vokens(word_vokenizer("a cat ! cow")) == vokens(doc)


def test_skip_of_another_flag(word_vokenizer_path: Path) -> None:
    settings = {"components": {NAME: {"skip": ["is_title"]}}}
    nlp = spacy.load(word_vokenizer_path, config=settings)
    assert [voken is None for voken in vokens(nlp("cat Cat !"))] == [False, True, False]


def test_documents_with_vokens_are_left_alone(
    word_vokenizer: Language, retriever: VokenRetriever
) -> None:
    doc = word_vokenizer("a cat")
    doc[1]._.voken = "kept"
    assert retriever(doc)[1]._.voken == "kept"
    assert next(retriever.pipe([doc]))[1]._.voken == "kept"
    retriever.overwrite = True
    assert kind_of(retriever(doc)[1]._.voken) == "cat"


def test_what_is_left_of_earlier_vokens_is_cleared(
    word_vokenizer: Language, retriever: VokenRetriever
) -> None:
    """Tokens that had a voken, a score and a ranking, and have none now."""
    retriever.overwrite, retriever.top_k = True, 3
    doc = word_vokenizer("cat cow ! dog")
    for token in doc:
        token._.voken, token._.voken_score, token._.vokens = "old", 9.0, [["old", 9.0]]
    doc = retriever(doc)
    assert [kind_of(voken) for voken in vokens(doc)] == ["cat", None, None, "dog"]
    for name in ("voken_score", "vokens"):
        values = get_token_values(doc, name)
        assert [value is None for value in values] == [False, True, True, False]
    retriever.top_k, retriever.min_visualness = 1, max(visualness(retriever, "cat", "dog"))
    doc = retriever(doc)
    assert sorted(voken is None for voken in vokens(doc)) == [False, True, True, True]
    assert get_token_values(doc, "vokens") == [None] * 4
    retriever.min_visualness = np.inf
    doc = retriever(doc)
    assert vokens(doc) == get_token_values(doc, "voken_score") == [None] * 4
    assert doc._.voken_index == str(retriever.index.mark), "it was looked at all the same"


def test_a_token_of_a_document_without_vokens_gets_one(word_vokenizer: Language) -> None:
    doc = word_vokenizer.make_doc("cat")
    assert (vokens(doc), doc._.voken_index) == ([None], None)
    assert kind_of(word_vokenizer(doc)[0]._.voken) == "cat"


# Visualness


def test_the_fitted_visualness_decides(english: Language) -> None:
    retriever = english.get_pipe(NAME)
    least = retriever.cfg["min_visualness"]
    words = [*KINDS, "a", "the", "in", "we", "see", "big", "paris"]
    expected = [value >= least for value in visualness(retriever, *words)]
    assert expected[:3] == [True] * 3, "these have pictures of their own"
    assert False in expected, "or this test says nothing"
    doc = english(Doc(english.vocab, words=words))
    assert [voken is not None for voken in vokens(doc)] == expected
    assert [score is not None for score in get_token_values(doc, "voken_score")] == expected


def test_few_content_words_lose_their_vokens(english: Language) -> None:
    """The fitted value is such that 1% of the content words in the texts are below it, at most."""
    retriever = english.get_pipe(NAME)
    counts = {"cat": 15, "dog": 15, "fish": 15, "paris": 15, "big": 15}
    values = visualness(retriever, *counts)
    assert retriever.cfg["min_visualness"] == pytest.approx(min(values), abs=1e-3)


def test_a_number_overrides_the_fitted_visualness(english: Language) -> None:
    retriever = english.get_pipe(NAME)
    words = [*KINDS, "a", "the", "in", "we", "see"]
    values = dict(zip(words, visualness(retriever, *words), strict=True))
    doc = Doc(english.vocab, words=words)
    retriever.overwrite = True
    fitted = vokens(retriever(doc))
    # After use, up and down and back.
    ordered = sorted(values.values())
    for low, high in pairwise(ordered):
        retriever.min_visualness = (low + high) / 2
        found = [voken is not None for voken in vokens(retriever(doc))]
        assert found == [values[word] > retriever.min_visualness for word in words]
    retriever.min_visualness = float("-inf")
    assert None not in vokens(retriever(doc))
    retriever.min_visualness = None
    assert vokens(retriever(doc)) == fitted


def test_words_without_a_vector_stay_without_a_voken_whatever_the_visualness(
    english: Language,
) -> None:
    english.get_pipe(NAME).min_visualness = float("-inf")
    assert vokens(english("cow cat"))[0] is None
    assert english("cow cat")[1]._.voken is not None


def test_a_language_without_stop_words_keeps_all(
    word_vokenizer: Language, retriever: VokenRetriever
) -> None:
    assert retriever.cfg["min_visualness"] is None
    assert None not in vokens(word_vokenizer("a cat in the big red paris"))


@pytest.mark.parametrize(("setting", "expected"), [("-inf", -np.inf), ("-2.5", -2.5)])
def test_visualness_in_a_config(
    english: Language, english_path: Path, tmp_path: Path, setting: str, expected: float
) -> None:
    """JSON has no infinite numbers, so a config has a string; and it is stored and read again."""
    config = Config().from_str(
        Config()
        .from_disk(english_path / "config.cfg")
        .to_str()
        .replace("min_visualness = null", f"min_visualness = {setting}")
    )
    nlp = spacy.util.load_model_from_config(config).from_disk(english_path)
    nlp.to_disk(tmp_path)
    for pipeline in (nlp, spacy.load(tmp_path)):
        assert pipeline.get_pipe(NAME).min_visualness == expected
        words = ["a", "the", "cat", "in"]
        doc = pipeline(Doc(pipeline.vocab, words=words))
        values = visualness(pipeline.get_pipe(NAME), *words)
        assert [voken is not None for voken in vokens(doc)] == [v >= expected for v in values]


# Pools and their texts


def test_another_pool_takes_effect(
    word_vokenizer: Language, retriever: VokenRetriever, make_pool: Callable[..., ImagePool]
) -> None:
    doc = word_vokenizer("a cat")
    retriever.set_pool(make_pool())
    assert set(vokens(retriever(doc))) <= set(IMAGES), "documents are grounded anew"
    assert set(vokens(word_vokenizer("a cat"))) <= set(IMAGES)


def test_the_texts_of_a_pool_count(
    word_vokenizer: Language, retriever: VokenRetriever, make_kind_pool: Callable[..., ImagePool]
) -> None:
    """Of all pictures of a fish, one is said to show paris, and two a cat."""
    plain = retriever.index
    without = [word_vokenizer(text) for text in ("paris", "cat")]
    texts = {"fish-2": ("Paris !",), "fish-0": ("a cat",), "fish-1": ("cat dog", "dog")}
    pool = make_kind_pool(texts)
    retriever.set_pool(pool)
    assert word_vokenizer("paris")[0]._.voken == "fish-2"
    assert retriever.index.pool != plain.pool
    assert retriever.index.mark != plain.mark
    changed = (np.abs(retriever.index.keys - plain.keys) > 1e-4).any(axis=1)
    assert {i for i, is_other in zip(plain.ids, changed, strict=True) if is_other} == set(texts)
    np.testing.assert_allclose(np.linalg.norm(retriever.index.keys, axis=1), 1.0, atol=1e-5)
    retriever.set_pool(pool, use_texts=False)
    np.testing.assert_allclose(retriever.index.keys, plain.keys, atol=1e-6)
    assert retriever.index.pool == pool.id, "it is another pool all the same"
    for doc in without:
        found = word_vokenizer(doc.text)
        assert vokens(found) == vokens(doc)
        assert found._.voken_index != doc._.voken_index


def test_case_and_punctuation_of_texts_do_not_count(
    retriever: VokenRetriever, make_kind_pool: Callable[..., ImagePool]
) -> None:
    keys = []
    for texts in (("a cat",), ("A  CAT !",), ("cat a cow",)):
        retriever.set_pool(make_kind_pool({"dog-0": texts, "fish-1": ("a dog",)}))
        keys.append(retriever.index.keys)
    np.testing.assert_allclose(keys[0], keys[1], atol=1e-6)
    np.testing.assert_allclose(keys[0], keys[2], atol=1e-6)
    assert (keys[0] != keys[1]).sum() <= keys[0].size


def test_what_all_texts_of_an_image_name_counts_most(
    retriever: VokenRetriever, make_kind_pool: Callable[..., ImagePool]
) -> None:
    texts = {"dog-0": ("cat dog", "cat"), "fish-1": ("cat dog", "dog"), "cat-1": ("fish",)}
    retriever.set_pool(make_kind_pool(texts))
    for word, best in (("cat", "dog-0"), ("dog", "fish-1")):
        ranked = [image for image, _ in retriever.search(word, 10**6)]
        assert next(image for image in ranked if texts.get(image)) == best


def test_equal_images_with_equal_texts_have_equal_keys(
    retriever: VokenRetriever, make_kind_pool: Callable[..., ImagePool]
) -> None:
    pool = make_kind_pool()
    features = np.repeat(pool.features[:3], 2, axis=0)
    texts = [("a cat",), ("a cat",), ("a cat",), ("a dog",), (), ()]
    words = [
        [word for text in of_image for word in retriever._words_of(text)] for of_image in texts
    ]
    keys = retriever._compute_keys(features, words)
    assert [(keys[i] == keys[i + 1]).all() for i in (0, 2, 4)] == [True, False, True]


def test_images_remember_their_texts(
    retriever: VokenRetriever, make_kind_pool: Callable[..., ImagePool], tmp_path: Path
) -> None:
    retriever.set_pool(make_kind_pool({"cat-0": ("a cat", "the cat")}))
    retriever.to_disk(tmp_path)
    retriever.from_disk(tmp_path)
    assert retriever.image("cat-0").texts == ("a cat", "the cat")
    assert retriever.image("cat-1").texts == ()


# Training


def test_training_drops_what_is_known_of_forms(
    make_word_vokenizer: Callable[..., Language], kind_pool: ImagePool
) -> None:
    nlp = make_word_vokenizer()
    retriever = nlp.get_pipe(NAME)
    doc = nlp("a cat")
    before = retriever.queries([doc])[0]
    examples = [caption(nlp, "a cat", "cat-0"), caption(nlp, "a dog", "dog-0")]
    nlp.update(examples, sgd=nlp.create_optimizer())
    assert retriever.index is None
    assert np.abs(retriever.queries([doc])[0] - before).max() > 1e-5
    retriever.set_pool(kind_pool)
    assert np.abs(np.array(scores(retriever(doc))) - scores(nlp("a cat"))).max() < 1e-6


def test_queries_follow_the_weights_during_training(
    make_word_vokenizer: Callable[..., Language],
) -> None:
    """Also between the steps of an update, and with the averages of the weights."""
    nlp = make_word_vokenizer(indexed=False)
    retriever, doc = nlp.get_pipe(NAME), nlp.make_doc("a cat")
    examples = [caption(nlp, "a cat", "cat-0"), caption(nlp, "a dog", "dog-0")]
    optimizer = nlp.create_optimizer()
    retriever.update(examples)
    before = retriever.queries([doc])[0]
    retriever.finish_update(optimizer)
    after = retriever.queries([doc])[0]
    assert np.abs(after - before).max() > 1e-5
    doubled = {
        f"pytorch_{shim.id}_{name}": 2 * weights.numpy()
        for node in retriever.model.walk()
        for shim in node.shims
        for name, weights in shim._model.state_dict().items()
    }
    with nlp.use_params(doubled):
        other = retriever.queries([doc])[0]
    again = retriever.queries([doc])[0]
    np.testing.assert_allclose(again, after, atol=1e-6)
    assert np.abs(other - after).max() > 1e-5


def test_a_word_is_learned_with_all_images_whose_texts_have_it(
    make_word_vokenizer: Callable[..., Language],
) -> None:
    """The pair of a word with one image of its kind finds others too."""
    nlp = make_word_vokenizer(steps=40)
    retriever = nlp.get_pipe(NAME)
    retriever.top_k = 5
    for kind in KINDS:
        found = [kind_of(image) for image, _ in nlp(kind)[0]._.vokens]
        assert found.count(kind) >= 3


def test_scores_of_retrieval(word_vokenizer: Language, retriever: VokenRetriever) -> None:
    examples = [
        *(caption(word_vokenizer, kind, f"{kind}-0") for kind in KINDS),
        caption(word_vokenizer, "cow", "cat-0"),
        Example(Doc(word_vokenizer.vocab), Doc(word_vokenizer.vocab)),
    ]
    found = retriever.score(examples)
    assert found["voken_sent_r1"] == 1.0


def test_recall_with_texts_in_the_keys_says_so_once(
    retriever: VokenRetriever,
    make_kind_pool: Callable[..., ImagePool],
    caplog: pytest.LogCaptureFixture,
) -> None:
    pool = make_kind_pool({"dog-0": ("a dog",)})
    retriever._pool = None
    retriever.set_pool(pool, use_texts=False)
    retriever.keys(["dog-0"])
    assert not caplog.messages
    retriever.set_pool(pool)
    for _ in range(2):
        retriever.keys(["dog-0"])
    (message,) = caplog.messages
    assert "texts of the images are part of their keys" in message


def test_words_without_a_vector_are_no_reason_for_a_warning(
    retriever: VokenRetriever, caplog: pytest.LogCaptureFixture
) -> None:
    (query,) = retriever.queries([Doc(retriever.vocab, words=["cow", "cat"])])
    assert np.isnan(query).any(axis=1).tolist() == [True, False]
    assert caplog.messages == []


def test_queries_of_empty_documents(retriever: VokenRetriever) -> None:
    empty, filled = Doc(retriever.vocab), Doc(retriever.vocab, words=["cat"])
    assert [q.shape for q in retriever.queries([empty])] == [(0, 8)]
    assert [q.shape for q in retriever.queries([empty, filled, empty])] == [(0, 8), (1, 8), (0, 8)]


def test_a_retriever_without_an_index_says_what_to_do(
    word_vokenizer: Language, retriever: VokenRetriever
) -> None:
    word_vokenizer("cat")
    retriever.index = None
    with pytest.raises(ValueError, match="voken_retriever has no index .*spacy vokens index"):
        word_vokenizer("cat")


def test_not_initialized(word_retriever_config: dict) -> None:
    nlp = spacy.blank(LANG)
    retriever = nlp.add_pipe(NAME, config=word_retriever_config)
    with pytest.raises(ValueError, match="no index"):
        nlp("a cat")
    with pytest.raises(ValueError, match="E109"):
        retriever.queries([nlp.make_doc("a cat")])


# Copies


def round_trip(nlp: Language, how: str, tmp_path: Path) -> Language:
    if how == "bytes":
        return spacy.blank(nlp.lang, config=nlp.config).from_bytes(nlp.to_bytes())
    if how == "disk":
        nlp.to_disk(tmp_path / "copy")
        return spacy.load(tmp_path / "copy")
    if how == "pickle":
        return pickle.loads(pickle.dumps(nlp))
    return copy.deepcopy(nlp)


@pytest.mark.parametrize("is_used", [False, True])
@pytest.mark.parametrize("how", ["bytes", "disk", "pickle", "copy"])
def test_round_trips(
    english: Language,
    make_kind_pool: Callable[..., ImagePool],
    how: str,
    is_used: bool,
    tmp_path: Path,
) -> None:
    """With texts, and what was fitted; before and after words were looked up."""
    retriever = english.get_pipe(NAME)
    pool = make_kind_pool({"fish-2": ("in paris",), "cat-0": ("a dog",)})
    retriever.set_pool(pool)
    if is_used:
        list(english.pipe(TEXTS))
    other = round_trip(english, how, tmp_path)
    assert_same(list(other.pipe(TEXTS)), list(english.pipe(TEXTS)))
    again = other.get_pipe(NAME)
    assert again.cfg == retriever.cfg
    assert again.cfg["min_visualness"] is not None
    # Each has tables of its own.
    again.min_visualness = float("inf")
    assert set(vokens(other("a cat"))) == {None}
    assert english("a cat")[1]._.voken is not None
    # The copy makes the same keys.
    again.set_pool(pool)
    assert again.index.mark == retriever.index.mark


def test_a_copied_component_asks_its_own_index(
    retriever: VokenRetriever, make_pool: Callable[..., ImagePool]
) -> None:
    doc = retriever(Doc(retriever.vocab, words=["cat"]))
    other = copy.copy(retriever)
    other.set_pool(make_pool())
    assert set(vokens(other(Doc(retriever.vocab, words=["cat"])))) <= set(IMAGES)
    assert vokens(retriever(Doc(retriever.vocab, words=["cat"]))) == vokens(doc)


def test_loading_other_weights_drops_what_is_known_of_forms(
    retriever: VokenRetriever, make_word_vokenizer: Callable[..., Language]
) -> None:
    """Also if the index is not loaded."""
    doc = Doc(retriever.vocab, words=["cat", "dog"])
    other = make_word_vokenizer(steps=1).get_pipe(NAME)
    (before,) = retriever.queries([doc])
    retriever.from_bytes(other.to_bytes(), exclude=["keys", "images", "thumbnails", "meta"])
    (after,) = retriever.queries([doc])
    np.testing.assert_allclose(after, other.queries([doc])[0], atol=1e-6)
    assert np.abs(after - before).max() > 1e-3


def test_sourced_into_a_pipeline_with_other_strings(word_vokenizer_path: Path) -> None:
    source, nlp = spacy.load(word_vokenizer_path), spacy.blank(LANG)
    retriever = nlp.add_pipe(NAME, source=source)
    doc = nlp("the catss anna cat")
    assert "catss" not in source.vocab.strings
    assert retriever.vocab is source.vocab
    assert doc.vocab is nlp.vocab
    assert vokens(doc) == vokens(spacy.load(word_vokenizer_path)("the catss anna cat"))
    assert doc[1]._.voken is not None, "its pieces are known"
    assert find_index(doc) is retriever.index
    # Both pipelines share the component and its tables.
    assert_same([source("anna catss")], [nlp("anna catss")])


def test_vokens_survive_docs(word_vokenizer: Language) -> None:
    doc = word_vokenizer("a red cat in paris")
    docbin = DocBin(store_user_data=True, docs=[doc])
    (unpacked,) = DocBin().from_bytes(docbin.to_bytes()).get_docs(Vocab())
    assert vokens(unpacked) == vokens(doc)
    assert unpacked._.voken_index == doc._.voken_index


# Languages


@pytest.mark.parametrize("lang", ["en", "xx"])
def test_languages_with_blanks(make_word_vokenizer: Callable[..., Language], lang: str) -> None:
    nlp = make_word_vokenizer(lang, steps=40)
    assert nlp.pipe_names == [NAME], "no transformer is needed"
    assert kind_of(nlp("a cat!")[1]._.voken) == "cat"


def test_chinese(
    word_retriever_config: dict,
    kind_pool: ImagePool,
    make_kind_pool: Callable[..., ImagePool],
    tmp_path: Path,
) -> None:
    """Each character is a token; the pool's texts are split in the same way."""
    characters = dict(zip(("猫", "狗", "鱼"), KINDS, strict=True))
    encoder = tmp_path / "bert"
    encoder.mkdir()
    save_bert(encoder, [*characters, "一", "只", "的", "红", "。"])
    config = {"model": {**word_retriever_config["model"]}}
    config["model"]["words"] = {**config["model"]["words"], "name": str(encoder)}
    nlp = spacy.blank("zh")
    retriever = nlp.add_pipe(NAME, config=config)
    examples = [
        Example(nlp.make_doc(text), nlp.make_doc(text))
        for character in characters
        for text in (f"一只{character}。", f"红的{character}")
        for _ in range(5)
    ]
    images = [image for image in KIND_IMAGES for _ in range(2)]
    order = [i for kind in KINDS for i in range(len(images)) if images[i].startswith(kind)]
    for example, i in zip(examples, order, strict=True):
        example.reference._.visual_image_id = images[i]
    nlp.config["initialize"]["components"][NAME] = {"pool": str(kind_pool.path)}
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 0.01
    for _ in range(40):
        nlp.update(examples, sgd=optimizer)
    retriever.set_pool(kind_pool)
    nlp.to_disk(tmp_path / "zh")
    nlp = spacy.load(tmp_path / "zh")
    doc = nlp("一只猫和鱼")
    kinds = [kind_of(voken) for voken in vokens(doc)]
    assert [token.text for token in doc] == list("一只猫和鱼")
    assert (kinds[2], kinds[3], kinds[4]) == ("cat", None, "fish")
    nlp.get_pipe(NAME).set_pool(make_kind_pool({"dog-3": ("红红。",), "dog-4": ("一只。",)}))
    assert nlp("红")[0]._.voken == "dog-3"


def test_search_finds_images_of_several_words_as_one(retriever: VokenRetriever) -> None:
    assert kind_of(retriever.search("dog", 1)[0][0]) == "dog"
    doc = Doc(retriever.vocab, words=["we", "see", "the", "dog", "!"])
    assert retriever.search(doc[3:4], 3) == retriever.search("dog", 3)
    both = [kind_of(image) for image, _ in retriever.search("cat fish", 2)]
    assert set(both) <= {"cat", "fish"}
    scores = [score for _, score in retriever.search(doc, 10**6)]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == len(retriever.index.ids)


def test_search_without_a_word_that_counts(retriever: VokenRetriever) -> None:
    assert retriever.search("") == retriever.search("! .") == retriever.search("zebra") == []
    retriever.min_visualness = np.inf
    assert retriever.search("dog") == []
