from __future__ import annotations

from pathlib import Path

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc

from research.gold import make_gold, thousandths
from research.hashes import hash_tags
from research.runs import Gold, load_gold, save_json, score_run
from spacy_vokens.attributes import set_token_values
from spacy_vokens.scoring.ner import lenient_spans, repair_bio, score_tags, strict_spans
from tests.conftest import LANG

NLP = spacy.blank(LANG)
TAGS = ["O", *(f"{prefix}-{label}" for label in ("PER", "LOC") for prefix in "BI")]
# Gold and predicted tags of the same tokens; the gold ones may be ill-formed.
corpora = st.lists(
    st.integers(0, 8).flatmap(
        lambda n: st.tuples(*[st.lists(st.sampled_from(TAGS), min_size=n, max_size=n)] * 2)
    ),
    max_size=6,
)


def make_doc(words: str, tags: str, image_id: str | None = None) -> Doc:
    return tagged(words.split(), tags.split(), image_id)


def tagged(words: list[str], tags: list[str], image_id: str | None = None) -> Doc:
    doc = Doc(NLP.vocab, words=words, ents=repair_bio(tags))
    doc._.visual_raw_tags = tags
    doc._.visual_image_id = image_id
    return doc


def gold_of(docs: list[Doc], training: list[Doc] | None = None) -> Gold:
    return make_gold("tweets", "test", docs, training or [], 100)


def test_a_small_corpus() -> None:
    doc = make_doc("Anna sees New York today", "B-PER O B-LOC I-LOC O", "17_06_1")
    set_token_values(doc, "voken", ["cat", None, "b", "cat", None])
    set_token_values(doc, "voken_score", [0.1234, None, 1.0, -0.5, None])
    gold = gold_of([doc, Doc(NLP.vocab)])
    assert (gold.dataset, gold.split, gold.pool_size) == ("tweets", "test", 100)
    assert gold.ids == ["17_06_1", None]
    assert gold.lengths == [5, 0]
    assert gold.strict == gold.lenient == [[(0, 1, "PER"), (2, 4, "LOC")], []]
    assert gold.pos == [["NNP", "VBZ", "NNP", "NNP", "NN"], []]
    assert gold.voken_scores == [[123, None, 1000, -500, None], []]
    # Of the images that are a voken, in the order of their ids.
    assert list(gold.vokens.items()) == [("b", 1), ("cat", 2)]


def test_entities_without_raw_tags_are_the_documents_own() -> None:
    doc = Doc(NLP.vocab, words=["in", "Paris"], ents=["O", "B-LOC"])
    assert gold_of([doc]).strict == gold_of([doc]).lenient == [[(1, 2, "LOC")]]


def test_seen_is_what_training_calls_an_entity_of_any_type_and_case() -> None:
    training = [make_doc("paris and new york", "B-LOC O B-LOC I-LOC"), make_doc("anna", "O")]
    docs = [
        make_doc("Paris met New York", "B-PER O B-ORG I-ORG"),
        # The text in training was no entity, or was a part of one.
        make_doc("Anna York", "B-PER B-LOC"),
    ]
    assert gold_of(docs, training).seen == [[True, True], [False, False]]
    assert gold_of(docs).seen == [[False, False], [False, False]]


def test_ill_formed_tags_are_entities_of_the_lenient_reading_only() -> None:
    training = [make_doc("anna", "B-PER")]
    gold = gold_of([make_doc("see anna in paris", "O I-PER O B-LOC")], training)
    assert gold.strict == [[(3, 4, "LOC")]]
    assert gold.lenient == [[(1, 2, "PER"), (3, 4, "LOC")]]
    # One for each strict entity.
    assert gold.seen == [[False]]
    scores = score_run(gold, gold.lenient)
    counts = {name: (found["tp"], found["fp"], found["fn"]) for name, found in scores.items()}
    assert counts == {"strict": (1, 1, 0), "lenient": (2, 0, 0)}


@given(corpora)
def test_runs_are_scored_as_tags_are(corpus: list[tuple[list[str], list[str]]]) -> None:
    gold_tags = [tags for tags, _ in corpus]
    # The tagger's own entities are well-formed, and so the same in both readings.
    predicted = [repair_bio(tags) for _, tags in corpus]
    gold = gold_of([tagged(["w"] * len(tags), tags) for tags in gold_tags])
    spans = [strict_spans(tags) for tags in predicted]
    found = score_run(gold, spans)
    for reading, expected in score_tags(gold_tags, predicted).items():
        scores, overall = found[reading], expected.overall
        assert [scores[n] for n in ("tp", "fp", "fn")] == [overall.tp, overall.fp, overall.fn]
        assert scores["p"] == pytest.approx(overall.precision)
        assert scores["r"] == pytest.approx(overall.recall)
        assert scores["weighted_f"] == pytest.approx(expected.weighted_f1)
        assert scores["per_type"].keys() == expected.per_type.keys()
        for label, counts in expected.per_type.items():
            of_type = scores["per_type"][label]
            assert [of_type[n] for n in ("tp", "fp", "fn")] == [counts.tp, counts.fp, counts.fn]
            assert of_type["f"] == pytest.approx(
                2 * counts.tp / (2 * counts.tp + counts.fp + counts.fn)
            )


@given(corpora)
def test_spans_are_those_of_the_tags(corpus: list[tuple[list[str], list[str]]]) -> None:
    gold = gold_of([tagged(["w"] * len(tags), tags) for tags, _ in corpus])
    assert gold.strict == [strict_spans(tags) for tags, _ in corpus]
    assert gold.lenient == [lenient_spans(tags) for tags, _ in corpus]
    assert [len(seen) for seen in gold.seen] == [len(spans) for spans in gold.strict]
    assert gold.lengths == [len(tags) for tags, _ in corpus]


@given(st.lists(st.lists(st.text(min_size=1, max_size=8), max_size=6), max_size=3))
def test_every_token_has_one_part_of_speech(texts: list[list[str]]) -> None:
    gold = gold_of([Doc(NLP.vocab, words=words) for words in texts])
    assert [len(pos) for pos in gold.pos] == gold.lengths
    assert all(tag.strip() for of_doc in gold.pos for tag in of_doc)


def test_the_hash_is_of_tokens_and_tags_alone() -> None:
    doc = make_doc("see anna", "O B-PER")
    first = gold_of([doc]).sha256
    set_token_values(doc, "voken", ["cat", "cat"])
    set_token_values(doc, "voken_score", [0.5, 0.5])
    doc._.visual_image_id = "another"
    assert gold_of([doc], [doc]).sha256 == first
    others = [
        make_doc("see Anna", "O B-PER"),
        make_doc("see anna", "O I-PER"),
        make_doc("see anna", "O B-LOC"),
    ]
    hashes = {gold_of(docs).sha256 for docs in ([], [doc, doc], *([other] for other in others))}
    assert len(hashes | {first}) == 6
    assert first == hash_tags([["see", "anna"]], [["O", "B-PER"]])


def test_tokens_do_not_run_together_in_the_hash() -> None:
    tags = [["O", "O"]]
    assert hash_tags([["ab", "c"]], tags) != hash_tags([["a", "bc"]], tags)
    assert hash_tags([["a"], ["b"]], [["O"], ["O"]]) != hash_tags([["a", "b"]], tags)


@given(st.lists(st.none() | st.floats(-1, 1)))
def test_thousandths_are_whole_and_near(values: list[float | None]) -> None:
    for value, rounded in zip(values, thousandths(values), strict=True):
        assert (rounded is None) is (value is None)
        if rounded is not None and value is not None:
            assert isinstance(rounded, int)
            assert abs(rounded / 1000 - value) <= 0.0005 + 1e-9


@given(st.lists(st.lists(st.sampled_from(TAGS), min_size=1, max_size=8), min_size=1, max_size=4))
def test_no_word_is_in_what_is_kept(
    tmp_path_factory: pytest.TempPathFactory, texts: list[list[str]]
) -> None:
    """The data's licenses do not let their texts be copied."""
    docs = [
        tagged([f"Wort{row}Nr{i}Äx" for i in range(len(tags))], tags)
        for row, tags in enumerate(texts)
    ]
    for doc in docs:
        set_token_values(doc, "voken", ["cat"] * len(doc))
    path: Path = tmp_path_factory.mktemp("gold") / "gold.json"
    save_json(gold_of(docs, docs), path)
    assert load_gold(path).lengths == [len(tags) for tags in texts]
    written = path.read_text(encoding="utf-8").lower()
    for doc in docs:
        assert all(token.text.lower() not in written for token in doc)
    # Nor any part of one.
    assert "wort" not in written
