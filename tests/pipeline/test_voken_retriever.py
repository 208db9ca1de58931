from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from spacy.cli.train import train
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.vocab import Vocab

from spacy_vokens.attributes import get_token_values
from spacy_vokens.corpus.docbin import save_docs
from spacy_vokens.images.pool import ImagePool, PoolContent
from spacy_vokens.pipeline.search import ContextSearch
from spacy_vokens.pipeline.voken_retriever import Retrieved, VokenRetriever
from tests.conftest import CONFIGS, IMAGES, LANG, LEARN_RATE
from tests.fixtures import caption, captions, transformer_config

TEXTS = ["a red cat in paris", "we see the dog !", "", "fish", "the big apple " * 20]


def vokens(doc: Doc) -> list[str | None]:
    return get_token_values(doc, "voken")


def test_learns_its_captions_by_heart(vokenizer: Language) -> None:
    for image in IMAGES:
        doc = vokenizer(f"a {image} !")
        assert doc[1]._.voken == image
        assert doc[1]._.voken_score > 0.3
        assert doc[2]._.voken is None, "punctuation is skipped"
        assert doc._.voken_index == str(vokenizer.get_pipe("voken_retriever").index.mark)


def test_frozen_encoder_does_not_move_and_towers_do(
    make_vokenizer: Callable[..., Language],
) -> None:
    before = make_vokenizer(steps=0).get_pipe("voken_retriever").model
    after = make_vokenizer(steps=3).get_pipe("voken_retriever").model
    assert before.get_ref("tok2vec").to_bytes() == after.get_ref("tok2vec").to_bytes()
    for tower in ("text_tower", "image_tower", "loss"):
        assert before.get_ref(tower).to_bytes() != after.get_ref(tower).to_bytes()


def test_encoder_without_the_frozen_layer_is_fine_tuned(
    retriever_config: dict, pool: ImagePool
) -> None:
    nlp = spacy.blank(LANG)
    model = {**retriever_config["model"]}
    model["tok2vec"] = model["tok2vec"]["tok2vec"]
    retriever = nlp.add_pipe("voken_retriever", config={"model": model})
    nlp.config["initialize"]["components"]["voken_retriever"] = {"pool": str(pool.path)}
    optimizer = nlp.initialize(lambda: captions(nlp))
    before = retriever.model.get_ref("tok2vec").to_bytes()
    losses = [nlp.update(captions(nlp), sgd=optimizer)["voken_retriever"] for _ in range(20)]
    assert retriever.model.get_ref("tok2vec").to_bytes() != before
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("batch_size", [1, 2, 128])
def test_call_and_pipe_agree(vokenizer: Language, batch_size: int) -> None:
    alone = [vokenizer(text) for text in TEXTS]
    piped = list(vokenizer.pipe(TEXTS, batch_size=batch_size))
    for one, other in zip(alone, piped, strict=True):
        scores = get_token_values(one, "voken_score"), get_token_values(other, "voken_score")
        for a, b, score, again in zip(vokens(one), vokens(other), *scores, strict=True):
            assert a == b or abs(score - again) < 1e-4
            assert score is again or score == pytest.approx(again, abs=1e-4)


def test_empty_and_very_long_documents(vokenizer: Language) -> None:
    assert len(vokenizer("")) == 0
    doc = vokenizer("cat dog " * 1500)
    assert len(doc) == 3000
    assert None not in vokens(doc)
    giant = vokenizer("a " + "x" * 600 + " cat")
    assert len(vokens(giant)) == 3


def test_a_token_without_a_word_piece_has_no_voken(vokenizer: Language) -> None:
    words = ["cat", "\ufe0f", "\u200b", "\x01", "\u202e", "قطة", "\xa0", " ", "\x85", "dog"]
    doc = vokenizer(Doc(vokenizer.vocab, words=words))
    assert [token.text for token in doc] == words
    found = dict(zip(words, vokens(doc), strict=True))
    assert [word for word in words if found[word] is not None] == ["cat", "قطة", "dog"]


@pytest.mark.parametrize("to_other", ["bytes", "disk", "pickle"])
def test_round_trips(vokenizer: Language, to_other: str, tmp_path: Path) -> None:
    if to_other == "bytes":
        other = spacy.blank(LANG, config=vokenizer.config).from_bytes(vokenizer.to_bytes())
    elif to_other == "disk":
        vokenizer.to_disk(tmp_path / "a")
        other = spacy.load(tmp_path / "a")
    else:
        other = pickle.loads(pickle.dumps(vokenizer))
    for text in TEXTS:
        assert vokens(vokenizer(text)) == vokens(other(text))
        assert get_token_values(vokenizer(text), "voken_score") == get_token_values(
            other(text), "voken_score"
        )
    image = other.get_pipe("voken_retriever").image("cat")
    assert image == vokenizer.get_pipe("voken_retriever").image("cat")


def test_saved_over_itself(vokenizer: Language, tmp_path: Path) -> None:
    vokenizer.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    loaded.to_disk(tmp_path)
    assert vokens(spacy.load(tmp_path)(TEXTS[0])) == vokens(vokenizer(TEXTS[0]))


@pytest.mark.parametrize("n_process", [1, 2])
def test_multiprocessing(vokenizer: Language, n_process: int) -> None:
    docs = list(vokenizer.pipe(TEXTS * 3, n_process=n_process, batch_size=4))
    assert [vokens(doc) for doc in docs] == [vokens(vokenizer(text)) for text in TEXTS] * 3


def test_vokens_survive_docs(vokenizer: Language) -> None:
    doc = vokenizer("a red cat in paris")
    expected = vokens(doc)
    loaded = Doc(vokenizer.vocab).from_bytes(doc.to_bytes())
    assert vokens(loaded) == expected
    docbin = DocBin(store_user_data=True, docs=[doc])
    (unpacked,) = DocBin().from_bytes(docbin.to_bytes()).get_docs(vokenizer.vocab)
    assert vokens(unpacked) == expected
    assert unpacked._.voken_index == doc._.voken_index
    assert vokens(doc[1:3].as_doc(copy_user_data=True)) == expected[1:3]
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[1:3])
    assert vokens(doc) == [expected[0], expected[1], *expected[3:]]


def test_top_k(vokenizer: Language) -> None:
    retriever = vokenizer.get_pipe("voken_retriever")
    retriever.top_k = 3
    doc = retriever(vokenizer.make_doc("a cat !"))
    ranked = doc[1]._.vokens
    assert ranked[0][0] == doc[1]._.voken == "cat"
    assert len({i for i, _ in ranked}) == 3
    assert [s for _, s in ranked] == sorted((s for _, s in ranked), reverse=True)
    assert doc[2]._.vokens is None
    retriever.top_k, retriever.overwrite = 1, True
    assert get_token_values(retriever(doc), "vokens") == [None] * 3
    retriever.top_k = 99
    assert len(retriever(vokenizer.make_doc("cat"))[0]._.vokens) == len(IMAGES)


def test_threshold_and_skip(vokenizer: Language) -> None:
    retriever = vokenizer.get_pipe("voken_retriever")
    retriever.threshold = 2.0
    doc = retriever(vokenizer.make_doc("a cat !"))
    assert vokens(doc) == [None, None, None]
    assert doc._.voken_index == str(retriever.index.mark), "it was looked at all the same"
    with pytest.raises(ValueError, match="'is_nice'"):
        spacy.blank(LANG).add_pipe("voken_retriever", config={"skip": ["is_nice"]})
    with pytest.raises(ValueError, match="top_k must be at least 1"):
        spacy.blank(LANG).add_pipe("voken_retriever", config={"top_k": 0})


def test_threshold_leaves_the_better_of_several(make_vokenizer: Callable[..., Language]) -> None:
    nlp = make_vokenizer(steps=60, top_k=3)
    retriever = nlp.get_pipe("voken_retriever")
    everything = nlp("a cat !")[1]._.vokens
    (_, first), (_, second), _ = everything
    retriever.threshold = (first + second) / 2
    token = nlp("a cat !")[1]
    assert token._.vokens == everything[:1]
    assert [token._.voken, token._.voken_score] == everything[0]
    retriever.threshold = first + 0.1
    assert nlp("a cat !")[1]._.vokens is None


def test_vokenized_documents_are_left_alone(
    vokenizer: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    retriever = vokenizer.get_pipe("voken_retriever")
    retriever.threshold = 2.0
    doc = retriever(vokenizer.make_doc("a cat !"))
    asked: list[int] = []
    compute = ContextSearch._queries
    monkeypatch.setattr(
        ContextSearch,
        "_queries",
        lambda self, docs, settings: asked.append(len(docs)) or compute(self, docs, settings),
    )
    retriever(doc)
    assert asked == []
    retriever.overwrite = True
    retriever(doc)
    assert asked == [1]
    retriever.overwrite = False
    doc._.voken_index = "of another index"
    retriever(doc)
    assert asked == [1, 1]


def test_analysis_knows_what_is_assigned(vokenizer: Language) -> None:
    doc = vokenizer("a cat !")
    for attribute, assigned_by in vokenizer.analyze_pipes()["attrs"].items():
        assert assigned_by["assigns"] == ["voken_retriever"]
        holder, name = attribute.split("._.")
        assert {"doc": doc, "token": doc[1], "span": doc[1:2]}[holder].has_extension(name)
    vokenizer.add_pipe("given_image")
    attributes = vokenizer.analyze_pipes()["attrs"]
    assert attributes["token._.voken"]["assigns"] == ["voken_retriever", "given_image"]
    assert attributes["token._.voken_score"]["assigns"] == ["voken_retriever", "given_image"]
    assert attributes["doc._.voken_index"]["assigns"] == ["voken_retriever", "given_image"]


def test_other_captions_of_the_same_image_are_no_negatives(
    make_vokenizer: Callable[..., Language],
) -> None:
    nlp = make_vokenizer()
    pairs = [caption(nlp, f"{word} cat", "cat") for word in ("a", "the", "red")]
    # One image alone has no negative, so there is nothing to tell apart.
    assert nlp.update(pairs, sgd=nlp.create_optimizer())["voken_retriever"] == 0.0


@pytest.mark.parametrize("step", ["initialize", "update"])
def test_training_drops_the_index(make_vokenizer: Callable[..., Language], step: str) -> None:
    nlp = make_vokenizer(steps=3)
    assert nlp.get_pipe("voken_retriever").index is not None
    if step == "initialize":
        nlp.initialize(lambda: captions(nlp))
    else:
        nlp.update(captions(nlp), sgd=nlp.create_optimizer())
    assert nlp.get_pipe("voken_retriever").index is None


def test_a_loaded_retriever_stays_as_it_is(vokenizer: Language) -> None:
    retriever = vokenizer.get_pipe("voken_retriever")
    index, before = retriever.index, retriever.to_bytes()
    assert vokenizer.update(captions(vokenizer)) == {"voken_retriever": 0.0}
    retriever.initialize(lambda: captions(vokenizer), nlp=vokenizer)
    assert retriever.index is index
    assert retriever.to_bytes() == before


def test_a_batch_without_known_images_teaches_nothing(
    make_vokenizer: Callable[..., Language],
) -> None:
    nlp = make_vokenizer()
    before = nlp.get_pipe("voken_retriever").model.to_bytes()
    losses = nlp.update([caption(nlp, "a cow", "cow")], sgd=nlp.create_optimizer())
    assert losses == {"voken_retriever": 0.0}
    assert nlp.get_pipe("voken_retriever").model.to_bytes() == before


def test_tokens_without_a_word_piece_are_not_learned_and_not_scored(
    make_vokenizer: Callable[..., Language],
) -> None:
    nlp = make_vokenizer()
    retriever = nlp.get_pipe("voken_retriever")
    tower = retriever.model.get_ref("text_tower")
    before = tower.to_bytes()
    examples = [caption(nlp, "\ufe0f \u200b", "cat")]
    assert nlp.update(examples, sgd=nlp.create_optimizer()) == {"voken_retriever": 0.0}
    assert tower.to_bytes() == before
    retriever.set_pool(retriever._pool)
    assert retriever.score(examples) == {}
    plain, odd = ([caption(nlp, text, "cat")] for text in ("a cat !", "a \ufe0f cat ! \u200b"))
    assert retriever.score(plain) == retriever.score(odd)
    (query,) = retriever.queries([odd[0].predicted])
    assert np.isnan(query).any(axis=1).tolist() == [False, True, False, False, True]


def test_words_without_a_vector_are_reported_once(
    retriever_config: dict, text_encoder: str, pool: ImagePool, caplog: pytest.LogCaptureFixture
) -> None:
    """With the spans of spacy-transformers, and an encoder that takes 64 word pieces."""
    spans = {"@span_getters": "spacy-transformers.strided_spans.v1", "window": 128, "stride": 96}
    encoder = {
        "@architectures": "spacy-transformers.Tok2VecTransformer.v3",
        **transformer_config(text_encoder),
        "get_spans": spans,
        "pooling": {"@layers": "reduce_mean.v1"},
    }
    nlp = spacy.blank(LANG)
    frozen = {"@architectures": "spacy-vokens.FrozenTok2Vec.v1", "tok2vec": encoder}
    config = {"model": retriever_config["model"] | {"tok2vec": frozen}}
    retriever = nlp.add_pipe("voken_retriever", config=config)
    nlp.config["initialize"]["components"]["voken_retriever"] = {"pool": str(pool.path)}
    nlp.initialize(lambda: [caption(nlp, "a cat", "cat")])
    retriever.set_pool(pool)
    for _ in range(2):
        doc = nlp("cats " * 35 + "paris anna \ufe0f")
    assert vokens(doc)[-3:] == [None] * 3
    (record,) = [record for record in caplog.records if "no vector" in record.getMessage()]
    assert "no vector for 5 words in 1 of 1 documents, for example 'cats'" in record.getMessage()
    assert "spacy-vokens.piece_spans.v1" in record.getMessage()


def test_the_first_voken_does_not_depend_on_how_many_are_asked_for(
    vokenizer: Language, make_pool: Callable[..., ImagePool]
) -> None:
    """Also if the pool has each image several times."""
    pool = make_pool(("a", "b", "c", "d", "e", "f", "g"))
    retriever = vokenizer.get_pipe("voken_retriever")
    features = pool.features[[0, 1, 0, 1, 0, 2, 1]]
    records = [replace(record) for record in pool.records]
    content = PoolContent(records, features, pool.encoder, pool.image_root)
    retriever.set_pool(ImagePool.write(pool.path.with_name("copies"), content))
    text = "a cat see the dog in paris fish"
    found = set()
    for retriever.top_k in (1, 2, 3, 7):
        for retriever.exclude_own in (False, True):
            for n_docs in (1, 30):
                docs = [vokenizer.make_doc(text) for _ in range(n_docs)]
                (retrieved, *_) = retriever.predict(docs)
                found.add(tuple(retrieved.ids[:, 0]))
    assert len(found) == 1
    assert set(found.pop()) <= {"a", "b", "f"}


def test_images_whose_names_differ_in_case_only_are_named(
    retriever_config: dict, pool: ImagePool, caplog: pytest.LogCaptureFixture
) -> None:
    nlp = spacy.blank(LANG)
    nlp.add_pipe("voken_retriever", config=retriever_config)
    nlp.config["initialize"]["components"]["voken_retriever"] = {"pool": str(pool.path)}
    with pytest.raises(ValueError, match="'Cat' and 'cat' differ only in case"):
        nlp.initialize(lambda: [caption(nlp, "a cat", "Cat")])
    nlp.initialize(lambda: [caption(nlp, "a cat", "Cat"), caption(nlp, "a dog", "dog")])
    (message,) = caplog.messages
    assert "ignored 1 of 2 training pairs" in message
    assert "'Cat' and 'cat' differ only" in message


def test_other_scores_are_left_alone() -> None:
    """A pipeline that sources the component would else report 0 for what it did not measure."""
    nlp = spacy.blank(LANG)
    nlp.add_pipe("voken_retriever")
    assert nlp.config["training"]["score_weights"] == {}


def test_not_initialized() -> None:
    nlp = spacy.blank(LANG)
    nlp.add_pipe("voken_retriever")
    with pytest.raises(ValueError, match="no index"):
        nlp("a cat")


def test_without_an_index_it_says_what_to_do(vokenizer: Language) -> None:
    vokenizer.get_pipe("voken_retriever").index = None
    reloaded = spacy.blank(LANG, config=vokenizer.config).from_bytes(vokenizer.to_bytes())
    with pytest.raises(ValueError, match="voken_retriever has no index .*spacy vokens index"):
        reloaded("a cat")


@pytest.mark.parametrize("how", ["call", "pipe"])
def test_texts_during_training_get_no_vokens_and_one_warning(
    make_vokenizer: Callable[..., Language], how: str, caplog: pytest.LogCaptureFixture
) -> None:
    nlp = make_vokenizer(indexed=False)
    docs = [nlp(text) for text in TEXTS] if how == "call" else list(nlp.pipe(TEXTS))
    assert {voken for doc in docs for voken in vokens(doc)} == {None}
    (message,) = (m for m in caplog.messages if "has no index" in m)
    assert message.startswith("voken_retriever is being trained")
    assert "nlp.to_disk" in message


@pytest.mark.parametrize("how", ["bytes", "disk"])
def test_saving_during_training_stores_an_index_of_the_training_pool(
    make_vokenizer: Callable[..., Language], pool: ImagePool, how: str, tmp_path: Path
) -> None:
    nlp = make_vokenizer(steps=3, indexed=False)
    retriever = nlp.get_pipe("voken_retriever")
    if how == "disk":
        nlp.to_disk(tmp_path)
        other = spacy.load(tmp_path)
    else:
        other = spacy.blank(LANG, config=nlp.config).from_bytes(nlp.to_bytes())
    assert retriever.index is None, "the next step would outdate it"
    retriever.set_pool(pool)
    stored = other.get_pipe("voken_retriever").index
    assert stored.mark == retriever.index.mark
    assert stored.thumbnails.keys() == set(IMAGES)
    assert [vokens(doc) for doc in other.pipe(TEXTS)] == [vokens(doc) for doc in nlp.pipe(TEXTS)]


def test_saving_after_the_pool_is_gone(
    make_vokenizer: Callable[..., Language],
    make_pool: Callable[..., ImagePool],
    caplog: pytest.LogCaptureFixture,
) -> None:
    nlp = make_vokenizer(indexed=False)
    pool = make_pool()
    nlp.get_pipe("voken_retriever").initialize(lambda: captions(nlp), pool=pool.path)
    shutil.rmtree(pool.path)
    other = spacy.blank(LANG, config=nlp.config).from_bytes(nlp.to_bytes())
    assert any("voken_retriever: stored without an index" in m for m in caplog.messages)
    assert other.get_pipe("voken_retriever").index is None


def test_the_best_model_of_spacy_train_retrieves(
    pool: ImagePool, text_encoder: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    corpus = tmp_path / "pairs.spacy"
    save_docs([example.reference for example in captions(spacy.blank(LANG))], corpus)
    overrides = {
        "paths.pool": str(pool.path),
        "paths.text_encoder": text_encoder,
        "paths.train": str(corpus),
        "paths.dev": str(corpus),
        "training.max_steps": 60,
        "training.eval_frequency": 20,
        LEARN_RATE: 0.01,
    }
    train(CONFIGS / "vokenizer.cfg", tmp_path, overrides=overrides)
    assert not [message for message in caplog.messages if "has no index" in message]
    nlp = spacy.load(tmp_path / "model-best")
    assert [nlp(f"a {image} !")[1]._.voken for image in IMAGES] == list(IMAGES)
    retriever = nlp.get_pipe("voken_retriever")
    assert retriever.index.pool == pool.id
    stored = retriever.index.keys
    retriever.set_pool(pool)
    np.testing.assert_array_equal(retriever.index.keys, stored)


def test_pairs_without_their_image(
    retriever_config: dict, pool: ImagePool, caplog: pytest.LogCaptureFixture
) -> None:
    nlp = spacy.blank(LANG)
    nlp.add_pipe("voken_retriever", config=retriever_config)
    settings = nlp.config["initialize"]["components"]
    with pytest.raises(ValueError, match="embed-images"):
        nlp.initialize(lambda: captions(nlp))
    settings["voken_retriever"] = {"pool": str(pool.path)}
    with pytest.raises(ValueError, match="no training example names an image"):
        nlp.initialize(lambda: [caption(nlp, "a cow", "cow")])
    examples = [*captions(nlp), caption(nlp, "a cow", "cow"), caption(nlp, "a cat", None)]
    optimizer = nlp.initialize(lambda: examples)
    assert "ignored 2 of 8 training pairs" in caplog.text
    assert nlp.update(examples, sgd=optimizer)["voken_retriever"] > 0
    assert nlp.update(examples[-2:], sgd=optimizer)["voken_retriever"] == 0


@pytest.mark.parametrize("config", ["retriever_config", "word_retriever_config"])
def test_without_examples_it_learns_nothing_and_says_so(
    config: str,
    pool: ImagePool,
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
) -> None:
    nlp = spacy.blank(LANG)
    retriever = nlp.add_pipe("voken_retriever", config=request.getfixturevalue(config))
    nlp.config["initialize"]["components"]["voken_retriever"] = {"pool": str(pool.path)}
    optimizer = nlp.initialize()
    assert "It cannot be trained, and finds no images" in caplog.text
    with pytest.raises(ValueError, match="no training example names an image"):
        nlp.update(captions(nlp), sgd=optimizer)
    assert not set(retriever.to_files()) & set(retriever.OPTIONAL_FILES)
    optimizer = nlp.initialize(lambda: captions(nlp))
    assert nlp.update(captions(nlp), sgd=optimizer)["voken_retriever"] > 0
    # The images of this pool have no texts.
    assert set(retriever.to_files()) == set(retriever.OPTIONAL_FILES) - {"names.npy"}


def test_pool_of_another_encoder_is_refused(
    vokenizer: Language, make_pool: Callable[..., ImagePool]
) -> None:
    with pytest.raises(ValueError, match="Features of tiny .* holds those of other"):
        vokenizer.get_pipe("voken_retriever").set_pool(make_pool(encoder="other"))


def test_new_pool_replaces_the_old_one(
    vokenizer: Language, make_pool: Callable[..., ImagePool]
) -> None:
    retriever = vokenizer.get_pipe("voken_retriever")
    old = vokenizer("a cat")
    retriever.set_pool(make_pool(("cow", "hen"), seed=3))
    assert set(vokens(retriever(old))) <= {"cow", "hen"}, "the marker is another, so it looks again"
    with pytest.raises(KeyError, match="'cat'"):
        retriever.image("cat")


def test_image(vokenizer: Language) -> None:
    retriever = vokenizer.get_pipe("voken_retriever")
    doc = vokenizer("a cat !")
    image = retriever.image(doc[1])
    assert (image.id, image.source, image.license) == ("cat", "the tests", "CC0")
    assert image.open().size == (8, 8)
    assert retriever.image(doc[2]) is None


def test_image_is_never_another_file_of_that_name(
    vokenizer: Language, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pictures' folder is known as a relative path: elsewhere it may be another folder."""
    elsewhere = tmp_path / "a" / "b"
    elsewhere.mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    retriever = vokenizer.get_pipe("voken_retriever")
    path = retriever.image("cat").path
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30)).save(path)
    assert retriever.image("cat").open().size == (8, 8)


def test_cache_is_for_training_only(make_vokenizer: Callable[..., Language]) -> None:
    nlp = make_vokenizer(steps=2)
    cache = nlp.get_pipe("voken_retriever").model.get_ref("tok2vec").attrs["cache"]
    assert cache.enabled
    assert len(cache) == len(IMAGES)
    loaded = spacy.blank(LANG, config=nlp.config).from_bytes(nlp.to_bytes())
    list(loaded.pipe(TEXTS))
    cache = loaded.get_pipe("voken_retriever").model.get_ref("tok2vec").attrs["cache"]
    assert not cache.enabled
    assert len(cache) == 0


def test_empty_documents_in_a_training_batch(make_vokenizer: Callable[..., Language]) -> None:
    nlp = make_vokenizer()
    empty = Example(Doc(nlp.vocab), Doc(nlp.vocab))
    empty.reference._.visual_image_id = "cat"
    losses = nlp.update([*captions(nlp), empty], sgd=nlp.create_optimizer())
    assert losses["voken_retriever"] > 0


def own_excluded(vokenizer_path: Path, **settings: object) -> Language:
    settings = {"exclude_own": True, **settings}
    return spacy.load(vokenizer_path, config={"components": {"voken_retriever": settings}})


@pytest.mark.parametrize("top_k", [1, 2, len(IMAGES)])
def test_exclude_own_leaves_out_one_image_and_keeps_the_order(
    vokenizer_path: Path, top_k: int
) -> None:
    """Against the full ranking of all pictures, for every picture as a document's own."""
    ranked = own_excluded(vokenizer_path, exclude_own=False, top_k=len(IMAGES))
    nlp = own_excluded(vokenizer_path, top_k=top_k)
    for own in (*IMAGES, None, "elsewhere"):
        doc = nlp.make_doc("we see a big cat !")
        doc._.visual_image_id = own
        expected = [
            [i for i, _ in images if i != own][:top_k]
            for images in get_token_values(ranked(doc.text), "vokens")[:-1]
        ]
        doc = nlp(doc)
        assert vokens(doc) == [*(images[0] for images in expected), None]
        if top_k > 1:
            found = get_token_values(doc, "vokens")[:-1]
            assert [[i for i, _ in images] for images in found] == expected
            for images, score in zip(found, get_token_values(doc, "voken_score"), strict=False):
                assert [s for _, s in images] == sorted((s for _, s in images), reverse=True)
                assert images[0][1] == score


def test_exclude_own_applies_the_threshold_to_what_is_left(vokenizer_path: Path) -> None:
    nlp = own_excluded(vokenizer_path, threshold=0.3)
    own, other = nlp.make_doc("cat"), nlp.make_doc("cat")
    own._.visual_image_id, other._.visual_image_id = "cat", "dog"
    ranked = own_excluded(vokenizer_path, exclude_own=False, top_k=2)("cat")
    (_, (_, second)) = ranked[0]._.vokens
    assert nlp(other)[0]._.voken == "cat"
    assert (nlp(own)[0]._.voken is None) is (second < 0.3)


def test_a_pipeline_that_excludes_own_images_keeps_doing_so(
    vokenizer_path: Path, tmp_path: Path
) -> None:
    own_excluded(vokenizer_path).to_disk(tmp_path)
    source, nlp = spacy.load(tmp_path), spacy.blank(LANG)
    retriever = nlp.add_pipe("voken_retriever", source=source)
    assert retriever.exclude_own
    doc = nlp.make_doc("a cat")
    doc._.visual_image_id = "cat"
    assert "cat" not in vokens(nlp(doc))
    assert doc._.voken_index == str(replace(retriever.index.mark, exclude_own=True))


def test_documents_grounded_with_own_images_are_grounded_anew_without(
    vokenizer_path: Path,
) -> None:
    """Both ways; and none with the setting that it was grounded with."""
    first, second = own_excluded(vokenizer_path, exclude_own=False), own_excluded(vokenizer_path)
    doc = first.make_doc("a cat")
    doc._.visual_image_id = "cat"
    for nlp, has_own in ((first, True), (second, False), (first, True)):
        doc = nlp(Doc(nlp.vocab).from_bytes(doc.to_bytes()))
        assert (doc[1]._.voken == "cat") is has_own
        doc[1]._.voken = "kept"
        assert nlp(doc)[1]._.voken == "kept"


RANKINGS = st.lists(
    st.lists(st.sampled_from(["a", "b", None]), min_size=3, max_size=3), min_size=1, max_size=4
)


@pytest.fixture(scope="module")
def loaded(vokenizer_path: Path) -> VokenRetriever:
    return spacy.load(vokenizer_path).get_pipe("voken_retriever")


@given(rows=RANKINGS)
def test_images_that_were_dropped_are_written_to_no_token(
    loaded: VokenRetriever, rows: list[list[str | None]]
) -> None:
    scores = np.tile(np.linspace(1, 0, 3, dtype=np.float32), (len(rows), 1))
    doc = Doc(Vocab(), words=["w"] * len(rows))
    loaded.set_annotations([doc], [Retrieved(np.array(rows, dtype=object), scores)])
    for token, row in zip(doc, rows, strict=True):
        assert token._.voken == row[0]
        assert (token._.voken_score is None) is (row[0] is None)
        assert [i for i, _ in token._.vokens or ()] == [i for i in row if i is not None]


def test_one_image_per_token_is_no_ranking(loaded: VokenRetriever) -> None:
    doc = Doc(Vocab(), words=["w", "w"])
    ids = np.array([["a"], ["b"]], dtype=object)
    loaded.set_annotations([doc], [Retrieved(ids, np.ones((2, 1), dtype=np.float32))])
    assert vokens(doc) == ["a", "b"]
    assert get_token_values(doc, "vokens") == [None, None]
