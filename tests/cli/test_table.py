from __future__ import annotations

import json

import pytest

from spacy_vokens.metrics.ner import score_tags

from .conftest import said

GOLD = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "I-LOC"]]
GOOD = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-LOC"]]
POOR = [["B-PER", "O", "O", "B-LOC"], ["O", "O"]]


@pytest.fixture
def write(tmp_path):
    """Write a report as `spacy vokens evaluate` does."""

    def write(name, report):
        path = tmp_path / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report))
        return path

    return write


def entity_report(predicted):
    return {name: scores.to_dict() for name, scores in score_tags(GOLD, predicted).items()}


def rows(output: str) -> list[list[str]]:
    return [line.split() for line in output.splitlines() if line.strip()]


def test_entities_and_retrieval_side_by_side(vokens, write, tmp_path):
    metrics = [
        write("NoFusion", entity_report(POOR)),
        write("GatedFusion", entity_report(GOOD)),
        write(
            "retrieval",
            {
                "retrieval": {
                    "candidates": 80,
                    "scores": {"voken_r1": 0.25, "voken_diversity": 0.5},
                    "chance": {"voken_r1": 0.0125},
                },
            },
        ),
    ]
    output = tmp_path / "new" / "table.md"
    result = vokens("table", *metrics, "--output", output, "--title", "A demonstration")
    assert result.exit_code == 0, result.output
    assert "A demonstration" in result.output
    printed = rows(result.output)
    # Strictly "I-LOC" alone is no entity: POOR finds 1 of 2 with 2, GOOD 2 of 2 with 3.
    assert ["P", "R", "F1", "LOC", "PER", "Lenient", "F1", "Mentions"] in printed
    assert ["NoFusion", "50.00", "50.00", "50.00", "100.00", "0.00", "40.00", "2"] in printed
    assert ["GatedFusion", "66.67", "100.00", "80.00", "66.67", "100.00", "100.00", "2"] in printed
    assert ["retrieval", "80", "voken_r1", "0.250", "0.013"] in printed
    assert ["retrieval", "80", "voken_diversity", "0.500"] in printed
    assert output.read_text(encoding="utf-8") == (
        "# A demonstration\n\n"
        "## Named entities (strict F1 by type; lenient F1 beside it)\n\n"
        "|  | P | R | F1 | LOC | PER | Lenient F1 | Mentions |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| NoFusion | 50.00 | 50.00 | 50.00 | 100.00 | 0.00 | 40.00 | 2 |\n"
        "| GatedFusion | 66.67 | 100.00 | 80.00 | 66.67 | 100.00 | 100.00 | 2 |\n\n"
        "## Retrieval\n\n"
        "|  | Pictures | Score | Value | Chance |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| retrieval | 80 | voken_r1 | 0.250 | 0.013 |\n"
        "| retrieval | 80 | voken_diversity | 0.500 |  |\n"
    )


def test_a_table_without_rows_is_left_out(vokens, write):
    entities = write("entities", entity_report(GOOD))
    retrieval = write(
        "pairs", {"retrieval": {"candidates": 2, "scores": {"voken_r1": 0.5}, "chance": {}}}
    )
    assert "Retrieval" not in vokens("table", entities).output
    assert "Named entities" not in vokens("table", retrieval).output


def test_a_type_that_one_corpus_lacks_stays_empty(vokens, write):
    other = {name: s.to_dict() for name, s in score_tags([["B-ORG"]], [["B-ORG"]]).items()}
    result = vokens("table", write("a", entity_report(GOOD)), write("b", other))
    printed = rows(result.output)
    assert ["a", "66.67", "100.00", "80.00", "66.67", "100.00", "100.00", "2"] in printed
    assert ["b", "100.00", "100.00", "100.00", "100.00", "100.00", "1"] in printed


def test_files_of_one_name_keep_a_row_each(vokens, write):
    seeds = [write(f"runs/{seed}/test", entity_report(GOOD)) for seed in (0, 1)]
    printed = rows(vokens("table", *seeds).output)
    assert [row[0] for row in printed if row[0].endswith("/test")] == ["0/test", "1/test"]


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 1}'])
def test_a_file_without_scores_is_named(vokens, write, tmp_path, content):
    path = tmp_path / "meta.json"
    path.write_text(content)
    good = write("good", entity_report(GOOD))
    result = vokens("table", good, path, "--output", tmp_path / "table.md")
    assert result.exit_code == 1
    assert said(result, str(path))
    assert said(result, "Could not read the scores")
    assert not (tmp_path / "table.md").exists()
