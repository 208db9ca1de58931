from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import classification_report
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import IOB2, Tokens

from spacy_vokens.corpus.conll import read_conll
from spacy_vokens.scoring.ner import (
    bio_tags,
    lenient_spans,
    repair_bio,
    score_spans,
    score_tags,
    strict_spans,
)
from tests.conftest import DATA

TAGS = ["O", *(f"{prefix}-{label}" for label in ("PER", "LOC", "ORG") for prefix in "BI")]
sequences = st.lists(st.sampled_from(TAGS), max_size=12)
# Tags of one length per sentence, gold and predicted; both may be ill-formed.
corpora = st.lists(
    st.integers(1, 8).flatmap(
        lambda n: st.tuples(*[st.lists(st.sampled_from(TAGS), min_size=n, max_size=n)] * 2)
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize(
    ("tags", "strict", "lenient"),
    [
        ([], [], []),
        (["B-PER"], [(0, 1, "PER")], [(0, 1, "PER")]),
        (["B-PER", "B-PER"], [(0, 1, "PER"), (1, 2, "PER")], [(0, 1, "PER"), (1, 2, "PER")]),
        (["I-PER", "I-PER", "O"], [], [(0, 2, "PER")]),
        (
            ["B-PER", "I-LOC", "I-LOC", "I-PER"],
            [(0, 1, "PER")],
            [(0, 1, "PER"), (1, 3, "LOC"), (3, 4, "PER")],
        ),
        (["B-SUB-TYPE", "I-SUB-TYPE"], [(0, 2, "SUB-TYPE")], [(0, 2, "SUB-TYPE")]),
    ],
)
def test_spans_of_known_sequences(tags, strict, lenient):
    assert strict_spans(tags) == strict
    assert lenient_spans(tags) == lenient


@given(sequences)
def test_spans_are_those_of_seqeval(tags):
    strict = [(e.start, e.end, e.tag) for e in Tokens(tags, IOB2).entities]
    lenient = [(start, end + 1, label) for label, start, end in get_entities(tags)]
    assert strict_spans(tags) == strict
    assert lenient_spans(tags) == lenient


@given(sequences)
def test_repaired_tags_are_well_formed_and_change_ill_formed_starts_only(tags):
    repaired = repair_bio(tags)
    assert repair_bio(repaired) == repaired
    assert strict_spans(repaired) == lenient_spans(repaired) == lenient_spans(tags)
    for old, new in zip(tags, repaired, strict=True):
        assert new in (old, old.replace("I-", "B-"))


@pytest.mark.parametrize("tag", ["", "B", "B-", "PER", "E-PER", "o"])
@pytest.mark.parametrize("read", [repair_bio, strict_spans, lenient_spans])
def test_anything_but_bio_is_an_error(read, tag):
    with pytest.raises(ValueError, match="expected the tag"):
        read(["O", tag])


def counts(score):
    return score.tp, score.fp, score.fn


@given(corpora)
def test_scores_are_those_of_seqeval(corpus):
    gold, predicted = (list(side) for side in zip(*corpus, strict=True))
    ours = score_tags(gold, predicted)
    for name, options in (("strict", {"mode": "strict", "scheme": IOB2}), ("lenient", {})):
        _assert_equal_to_seqeval(ours[name], gold, predicted, options)


def _assert_equal_to_seqeval(scores, gold, predicted, options):
    if not scores.per_type:  # seqeval cannot report on no entity at all
        assert counts(scores.overall) == (0, 0, 0)
        assert scores.weighted_f1 == 0
        return
    report = classification_report(gold, predicted, output_dict=True, zero_division=0, **options)
    averages = {name: report.pop(f"{name} avg") for name in ("micro", "macro", "weighted")}
    assert list(report) == list(scores.per_type)
    for row, score in (
        (averages["micro"], scores.overall),
        *((row, scores.per_type[label]) for label, row in report.items()),
    ):
        assert row["precision"] == pytest.approx(score.precision)
        assert row["recall"] == pytest.approx(score.recall)
        assert row["f1-score"] == pytest.approx(score.fscore)
        assert row["support"] == score.tp + score.fn
    if averages["micro"]["support"]:  # else seqeval's weights sum to zero
        assert averages["weighted"]["f1-score"] == pytest.approx(scores.weighted_f1)


def test_scores_of_a_hand_counted_corpus():
    gold = [{(0, 2, "PER"), (3, 4, "LOC")}, {(1, 2, "LOC")}, set()]
    predicted = [{(0, 2, "PER"), (3, 5, "LOC")}, {(1, 2, "ORG")}, {(0, 1, "PER")}]
    scores = score_spans(gold, predicted)
    assert {label: counts(score) for label, score in scores.per_type.items()} == {
        "LOC": (0, 1, 2),
        "ORG": (0, 1, 0),
        "PER": (1, 1, 0),
    }
    assert counts(scores.overall) == (1, 3, 2)
    assert scores.overall.precision == 1 / 4
    assert scores.overall.recall == 1 / 3
    assert scores.overall.fscore == pytest.approx(2 / 7)
    assert scores.weighted_f1 == pytest.approx((0 * 2 + 2 / 3 * 1) / 3)
    assert scores.to_dict()["per_type"]["LOC"]["mentions"] == 2


def test_ill_formed_starts_count_in_one_reading_and_not_in_the_other():
    scores = score_tags([["O", "I-PER", "O"]], [["O", "B-PER", "O"]])
    assert counts(scores["strict"].overall) == (0, 1, 0)
    assert counts(scores["lenient"].overall) == (1, 0, 0)


def test_corpora_that_do_not_fit_are_errors():
    with pytest.raises(ValueError, match="2 gold sentences, but 1 predicted"):
        score_tags([["O"], ["O"]], [["O"]])
    with pytest.raises(ValueError, match="sentence 1 has 1 gold tags, but 2 predicted"):
        score_tags([["O"], ["O"]], [["O"], ["O", "O"]])


@dataclass
class Token:
    ent_iob_: str
    ent_type_: str


def test_bio_tags_read_tokens():
    tokens = [Token("", ""), Token("O", ""), Token("B", "PER"), Token("I", "PER"), Token("B", "X")]
    assert bio_tags(tokens) == ["O", "O", "B-PER", "I-PER", "B-X"]


@pytest.mark.skipif(not DATA.is_dir(), reason=f"the tweets are not at {DATA}")
@pytest.mark.parametrize(
    ("name", "strict", "lenient"), [("twitter2015", 5072, 5207), ("twitter2017", 1351, 1351)]
)
def test_mentions_of_the_tweets(name, strict, lenient):
    path = DATA / name / "test.txt"
    gold = [list(sentence.tags) for sentence in read_conll([path]).sentences[path]]
    predicted = [repair_bio(tags) for tags in gold]
    ours = score_tags(gold, predicted)
    assert counts(ours["strict"].overall) == (strict, lenient - strict, 0)
    assert counts(ours["lenient"].overall) == (lenient, 0, 0)
    _assert_equal_to_seqeval(ours["strict"], gold, predicted, {"mode": "strict", "scheme": IOB2})
    _assert_equal_to_seqeval(ours["lenient"], gold, predicted, {})
