from __future__ import annotations

import pytest

from spacy_vokens.files import VokensError
from spacy_vokens.scoring.compare import ScoreTable, compare
from spacy_vokens.scoring.ner import score_tags

GOLD = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "I-LOC"]]
GOOD = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-LOC"]]
POOR = [["B-PER", "O", "O", "B-LOC"], ["O", "O"]]
ENTITIES = "Named entities (strict F1 by type; lenient F1 beside it)"


def entity_report(predicted, gold=GOLD):
    """The scores in a report of `evaluate`."""
    scores = score_tags(gold, predicted)
    return {f"ents_{key}": x for key, x in scores["strict"].to_dict().items()} | {
        f"ents_lenient_{key}": x for key, x in scores["lenient"].to_dict().items()
    }


def retrieval_report(**scores):
    return {"retrieval": {"candidates": 80, "scores": scores, "chance": {"voken_r1": 0.0125}}}


WORD_HIT = {
    "images": 1200,
    "voken_word_hit": 0.5,
    "voken_word_hit_chance": 0.125,
    "voken_word_hit_macro": 0.25,
    "voken_word_hit_macro_chance": 0.01,
    "voken_content_words": 30,
    "voken_content_without": 0.0,
    "voken_stop_coverage": None,
}


def test_entities_and_retrieval_side_by_side(write_report):
    paths = [
        write_report("NoFusion", entity_report(POOR)),
        write_report("GatedFusion", entity_report(GOOD)),
        write_report("retrieval", retrieval_report(voken_r1=0.25, voken_diversity=0.5)),
    ]
    # In the strict reading, the last I-LOC is not an entity: POOR finds 1 of 2, GOOD both.
    assert compare(paths) == [
        ScoreTable(
            ENTITIES,
            ("", "P", "R", "F1", "LOC", "PER", "Lenient F1", "Mentions"),
            (
                ("NoFusion", "50.00", "50.00", "50.00", "100.00", "0.00", "40.00", "2"),
                ("GatedFusion", "66.67", "100.00", "80.00", "66.67", "100.00", "100.00", "2"),
            ),
        ),
        ScoreTable(
            "Retrieval",
            ("", "Images", "Score", "Value", "Chance"),
            (
                ("retrieval", "80", "voken_r1", "0.250", "0.013"),
                ("retrieval", "80", "voken_diversity", "0.500", ""),
            ),
        ),
    ]


def test_word_hit_is_among_all_images(write_report):
    report = retrieval_report(voken_r1=0.25) | {"word_hit": WORD_HIT}
    without = retrieval_report(voken_r1=0.5) | {"word_hit": None, "no_word_hit": "no texts"}
    (table,) = compare([write_report("a", report), write_report("b", without)])
    assert table.rows == (
        ("a", "80", "voken_r1", "0.250", "0.013"),
        ("a", "1200", "voken_word_hit", "0.500", "0.125"),
        ("a", "1200", "voken_word_hit_macro", "0.250", "0.010"),
        ("a", "1200", "voken_content_without", "0.000", ""),
        ("b", "80", "voken_r1", "0.500", "0.013"),
    )


def test_a_table_without_rows_is_left_out(write_report):
    (entities,) = compare([write_report("entities", entity_report(GOOD))])
    assert entities.title == ENTITIES
    (retrieval,) = compare([write_report("pairs", retrieval_report(voken_r1=0.5))])
    assert retrieval.title == "Retrieval"


def test_a_type_that_one_corpus_lacks_stays_empty(write_report):
    other = entity_report([["B-ORG"]], [["B-ORG"]])
    (table,) = compare([write_report("a", entity_report(GOOD)), write_report("b", other)])
    assert table.header[4:7] == ("LOC", "ORG", "PER")
    assert [row[4:7] for row in table.rows] == [("66.67", "", "100.00"), ("", "100.00", "")]


def test_files_of_one_name_keep_a_row_each(write_report):
    (table,) = compare([write_report(f"runs/{seed}/test", entity_report(GOOD)) for seed in (0, 1)])
    assert [row[0] for row in table.rows] == ["0/test", "1/test"]


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 1}'])
def test_a_file_without_scores_is_named(write_report, tmp_path, content):
    path = tmp_path / "meta.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=str(path)):
        compare([write_report("good", entity_report(GOOD)), path])
    path.write_text("{}")
    with pytest.raises(VokensError, match="has no scores"):
        compare([path])
