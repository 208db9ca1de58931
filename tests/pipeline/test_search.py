"""Searching an index for words: what texts and scenes decide among a word's candidates."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import spacy
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc

from spacy_vokens.images.pool import ImagePool
from spacy_vokens.models.matching import matching_of
from spacy_vokens.models.word_matching import hash_stems
from spacy_vokens.pipeline import search
from spacy_vokens.pipeline.voken_retriever import VokenRetriever
from spacy_vokens.stems import stemmer_of
from tests.fixtures import KIND_IMAGES, KINDS

NAME = "voken_retriever"
WORDS = ["we", "see", "the", "big", "dog", "in", "paris", "cat"]


@pytest.fixture
def retriever(word_vokenizer: Language) -> VokenRetriever:
    return word_vokenizer.get_pipe(NAME)


@pytest.fixture(scope="module")
def scenes_path(
    word_tagger_path: Path, kind_pool: ImagePool, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Folder of a pipeline whose retriever has a scene part."""
    nlp = spacy.load(word_tagger_path)
    docs = [nlp.get_pipe("transformer")(nlp.make_doc(f"a {kind} in paris")) for kind in KINDS]
    for doc, kind in zip(docs, KINDS, strict=True):
        doc._.visual_image_id = f"{kind}-0"
    list(nlp.get_pipe(NAME).add_scene_part(docs, kind_pool, steps=20))
    path = tmp_path_factory.mktemp("models") / "scenes"
    nlp.to_disk(path)
    return path


def word_relevance(retriever: VokenRetriever, words: list[str]) -> NDArray[np.float32]:
    """Relevance of all images for words whatever their scene, computed without a search."""
    lexemes = [retriever.vocab[word] for word in words]
    queries, _ = matching_of(retriever.model).form_queries(retriever.model, lexemes)
    return queries @ retriever.index.keys[:, : queries.shape[1]].T


def first_vokens(nlp: Language, top_k: int) -> list[str | None]:
    retriever = nlp.get_pipe(NAME)
    retriever.top_k = top_k
    return [token._.voken for token in nlp(Doc(nlp.vocab, words=WORDS))]


@pytest.mark.parametrize("n_candidates", [1, 2, 5, 64])
def test_a_scene_chooses_among_the_candidates_of_a_word(
    scenes_path: Path, monkeypatch: pytest.MonkeyPatch, n_candidates: int
) -> None:
    monkeypatch.setattr(search, "CANDIDATES", n_candidates)
    nlp = spacy.load(scenes_path)
    retriever = nlp.get_pipe(NAME)
    relevance = word_relevance(retriever, WORDS)
    ids = np.array(retriever.index.ids)
    candidates = np.argsort(-relevance, axis=1)[:, :n_candidates]
    # However much the scene counts, it decides among these alone.
    retriever.scene_weight = 50.0
    doc = nlp(Doc(nlp.vocab, words=WORDS))
    scenes = retriever.queries([doc])[0][:, 8:] @ retriever.index.keys[:, 8:].T
    for token, rows, of_word, of_scene in zip(doc, candidates, relevance, scenes, strict=True):
        near = rows[of_word[rows] >= of_word.max() - search.MARGIN]
        assert token._.voken == ids[near[of_scene[near].argmax()]]


def test_scores_are_those_of_word_and_scene(scenes_path: Path) -> None:
    nlp = spacy.load(scenes_path)
    retriever = nlp.get_pipe(NAME)
    retriever.scene_weight = 2.0
    doc = nlp(Doc(nlp.vocab, words=WORDS))
    (queries,) = retriever.queries([doc])
    for token, scores in zip(doc, queries @ retriever.index.keys.T, strict=True):
        row = retriever.index.rows[token._.voken]
        assert token._.voken_score == pytest.approx(scores[row], abs=1e-5)


@pytest.mark.parametrize("with_texts", [False, True])
def test_the_best_image_does_not_depend_on_how_many_are_asked_for(
    scenes_path: Path,
    make_kind_pool: Callable[..., ImagePool],
    monkeypatch: pytest.MonkeyPatch,
    with_texts: bool,
) -> None:
    monkeypatch.setattr(search, "CANDIDATES", 4)
    nlp = spacy.load(scenes_path)
    retriever = nlp.get_pipe(NAME)
    retriever.scene_weight = 3.0
    if with_texts:
        texts = {image: (f"the big {image[:3]}",) for image in KIND_IMAGES[::2]}
        retriever.set_pool(make_kind_pool(texts))
    expected = first_vokens(nlp, 1)
    assert None not in expected
    for top_k in (2, 3, 4, 5, 9, 15, 100):
        assert first_vokens(nlp, top_k) == expected
    # Every image is listed once, with those of the candidates first.
    doc = nlp(Doc(nlp.vocab, words=WORDS))
    for token in doc:
        assert sorted(image for image, _ in token._.vokens) == sorted(KIND_IMAGES)
    assert [found[0] for found in retriever.rank(doc, 2)[0]] == expected


def test_an_image_whose_texts_have_the_word_comes_first(
    word_vokenizer: Language,
    retriever: VokenRetriever,
    make_kind_pool: Callable[..., ImagePool],
) -> None:
    retriever.model.attrs["text_weight"] = 0.01
    retriever.set_pool(make_kind_pool({"fish-1": ("Some cats !",), "dog-2": ("a dog",)}))
    doc = word_vokenizer("cats cat dog fish")
    relevance = word_relevance(retriever, [token.text for token in doc])
    # Without English stems, "cat" and "cats" are two words.
    assert doc[0]._.voken == "fish-1"
    assert doc[0]._.voken_score == pytest.approx(
        relevance[0, retriever.index.rows["fish-1"]] + 0.75, abs=1e-5
    )
    assert doc[1]._.voken.startswith("cat")
    assert doc[1]._.voken_score < 1.001
    assert doc[2]._.voken == "dog-2"


def test_a_name_says_more_than_a_caption(
    word_vokenizer: Language,
    retriever: VokenRetriever,
    make_kind_pool: Callable[..., ImagePool],
) -> None:
    """Of an image's texts, the shortest one with the word counts."""
    retriever.model.attrs["text_weight"] = 0.01
    texts = {
        "fish-0": ("we see the big cat in paris",),
        "fish-1": ("a cat", "we see the big cat in paris"),
        "fish-2": ("we see the big dog in paris",),
    }
    retriever.set_pool(make_kind_pool(texts))
    found = dict(retriever.search("cat", 15))
    plain = word_relevance(retriever, ["cat"])[0]
    for image, share in (("fish-0", 1 / 7), ("fish-1", 1 / 2), ("fish-2", None)):
        named = 0.0 if share is None else 0.5 + share / 2
        assert found[image] == pytest.approx(plain[retriever.index.rows[image]] + named, abs=1e-5)


def test_a_scene_chooses_among_all_images_that_a_text_names(
    scenes_path: Path, make_kind_pool: Callable[..., ImagePool]
) -> None:
    nlp = spacy.load(scenes_path)
    retriever = nlp.get_pipe(NAME)
    named = {"cat-1": ("a cat",), "dog-2": ("cat",), "fish-0": ("we see the big red cat",)}
    retriever.set_pool(make_kind_pool(named))
    retriever.scene_weight, retriever.top_k = 50.0, len(KIND_IMAGES)
    doc = nlp(Doc(nlp.vocab, words=["the", "cat"]))
    of_scene = retriever.queries([doc])[0][1, 8:] @ retriever.index.keys[:, 8:].T
    rows = {image: retriever.index.rows[image] for image in named}
    expected = sorted(named, key=lambda image: -of_scene[rows[image]])
    assert [image for image, _ in doc[1]._.vokens[:3]] == expected
    # Others come after them, in the order that the word gives them.
    retriever.scene_weight = 0.0
    plain = nlp(Doc(nlp.vocab, words=["the", "cat"]))
    assert [i for i, _ in doc[1]._.vokens[3:]] == [
        i for i, _ in plain[1]._.vokens if i not in named
    ]


@pytest.mark.parametrize(
    ("min_images", "expected"), [(0, [True] * 4), (1, [True, True, False, True]), (5, [True] * 4)]
)
def test_a_word_of_no_text_has_no_voken(
    make_word_vokenizer: Callable[..., Language],
    make_kind_pool: Callable[..., ImagePool],
    min_images: int,
    expected: list[bool],
) -> None:
    """Each kind has five images, and "the" is in the texts of all fifteen."""
    nlp = make_word_vokenizer(min_images=min_images)
    retriever = nlp.get_pipe(NAME)
    if min_images == 5:
        # A word that a text of the pool has is known.
        retriever.set_pool(make_kind_pool({"cat-1": ("anna",)}))
    doc = nlp("Cat the anna dog")
    assert [token._.voken is not None for token in doc] == expected
    stems = hash_stems(("cat", "CAT", "the", "anna", "we", "cow"), stemmer_of(nlp.lang))
    counts = matching_of(retriever.model).n_images(retriever.model, stems)
    assert counts.tolist() == [5, 5, 15, 0, 15, 0]
    retriever.min_images = 6
    assert [token._.voken is not None for token in nlp(nlp.make_doc("Cat the"))] == [False, True]
    # Phrases are made of the words that are left.
    assert retriever.search("cat the", 1) == retriever.search("the", 1)


def test_what_is_known_does_not_depend_on_how_many_are_asked_for(
    make_word_vokenizer: Callable[..., Language],
    make_kind_pool: Callable[..., ImagePool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A text of an image beyond the candidates does not count, whoever looks that far."""
    monkeypatch.setattr(search, "CANDIDATES", 2)
    nlp = make_word_vokenizer(min_images=1)
    retriever = nlp.get_pipe(NAME)
    retriever.model.attrs["text_weight"] = 0.0
    order = np.argsort(-word_relevance(retriever, ["anna"])[0])
    for place, expected in ((1, True), (5, False)):
        named = retriever.index.ids[order[place]]
        retriever.set_pool(make_kind_pool({named: ("anna",)}))
        for retriever.top_k in (1, 2, 15):
            voken = nlp(nlp.make_doc("anna"))[0]._.voken
            assert voken == (named if expected else None)


def test_what_the_training_texts_have_is_stored(
    make_word_vokenizer: Callable[..., Language], tmp_path: Path
) -> None:
    nlp = make_word_vokenizer(min_images=1)
    expected = [token._.voken for token in nlp("the big anna cat")]
    assert expected[2] is None
    nlp.to_disk(tmp_path)
    for other in (spacy.load(tmp_path), pickle.loads(pickle.dumps(nlp))):
        assert [token._.voken for token in other("the big anna cat")] == expected


def test_stems_count_in_languages_that_have_them(
    make_word_vokenizer: Callable[..., Language], make_kind_pool: Callable[..., ImagePool]
) -> None:
    nlp = make_word_vokenizer("en", steps=10, min_visualness="-inf")
    nlp.get_pipe(NAME).set_pool(make_kind_pool({"fish-1": ("Some cats !",)}))
    assert nlp("cat")[0]._.voken == "fish-1"


def test_phrases_are_named_in_part(
    retriever: VokenRetriever, make_kind_pool: Callable[..., ImagePool]
) -> None:
    texts = {"fish-1": ("big cats",), "dog-2": ("a big house",)}
    retriever.set_pool(make_kind_pool(texts))
    found = dict(retriever.search("the big cats", 15))
    retriever.set_pool(make_kind_pool(texts), use_texts=False)
    assert sorted(found) == sorted(KIND_IMAGES)
    assert max(found, key=lambda image: found[image]) == "fish-1"
    # Two of three words, by a text of two words, beside what the words' vectors say.
    assert 0.5 - 1 <= found["fish-1"] <= 0.5 + 1
    assert found["fish-1"] > found["dog-2"]


def test_texts_that_do_not_count_are_not_stored(
    retriever: VokenRetriever, make_kind_pool: Callable[..., ImagePool], tmp_path: Path
) -> None:
    pool = make_kind_pool({"fish-1": ("a cat",)})
    retriever.set_pool(pool, use_texts=False)
    expected = retriever.search("cat", 3)
    assert "fish-1" not in [image for image, _ in expected]
    retriever.to_disk(tmp_path)
    retriever.set_pool(pool)
    assert retriever.search("cat", 1)[0][0] == "fish-1"
    retriever.from_disk(tmp_path)
    assert retriever.search("cat", 3) == expected
    assert retriever.image("fish-1").texts == ()


def test_the_papers_model_keeps_texts_that_do_not_count(
    vokenizer: Language, make_pool: Callable[..., ImagePool]
) -> None:
    retriever = vokenizer.get_pipe(NAME)
    pool = make_pool()
    pool.records[0] = replace(pool.records[0], texts=("a small thing",))
    before = retriever.index.keys
    retriever.set_pool(pool)
    assert retriever.image(pool.ids[0]).texts == ("a small thing",)
    np.testing.assert_allclose(retriever.index.keys, before, atol=1e-6)


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda pipe: pickle.loads(pickle.dumps(pipe))]
)
def test_a_copy_searches_by_itself(
    retriever: VokenRetriever,
    make_kind_pool: Callable[..., ImagePool],
    copied: Callable[[VokenRetriever], VokenRetriever],
) -> None:
    retriever.set_pool(make_kind_pool({"fish-1": ("a cat",)}))
    expected = retriever.search("a cat", 2)
    other = copied(retriever)
    assert other.search("a cat", 2) == expected
    other.set_pool(make_kind_pool())
    assert other.search("a cat", 2) != expected
    assert retriever.search("a cat", 2) == expected


def test_documents_of_several_vocabularies(retriever: VokenRetriever) -> None:
    docs = [Doc(retriever.vocab, words=["dog"]), Doc(spacy.blank("xx").vocab, words=["cat", "dog"])]
    found = [retrieved.ids[:, 0].tolist() for retrieved in retriever.predict(docs)]
    assert found[0] == found[1][1:]
    assert found[1][0].startswith("cat")
