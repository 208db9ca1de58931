from __future__ import annotations

import pytest

from tests.cli.conftest import said
from tests.scoring.test_compare import GOOD, POOR, entity_report


def rows(output: str) -> list[list[str]]:
    return [line.split() for line in output.splitlines() if line.strip()]


def test_entities_and_retrieval_side_by_side(vokens, write_report, tmp_path):
    metrics = [
        write_report("NoFusion", entity_report(POOR)),
        write_report("GatedFusion", entity_report(GOOD)),
        write_report(
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
    result = vokens("compare", *metrics, "--output", output, "--title", "A demonstration")
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
        "|  | Images | Score | Value | Chance |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| retrieval | 80 | voken_r1 | 0.250 | 0.013 |\n"
        "| retrieval | 80 | voken_diversity | 0.500 |  |\n"
    )


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 1}'])
def test_a_file_without_scores_is_named(vokens, write_report, tmp_path, content):
    path = tmp_path / "meta.json"
    path.write_text(content)
    good = write_report("good", entity_report(GOOD))
    result = vokens("compare", good, path, "--output", tmp_path / "table.md")
    assert result.exit_code == 1
    assert said(result, str(path))
    assert said(result, "Could not read the scores")
    assert not (tmp_path / "table.md").exists()
