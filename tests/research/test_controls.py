from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import spacy
from hypothesis import strategies as st
from spacy.tokens import Doc

from research import controls
from research.controls import CONTROLS, Grounding, check_images, query
from spacy_vokens.attributes import get_token_values, set_token_values
from spacy_vokens.identity import EncoderId
from spacy_vokens.images.pool import ImagePool, ImageRecord, PoolContent
from tests.conftest import LANG

NLP = spacy.blank(LANG)
IDS = ("a", "b", "c", "d", "e")
SPLITS = ("train", "dev", "test")
FEATURES = np.arange(1, 11, dtype=np.float16).reshape(len(IDS), 2)
# All but `given` put a picture in the place of a voken, and none where there is no voken.
IN_PLACE = sorted(CONTROLS.keys() - {"given"})

# The vokens of each document's tokens, by split.
corpora = st.fixed_dictionaries(
    {split: st.lists(st.lists(st.sampled_from([*IDS, None]), max_size=6)) for split in SPLITS}
)
seeds = st.integers(0, 2**32 - 1)
# Where a rule is tried on several controls.
few = hypothesis.settings(max_examples=30)


def make_doc(vokens: list[str | None], image_id: str | None = None) -> Doc:
    doc = Doc(NLP.vocab, words=["w"] * len(vokens))
    set_token_values(doc, "voken", vokens)
    set_token_values(doc, "voken_score", [None if v is None else 0.5 + ord(v) for v in vokens])
    doc._.visual_image_id = image_id
    return doc


def make_grounding(corpus: dict[str, list[list[str | None]]]) -> Grounding:
    docs = {split: [make_doc(vokens) for vokens in texts] for split, texts in corpus.items()}
    records = [ImageRecord(id, f"{id}.png", "0" * 64, 8, 8) for id in IDS]
    return Grounding(docs, records, FEATURES.copy())


def apply(name: str, corpus: dict[str, list[list[str | None]]], seed: int = 0) -> Grounding:
    return CONTROLS[name](make_grounding(corpus), np.random.default_rng(seed))


def read(grounding: Grounding, name: str = "voken") -> dict[str, list[list]]:
    return {
        split: [get_token_values(doc, name) for doc in docs]
        for split, docs in grounding.docs.items()
    }


def flat(texts: list[list[str | None]]) -> list[str | None]:
    return [voken for vokens in texts for voken in vokens]


def large_corpus() -> dict[str, list[list[str | None]]]:
    """A corpus most of whose tokens have one and the same voken."""
    return {split: [["a"] * 9 + ["b", None]] * 40 for split in SPLITS}


def test_the_table_tells_of_every_control() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", controls.__doc__ or "", re.MULTILINE)
    assert sorted(rows) == sorted([*CONTROLS, "query"])


@pytest.mark.parametrize("name", IN_PLACE)
@few
@hypothesis.given(corpus=corpora, seed=seeds)
def test_the_tokens_that_have_a_voken_are_the_same_and_their_scores_too(
    name: str, corpus: dict, seed: int
) -> None:
    after = apply(name, corpus, seed)
    for split, texts in read(after).items():
        for old, new in zip(corpus[split], texts, strict=True):
            assert [voken is None for voken in new] == [voken is None for voken in old]
        assert set(flat(texts)) <= {*IDS, None}
    assert read(after, "voken_score") == read(make_grounding(corpus), "voken_score")
    assert [record.id for record in after.records] == list(IDS)
    assert after.features.shape == FEATURES.shape


@pytest.mark.parametrize("name", ["retrieved", "zero", "permuted"])
@few
@hypothesis.given(corpus=corpora, seed=seeds)
def test_vokens_stay_where_the_features_alone_are_controlled(
    name: str, corpus: dict, seed: int
) -> None:
    assert read(apply(name, corpus, seed)) == corpus


@pytest.mark.parametrize("name", ["retrieved", "given", "random", "shuffled"])
@few
@hypothesis.given(corpus=corpora, seed=seeds)
def test_features_stay_where_the_vokens_alone_are_controlled(
    name: str, corpus: dict, seed: int
) -> None:
    np.testing.assert_array_equal(apply(name, corpus, seed).features, FEATURES)


@pytest.mark.parametrize("name", sorted(CONTROLS))
@few
@hypothesis.given(corpus=corpora, seed=seeds)
def test_the_same_seed_gives_the_same(name: str, corpus: dict, seed: int) -> None:
    one, other = apply(name, corpus, seed), apply(name, corpus, seed)
    assert read(one) == read(other)
    np.testing.assert_array_equal(one.features, other.features)


@pytest.mark.parametrize("name", ["random", "shuffled", "permuted"])
def test_another_seed_gives_something_else(name: str) -> None:
    found = {
        str(read(after)) + str(after.features)
        for after in (apply(name, large_corpus(), seed) for seed in range(6))
    }
    # Of five pictures two seeds may have the same permutation.
    assert len(found) > 3


@pytest.mark.parametrize("name", ["random", "shuffled"])
def test_a_ranking_goes_with_its_voken(name: str) -> None:
    grounding = make_grounding({"train": [["a", None]]})
    (doc,) = grounding.docs["train"]
    set_token_values(doc, "vokens", [[["a", 0.5], ["b", 0.25]], None])
    CONTROLS[name](grounding, np.random.default_rng(0))
    assert get_token_values(doc, "vokens") == [None, None]


def test_random_draws_all_images_about_as_often_wherever_they_were() -> None:
    for split, texts in read(apply("random", large_corpus())).items():
        counts = Counter(flat(texts)) - Counter({None: 40})
        assert counts.keys() == set(IDS), split
        # 400 draws, 80 a picture: this is six standard deviations to either side.
        assert all(32 < count < 128 for count in counts.values())


@hypothesis.given(corpus=corpora, seed=seeds)
def test_shuffled_keeps_how_often_each_image_is_retrieved(corpus: dict, seed: int) -> None:
    for split, texts in read(apply("shuffled", corpus, seed)).items():
        assert Counter(flat(texts)) == Counter(flat(corpus[split]))


def test_shuffled_mixes_documents_but_no_splits() -> None:
    corpus: dict = {
        split: [[id] * 20 for id in ids]
        for split, ids in (("train", "abc"), ("dev", "d"), ("test", "e"))
    }
    after = read(apply("shuffled", corpus))
    assert all(set(vokens) == set("abc") for vokens in after["train"])
    assert (set(flat(after["dev"])), set(flat(after["test"]))) == ({"d"}, {"e"})


@hypothesis.given(corpus=corpora)
def test_zero_leaves_no_feature(corpus: dict) -> None:
    after = apply("zero", corpus)
    assert not after.features.any()
    assert after.features.dtype == FEATURES.dtype


@hypothesis.given(corpus=corpora, seed=seeds)
def test_permuted_gives_each_image_the_features_of_one(corpus: dict, seed: int) -> None:
    """There is one table for all splits, so that the permutation is one for all of them too."""
    grounding = make_grounding(corpus)
    after = CONTROLS["permuted"](grounding, np.random.default_rng(seed))
    assert sorted(after.features.tolist()) == FEATURES.tolist()
    np.testing.assert_array_equal(grounding.features, FEATURES)


def test_permuted_features_do_not_depend_on_the_corpus() -> None:
    one, other = apply("permuted", large_corpus(), 3), apply("permuted", {"dev": [["a"]]}, 3)
    np.testing.assert_array_equal(one.features, other.features)


@hypothesis.given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from([*IDS, None]))))
def test_given_is_the_image_of_the_document(texts: list[tuple[int, str | None]]) -> None:
    grounding = make_grounding({})
    grounding.docs["dev"] = [make_doc([None, "a", "b", None][:n], image) for n, image in texts]
    after = CONTROLS["given"](grounding, np.random.default_rng(0))
    assert read(after)["dev"] == [[image] * n for n, image in texts]
    assert set(flat(read(after, "voken_score")["dev"])) <= {None}


def text_docs() -> dict[str, list[Doc]]:
    """Sentences whose words are the tiny encoder's; one is empty, one has no voken."""
    texts = {"train": ["a red cat !", "", "we see anna ."], "dev": ["."], "test": ["big dog"]}
    docs = {split: [NLP(text) for text in of_split] for split, of_split in texts.items()}
    for doc in (doc for of_split in docs.values() for doc in of_split):
        set_token_values(doc, "voken", [None if t.is_punct else "cat" for t in doc])
        set_token_values(doc, "voken_score", [None if t.is_punct else 0.5 for t in doc])
    return docs


def test_query_is_the_vector_that_the_retriever_searches_with(
    vokenizer: spacy.Language, pool: ImagePool
) -> None:
    retriever = vokenizer.get_pipe("voken_retriever")
    docs = text_docs()
    after = query(Grounding(docs, pool.records, pool.features), retriever)
    row = {record.id: row for row, record in enumerate(after.records)}
    used = []
    for split, expected in text_docs().items():
        for doc, vectors, new in zip(
            expected, retriever.queries(expected), docs[split], strict=True
        ):
            vokens = get_token_values(new, "voken")
            assert [v is None for v in vokens] == [token.is_punct for token in doc]
            assert get_token_values(new, "voken_score") == get_token_values(doc, "voken_score")
            for voken, vector in zip(vokens, vectors, strict=True):
                if voken is not None:
                    used.append(voken)
                    np.testing.assert_allclose(after.features[row[voken]], vector, atol=1e-5)
    # Each is the picture of one token.
    assert used == [record.id for record in after.records]
    assert len(used) == 3 + 3 + 2


def test_queries_make_a_pool(vokenizer: spacy.Language, pool: ImagePool, tmp_path: Path) -> None:
    retriever = vokenizer.get_pipe("voken_retriever")
    after = query(Grounding(text_docs(), pool.records, pool.features), retriever)
    written = ImagePool.write(
        tmp_path / "pool",
        PoolContent(
            after.records, after.features, encoder=EncoderId("tiny", "1" * 64), image_root=tmp_path
        ),
    )
    assert len(written) == 8
    assert written.features.shape == (8, retriever.model.get_dim("nO"))
    np.testing.assert_allclose(np.linalg.norm(written.features, axis=1), 1, atol=1e-2)


def test_many_queries_are_in_the_order_of_their_ids() -> None:
    """As a pool needs them: ids are sorted as texts."""
    ids = [controls._query_id(row) for row in (0, 9, 10, 99_999, 100_000, 10_000_000)]
    assert ids == sorted(set(ids))


def test_images_that_are_not_in_the_pool_are_named() -> None:
    grounding = make_grounding({"train": [["a"]], "dev": [["b", "x"], ["y", None]]})
    with pytest.raises(ValueError, match="'random' .* 'dev' 2 images not in the pool .*'x'"):
        check_images(grounding, "random")


@pytest.mark.parametrize("texts", [[], [[]], [[None, None]]])
def test_a_split_without_images_is_named(texts: list[list[str | None]]) -> None:
    grounding = make_grounding({"train": [["a"]], "test": texts})
    with pytest.raises(ValueError, match="'given' give no token of 'test' an image"):
        check_images(grounding, "given")


@pytest.mark.parametrize("name", sorted(CONTROLS))
def test_what_controls_make_can_be_used(name: str) -> None:
    grounding = make_grounding({split: [["a", None], ["b"]] for split in SPLITS})
    for docs in grounding.docs.values():
        docs[0]._.visual_image_id = "c"
    check_images(CONTROLS[name](grounding, np.random.default_rng(0)), name)
