from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import spacy
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import fix_random_seed

from spacy_vokens.attributes import get_token_values
from spacy_vokens.corpus.align import AlignReport, align
from spacy_vokens.corpus.docbin import save_docs
from spacy_vokens.images.pool import ImagePool
from spacy_vokens.models.matching import matching_of
from spacy_vokens.models.word_matching import SCENE_KEY_WIDTH
from spacy_vokens.pipeline import search
from spacy_vokens.pipeline.voken_retriever import VokenRetriever
from tests.conftest import LANG
from tests.fixtures import (
    KIND_IMAGES,
    KINDS,
    kind_captions,
    save_bert,
    transformer_config,
)

NAME = "voken_retriever"
WORDS = ["a", "the", "cat", "dog", "fish", "big", "paris", "cow"]
TEXTS = [*(f"we see the big {kind} ." for kind in KINDS), "", "a cow", "a cat in paris " * 8]


def vokens(doc: Doc) -> list[str | None]:
    return get_token_values(doc, "voken")


def scores(doc: Doc) -> list[float]:
    return [score or 0.0 for score in get_token_values(doc, "voken_score")]


def kind_of(voken: str | None) -> str | None:
    return voken and voken.partition("-")[0]


def assert_same(found: list[Doc], expected: list[Doc]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert vokens(one) == vokens(other)
        assert scores(one) == pytest.approx(scores(other), abs=1e-4)


def retriever_of(model: Path | Language) -> VokenRetriever:
    return (model if isinstance(model, Language) else spacy.load(model)).get_pipe(NAME)


def form_queries(retriever: VokenRetriever) -> NDArray[np.float32]:
    lexemes = [retriever.vocab[word] for word in WORDS]
    return np.column_stack(matching_of(retriever.model).form_queries(retriever.model, lexemes))


@pytest.fixture(scope="module")
def aligned_path(
    word_tagger_path: Path,
    kind_corpus: Path,
    kind_pool: ImagePool,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Folder of a pipeline whose retriever has learned scenes."""
    path = tmp_path_factory.mktemp("models") / "aligned"
    report = align(word_tagger_path, kind_corpus, kind_pool.path, path, steps=150)
    assert report.n_texts == 3 * len(KIND_IMAGES)
    return path


@pytest.fixture
def aligned(aligned_path: Path) -> Language:
    return spacy.load(aligned_path)


Align = Callable[..., AlignReport]


@pytest.fixture
def run(word_tagger_path: Path, kind_corpus: Path, kind_pool: ImagePool, tmp_path: Path) -> Align:
    """Align, for a few updates, to the folder of this name."""

    def run(name: str = "out", model: Path = word_tagger_path, **settings: object) -> AlignReport:
        given = {"pairs": kind_corpus, "pool": kind_pool.path, "steps": 3} | settings
        return align(model, given.pop("pairs"), given.pop("pool"), tmp_path / name, **given)

    return run


# What is learned


def test_the_word_part_stays(aligned_path: Path, word_tagger_path: Path) -> None:
    before, after = retriever_of(word_tagger_path), retriever_of(aligned_path)
    np.testing.assert_array_equal(form_queries(after), form_queries(before))
    width = before.index.keys.shape[1]
    np.testing.assert_array_equal(after.index.keys[:, :width], before.index.keys)
    for name in ("text_tower", "image_tower", "visualness", "words"):
        assert after.model.get_ref(name).to_bytes() == before.model.get_ref(name).to_bytes()


def test_the_other_components_stay(aligned: Language, word_tagger_path: Path) -> None:
    before = spacy.load(word_tagger_path)
    assert aligned.pipe_names == before.pipe_names
    for pipe in ("transformer", "visual_ner"):
        nodes = (nlp.get_pipe(pipe).model.walk() for nlp in (before, aligned))
        for node, other in zip(*nodes, strict=True):
            for shim, again in zip(node.shims, other.shims, strict=True):
                weights = again._model.state_dict()
                for name, values in shim._model.state_dict().items():
                    np.testing.assert_array_equal(weights[name], values)


def test_the_scene_part_is_stored(aligned: Language, aligned_path: Path) -> None:
    retriever = retriever_of(aligned)
    assert retriever.cfg["scene_width"] == 16
    assert retriever.index.keys.shape == (len(KIND_IMAGES), 8 + SCENE_KEY_WIDTH)
    np.testing.assert_allclose(np.linalg.norm(retriever.index.keys[:, 8:], axis=1), 1, atol=1e-5)
    doc = aligned("we see the big dog .")
    (query,) = retriever.queries([doc])
    assert query.shape == (6, 8 + SCENE_KEY_WIDTH)
    # One scene: all of its tokens have the same query, as long as the weight.
    np.testing.assert_allclose(np.linalg.norm(query[:, 8:], axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(query[:, 8:], query[:1, 8:].repeat(6, axis=0))
    (again,) = retriever_of(aligned_path).queries([doc])
    np.testing.assert_allclose(again, query, atol=1e-6)


def test_without_weight_a_word_has_its_own_image(aligned: Language, word_tagger_path: Path) -> None:
    plain = spacy.load(word_tagger_path)
    retriever_of(aligned).scene_weight = 0.0
    assert_same(list(aligned.pipe(TEXTS)), list(plain.pipe(TEXTS)))


def test_with_weight_the_text_decides_about_a_word(
    aligned: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts that differ in one word, which changes the images of the others."""
    monkeypatch.setattr(search, "MARGIN", np.inf)
    retriever = retriever_of(aligned)
    for retriever.scene_weight, differs in ((0.0, False), (20.0, True)):
        found = [vokens(aligned(f"we see the big {kind} .")) for kind in KINDS]
        # The fourth word is "big".
        assert (len({of_text[3] for of_text in found}) > 1) is differs
        if differs:
            assert [kind_of(of_text[3]) for of_text in found] == list(KINDS)


def test_vokens_are_those_of_the_queries_and_keys(
    aligned: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Computed here without a search, with a scene that counts for all images."""
    monkeypatch.setattr(search, "MARGIN", np.inf)
    retriever = retriever_of(aligned)
    retriever.top_k = 2
    for text in TEXTS:
        doc = aligned(text)
        (query,) = retriever.queries([doc])
        relevance = query @ retriever.index.keys.T
        for token, of_token in zip(doc, relevance, strict=True):
            if token.is_punct or np.isnan(of_token[0]):
                assert token._.voken is None
                continue
            assert token._.voken == retriever.index.ids[of_token.argmax()]
            best = np.sort(of_token)[:-3:-1].tolist()
            assert [s for _, s in token._.vokens] == pytest.approx(best, abs=1e-4)


def test_the_scene_does_not_replace_the_word(aligned: Language, word_tagger_path: Path) -> None:
    """As the images of one kind fit its word much better than others, it gets one of them."""
    plain = spacy.load(word_tagger_path)
    retriever_of(aligned).scene_weight = 20.0
    for text in ("we see the big cat .", "a dog in paris", "the red fish"):
        kinds = [kind_of(token._.voken) for token in aligned(text) if token.text in KINDS]
        assert kinds == [kind_of(token._.voken) for token in plain(text) if token.text in KINDS]


@pytest.mark.parametrize("batch_size", [1, 2, 128])
def test_batches_and_empty_documents_do_not_count(aligned: Language, batch_size: int) -> None:
    retriever_of(aligned).scene_weight = 2.0
    expected = [aligned(text) for text in TEXTS]
    assert_same(list(aligned.pipe(TEXTS, batch_size=batch_size)), expected)
    for text in TEXTS[:2]:
        (_, doc) = aligned.pipe(["", text])
        assert_same([doc], [aligned(text)])


def test_a_document_that_was_not_read_has_the_words_images_and_changes_no_other(
    aligned: Language, word_tagger_path: Path
) -> None:
    retriever = retriever_of(aligned)
    retriever.scene_weight = 20.0
    text = TEXTS[1]
    words = spacy.load(word_tagger_path)(text)
    assert vokens(words) != vokens(aligned(text)), "or this test says nothing"
    read = aligned.get_pipe("transformer")(aligned.make_doc(text))
    unread = aligned.make_doc(text)
    assert_same(list(retriever.pipe([unread, read])), [words, aligned(text)])
    with aligned.select_pipes(enable=NAME):
        assert_same([aligned(text)], [words])


# Before the threads below: a process that is forked while others end may hang in PyTorch.
def test_multiprocessing(aligned: Language) -> None:
    retriever_of(aligned).scene_weight = 2.0
    expected = [aligned(text) for text in TEXTS] * 3
    assert_same(list(aligned.pipe(TEXTS * 3, n_process=2, batch_size=4)), expected)


def test_threads(aligned: Language) -> None:
    retriever_of(aligned).scene_weight = 2.0
    expected = [aligned(text) for text in TEXTS] * 3
    with ThreadPoolExecutor(4) as threads:
        assert_same(list(threads.map(aligned, TEXTS * 3)), expected)


def test_visualness_and_exclude_own(aligned: Language) -> None:
    """Beside scenes too, a word below has no voken; and the own image is left out."""
    retriever = retriever_of(aligned)
    retriever.scene_weight = 2.0
    values = dict(zip(WORDS, form_queries(retriever)[:, -1].tolist(), strict=True))
    retriever.min_visualness = (values["a"] + values["cat"]) / 2
    found = vokens(aligned("a cat"))
    assert [voken is None for voken in found] == [True, False]
    retriever.exclude_own = True
    doc = aligned.make_doc("a cat")
    doc._.visual_image_id = found[1]
    assert vokens(aligned(doc))[1] not in (None, found[1])


def test_an_image_of_another_pool_has_both_parts(
    aligned: Language, make_pool: Callable[..., ImagePool]
) -> None:
    retriever = retriever_of(aligned)
    retriever.set_pool(make_pool())
    assert retriever.index.keys.shape[1] == 8 + SCENE_KEY_WIDTH
    assert retriever_of(aligned).index.pool == retriever.index.pool
    assert aligned("a cat")[1]._.voken in retriever.index


def test_a_pickled_pipeline_has_scenes(aligned: Language) -> None:
    retriever_of(aligned).scene_weight = 20.0
    other = pickle.loads(pickle.dumps(aligned))
    assert_same(list(other.pipe(TEXTS)), list(aligned.pipe(TEXTS)))


def test_queries_of_documents_without_scenes_are_as_wide(aligned: Language) -> None:
    retriever = retriever_of(aligned)
    docs = [aligned.make_doc("a cat"), aligned.make_doc("")]
    filled, empty = retriever.queries(docs)
    assert filled.shape == (2, 8 + SCENE_KEY_WIDTH)
    assert not filled[:, 8:].any()
    assert empty.shape == (0, 8 + SCENE_KEY_WIDTH)
    assert [query.shape for query in retriever.queries(docs[1:])] == [empty.shape]


# How it is learned


def keys_of(folder: Path) -> NDArray[np.float32]:
    return retriever_of(folder).index.keys


def test_the_same_seed_gives_the_same_keys(run: Align, tmp_path: Path) -> None:
    for number, (name, seed) in enumerate((("a", 1), ("b", 1), ("c", 2))):
        # What was drawn before does not matter.
        fix_random_seed(number)
        run(name, seed=seed, limit=20)
    np.testing.assert_array_equal(keys_of(tmp_path / "a"), keys_of(tmp_path / "b"))
    assert np.abs(keys_of(tmp_path / "a") - keys_of(tmp_path / "c")).max() > 1e-3


@pytest.mark.parametrize(("limit", "expected"), [(1, 1), (7, 7), (45, 45), (1000, 45), (0, 45)])
def test_limit(run: Align, limit: int, expected: int) -> None:
    assert run(limit=limit).n_texts == expected


def test_the_loss_falls(run: Align) -> None:
    assert run("long", steps=100).loss < run("short", steps=2).loss


def test_texts_of_other_images_and_empty_ones_are_ignored(run: Align, tmp_path: Path) -> None:
    vocab = spacy.blank(LANG).vocab
    docs = [example.reference for example in kind_captions(spacy.blank(LANG))[:4]]
    others = [Doc(vocab, words=["a", "cat"]), Doc(vocab, words=["a", "cow"]), Doc(vocab)]
    others[1]._.visual_image_id, others[2]._.visual_image_id = "cow-0", "cat-0"
    path = tmp_path / "pairs.spacy"
    save_docs([*others, *docs], path)
    # The empty one is read, though there is nothing to learn from it.
    assert run(pairs=path).n_texts == 5


def test_aligned_again_the_scene_part_is_another(
    aligned_path: Path, run: Align, tmp_path: Path, word_tagger_path: Path
) -> None:
    run("again", model=aligned_path, seed=3, steps=5)
    run("once", model=word_tagger_path, seed=3, steps=5)
    again, once, before = (
        retriever_of(path) for path in (tmp_path / "again", tmp_path / "once", aligned_path)
    )
    np.testing.assert_array_equal(again.index.keys, once.index.keys)
    assert np.abs(again.index.keys - before.index.keys)[:, 8:].max() > 1e-2
    assert len(again.model.layers) == len(before.model.layers)
    assert again.model.to_bytes() == once.model.to_bytes()


def test_the_pipeline_can_be_written_in_its_place(
    word_tagger_path: Path, run: Align, tmp_path: Path
) -> None:
    spacy.load(word_tagger_path).to_disk(tmp_path / "here")
    run("here", model=tmp_path / "here")
    assert retriever_of(tmp_path / "here").cfg["scene_width"] == 16
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_a_long_text_is_in_several_scenes(
    word_tagger_path: Path, kind_pool: ImagePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of its image, and no scene of a span without tokens of its own is learned."""
    nlp = spacy.load(word_tagger_path)
    retriever = retriever_of(nlp)
    learned = []
    monkeypatch.setattr(
        type(matching_of(retriever.model)),
        "fit_scenes",
        lambda self, model, scenes, rows, features, **_: learned.append((scenes, rows)) or (),
    )
    texts = ["a cat", "a dog " * 20, "the red fish in paris"]
    images = ["cat-4", "dog-2", "fish-1"]
    docs = [nlp.get_pipe("transformer")(nlp.make_doc(text)) for text in texts]
    for doc, image in zip(docs, images, strict=True):
        doc._.visual_image_id = image
    expected = [kind_pool.ids[row] for row in kind_pool.rows(images).tolist()]
    assert list(retriever.add_scene_part(docs, kind_pool, steps=1)) == []
    ((scenes, rows),) = learned
    assert [kind_pool.ids[row] for row in rows] == [expected[0], *[expected[1]] * 3, expected[2]]
    assert len(scenes) == 5
    # As if the last words of the long text were white space, which belongs to the first scene.
    docs[1]._.trf_data.align.lengths[28:] = 0
    list(retriever.add_scene_part(docs, kind_pool, steps=1))
    _, (scenes, rows) = learned
    assert [kind_pool.ids[row] for row in rows] == [expected[0], *[expected[1]] * 2, expected[2]]
    assert len(scenes) == 4


def test_an_interrupted_update_leaves_no_index_of_other_keys(
    word_tagger_path: Path, kind_pool: ImagePool
) -> None:
    nlp = spacy.load(word_tagger_path)
    doc = nlp("a cat")
    doc._.visual_image_id = "cat-0"
    next(retriever_of(nlp).add_scene_part([doc], kind_pool, steps=5))
    with pytest.raises(ValueError, match="no index"):
        nlp("a cat")


# Later training and other pipelines


def test_trained_again_a_retriever_has_no_scene_part(
    aligned: Language, kind_pool: ImagePool, tmp_path: Path
) -> None:
    """Its scene part would be one of random weights."""
    retriever = retriever_of(aligned)
    pairs = kind_captions(aligned)
    retriever.initialize(lambda: pairs, nlp=aligned, pool=str(kind_pool.path))
    retriever.set_pool(kind_pool)
    assert retriever.index.keys.shape[1] == 8
    assert "scene_width" not in retriever.cfg
    aligned.to_disk(tmp_path)
    assert_same([spacy.load(tmp_path)("a cat")], [aligned("a cat")])


def test_weights_without_a_scene_part_are_loaded_over_those_with_one_and_back(
    aligned_path: Path, word_tagger_path: Path
) -> None:
    plain, aligned = spacy.load(word_tagger_path), spacy.load(aligned_path)
    expected = [list(nlp.pipe(TEXTS)) for nlp in (plain, aligned)]
    plain.from_disk(aligned_path)
    aligned.from_disk(word_tagger_path)
    assert_same(list(aligned.pipe(TEXTS)), expected[0])
    assert_same(list(plain.pipe(TEXTS)), expected[1])


def test_sourced_beside_another_transformer_it_says_what_to_do(
    aligned_path: Path, tmp_path: Path
) -> None:
    encoder = tmp_path / "bert"
    encoder.mkdir()
    save_bert(encoder, WORDS, hidden=8)
    nlp = spacy.blank(LANG)
    model = {"@architectures": "spacy-vokens.TransformerModel.v1"}
    nlp.add_pipe("transformer", config={"model": model | transformer_config(str(encoder))})
    nlp.initialize()
    retriever = nlp.add_pipe(NAME, source=spacy.load(aligned_path))
    with pytest.raises(ValueError, match=r"of width 16, but this one has width 8\. .*align"):
        nlp("a cat")
    retriever.scene_weight = 0.0
    assert kind_of(nlp("a cat")[1]._.voken) == "cat"


# Errors


def test_no_retriever(run: Align, make_tagger: Callable[..., Language], tmp_path: Path) -> None:
    make_tagger("NoFusion").to_disk(tmp_path / "tagger")
    with pytest.raises(ValueError, match=r"tagger has no voken_retriever\."):
        run(model=tmp_path / "tagger")
    assert not (tmp_path / "out").exists()


def test_no_transformer(run: Align, word_vokenizer_path: Path) -> None:
    with pytest.raises(ValueError, match="no text about .* that a transformer has read"):
        run(model=word_vokenizer_path)


def test_the_retriever_before_the_transformer(
    run: Align, word_vokenizer_path: Path, make_tagger: Callable[..., Language], tmp_path: Path
) -> None:
    make_tagger("NoFusion", into=spacy.load(word_vokenizer_path)).to_disk(tmp_path / "wrong")
    with pytest.raises(ValueError, match=f"'transformer' before {NAME} in the pipeline"):
        run(model=tmp_path / "wrong")
    assert not (tmp_path / "out").exists()


def test_the_papers_model(
    run: Align,
    vokenizer_path: Path,
    pool: ImagePool,
    make_tagger: Callable[..., Language],
    tmp_path: Path,
) -> None:
    nlp = make_tagger("NoFusion")
    nlp.add_pipe(NAME, source=spacy.load(vokenizer_path), after="transformer")
    nlp.to_disk(tmp_path / "paper")
    with pytest.raises(ValueError, match=r"only a trained 'spacy-vokens\.WordMatching\.v1'"):
        run(model=tmp_path / "paper", pool=pool.path)


def test_a_corpus_without_images_of_the_pool(run: Align, tmp_path: Path) -> None:
    nlp = spacy.blank(LANG)
    path = tmp_path / "none.spacy"
    save_docs([nlp("a cat"), nlp("a dog")], path)
    with pytest.raises(ValueError, match="no text about an image of pool"):
        run(pairs=path)


def test_a_pool_of_another_encoder(run: Align, make_pool: Callable[..., ImagePool]) -> None:
    with pytest.raises(ValueError, match="Features of tiny .* holds those of other"):
        run(pool=make_pool(KIND_IMAGES, encoder="other").path)


def test_what_is_in_the_way_stays(run: Align, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds something else"):
        run()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]
