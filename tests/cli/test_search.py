from __future__ import annotations

import pytest

from tests.cli.conftest import said
from tests.conftest import IMAGES


def rows(output: str) -> list[list[str]]:
    """The cells of the printed table, its header first."""
    lines = [line for line in output.splitlines() if line.strip()]
    return [[cell.strip() for cell in line.split("   ") if cell.strip()] for line in lines]


def test_each_word_with_its_best_images(vokens, vokenizer, vokenizer_path):
    result = vokens("search", vokenizer_path, "a cat !", "-k", 2)
    assert result.exit_code == 0, result.output
    header, _, _, cat, mark = rows(result.output)
    assert header == ["Word", "#1", "#2"]
    assert cat[0] == "cat"
    best, second = (cell.split() for cell in cat[1:])
    assert best[0] == "cat"
    assert float(best[1]) == pytest.approx(vokenizer("a cat !")[1]._.voken_score, abs=0.006)
    assert second[0] in set(IMAGES) - {"cat"}
    assert float(second[1]) <= float(best[1])
    assert mark == ["!", "no image"]


def test_three_images_a_word_by_default(vokens, vokenizer_path):
    table = rows(vokens("search", vokenizer_path, "dog").output)
    assert [len(row) for row in table] == [4, 4, 4]


def test_more_images_asked_for_than_there_are(vokens, vokenizer_path):
    result = vokens("search", vokenizer_path, "dog", "--top-k", 9)
    assert result.exit_code == 0, result.output
    (word, *images) = rows(result.output)[-1]
    assert word == "dog"
    assert sorted(cell.split()[0] for cell in images) == sorted(IMAGES)


@pytest.mark.parametrize("k", [1, 3])
def test_a_text_without_words_or_images(vokens, vokenizer_path, k):
    assert len(rows(vokens("search", vokenizer_path, "", "-k", k).output)) == 2
    assert rows(vokens("search", vokenizer_path, "! .", "-k", k).output)[2:] == [
        ["!", "no image"],
        [".", "no image"],
    ]


def test_model_must_be_an_indexed_vokenizer(vokens, unindexed_path, blank_path, tmp_path):
    for model, reason in (
        (unindexed_path, "has no index"),
        (blank_path, "has no voken_retriever"),
        (tmp_path / "missing", "Can't find model"),
    ):
        result = vokens("search", model, "a cat")
        assert result.exit_code == 1
        assert said(result, f"Could not search with {model}")
        assert said(result, reason)
    assert vokens("search", blank_path, "a cat", "-k", 0).exit_code == 2
