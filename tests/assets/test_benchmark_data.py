"""The sentences of benchmarks/word_hit.py keep the rules that benchmarks/data/README.md states."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import spacy
from spacy.tokens import Doc

from spacy_vokens.attributes import set_token_values
from spacy_vokens.files import VokensError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
QUICKSTART = Path(__file__).parents[2] / "assets" / "quickstart"
Table = list[dict[str, str]]


@pytest.fixture(scope="module")
def scripts() -> Iterator[SimpleNamespace]:
    """The benchmark and the script that writes its nouns."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        names = ("write_nouns", "word_hit")
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})


@pytest.fixture(scope="module")
def write_nouns(scripts: SimpleNamespace) -> ModuleType:
    return scripts.write_nouns


@pytest.fixture(scope="module")
def word_hit(scripts: SimpleNamespace) -> ModuleType:
    return scripts.word_hit


@pytest.fixture(scope="module")
def nouns(write_nouns: ModuleType) -> Table:
    return write_nouns.read_table(BENCHMARKS / "data" / "nouns.tsv")


@pytest.fixture(scope="module")
def senses(write_nouns: ModuleType) -> Table:
    return write_nouns.read_table(BENCHMARKS / "data" / "senses.tsv")


@pytest.fixture(scope="module")
def sentences(nouns: Table, senses: Table) -> list[str]:
    return [row["sentence"] for row in (*nouns, *senses)]


@pytest.fixture(scope="module")
def images(write_nouns: ModuleType) -> Table:
    return write_nouns.read_table(QUICKSTART / "images.tsv")


def caption_patterns() -> Iterator[re.Pattern[str]]:
    """The templates of the captions; not those that are two slots and nothing else."""
    for line in (QUICKSTART / "source" / "captions.txt").read_text(encoding="utf-8").splitlines():
        parts = re.split(r"\{\w+\}", line.removeprefix("> "))
        if line.startswith("> ") and any(map(str.isalpha, "".join(parts))):
            yield re.compile(".+".join(map(re.escape, parts)), re.IGNORECASE)


def test_script_writes_the_committed_nouns(write_nouns: ModuleType, tmp_path: Path) -> None:
    write_nouns.main(tmp_path / "nouns.tsv")
    committed = (BENCHMARKS / "data" / "nouns.tsv").read_bytes()
    assert (tmp_path / "nouns.tsv").read_bytes() == committed


def test_there_are_enough_nouns_and_half_of_them_are_in_captions(
    write_nouns: ModuleType, nouns: Table
) -> None:
    assert len(nouns) >= 600
    assert sum(len(topic.templates) for topic in write_nouns.read_topics()) >= 60
    captions = {row["word"]: row["captions"] for row in nouns}
    assert set(captions.values()) == {"train", "dev", "none"}
    for values in (list(captions.values()), [row["captions"] for row in nouns]):
        assert 0.4 <= values.count("train") / len(values) <= 0.6


def test_readme_has_the_counts(nouns: Table, senses: Table) -> None:
    readme = (BENCHMARKS / "data" / "README.md").read_text(encoding="utf-8")
    n_nouns = len({row["word"] for row in nouns})
    n_words = len({row["word"] for row in senses})
    assert f"{len(nouns)} sentences with {n_nouns} nouns" in readme
    assert f"{len(senses)} sentences with {n_words} ambiguous words" in readme
    for split in ("train", "dev", "none"):
        part = [row for row in nouns if row["captions"] == split]
        in_part = {row["word"] for row in part}
        countries = {row["word"] for row in part if row["topic"] == "countries"}
        assert f"| `{split}` | {len(in_part)} | {len(part)} | {len(countries)} |" in readme


def test_captions_column_is_that_of_the_pictures(
    write_nouns: ModuleType, nouns: Table, images: Table
) -> None:
    names = {row["name"] for row in images}
    splits = write_nouns.splits_by_picture()
    for row in nouns:
        pictures = row["pictures"].split(write_nouns.SEPARATOR)
        assert set(pictures) <= names
        found = {splits.get(name) for name in pictures}
        expected = "train" if "train" in found else "dev" if "dev" in found else "none"
        assert row["captions"] == expected, row


def test_each_word_is_one_token_of_its_sentence(nouns: Table, senses: Table) -> None:
    nlp = spacy.blank("en")
    for row in (*nouns, *senses):
        words = [token.lower_ for token in nlp.make_doc(row["sentence"])]
        assert words.count(row["word"].lower()) == 1, row


def test_each_word_has_two_senses_with_two_sentences_each(senses: Table, images: Table) -> None:
    ids = {row["id"] for row in images}
    pictures: dict[str, dict[str, tuple[str, str]]] = {}
    for row in senses:
        right, wrong = row["right"].split(), row["wrong"].split()
        assert right
        assert wrong
        assert {*right, *wrong} <= ids, row
        assert len({*right, *wrong}) == len(right) + len(wrong), row
        pictures.setdefault(row["word"], {})[row["sense"]] = row["right"], row["wrong"]
    assert len(pictures) >= 30
    for word, by_sense in pictures.items():
        (right, wrong), other = by_sense.values()
        assert other == (wrong, right), word
    assert set(Counter((row["word"], row["sense"]) for row in senses).values()) == {2}


def test_no_sentence_is_a_caption_or_follows_a_template_of_one(
    write_nouns: ModuleType, sentences: list[str]
) -> None:
    assert len(set(sentences)) == len(sentences)
    captions = {row["caption"] for row in write_nouns.read_table(QUICKSTART / "captions.tsv")}
    assert not captions & set(sentences)
    patterns = list(caption_patterns())
    assert len(patterns) > 300
    assert any(pattern.fullmatch("My uncle keeps a goat on his farm.") for pattern in patterns)
    assert not [s for s in sentences if any(pattern.fullmatch(s) for pattern in patterns)]


@pytest.fixture
def doc() -> Doc:
    doc = Doc(spacy.blank("en").vocab, words=["The", "bat", "sleeps"])
    set_token_values(doc, "voken", [None, "cricket", None])
    set_token_values(doc, "vokens", [None, [["cricket", 0.9], ["ball", 0.8], ["bat", 0.7]], None])
    return doc


def test_the_best_image_of_both_senses_decides(word_hit: ModuleType, doc: Doc) -> None:
    token = word_hit.find_word(doc, "Bat")
    assert word_hit.best_of(token, frozenset({"bat", "ball"})) == "ball"
    assert word_hit.best_of(token, frozenset({"owl"})) is None
    assert word_hit.best_of(doc[0], frozenset({"bat"})) is None
    with pytest.raises(VokensError, match="'owl'"):
        word_hit.find_word(doc, "owl")


def test_coverage_counts_stop_words_and_content_words(word_hit: ModuleType, doc: Doc) -> None:
    coverage = word_hit.Coverage()
    coverage.add(doc)
    assert coverage.stop_words == [False]
    assert coverage.content_words == [True, False]


def test_scores_of_nouns(word_hit: ModuleType) -> None:
    cases = [
        word_hit.NounCase("", word, seen, topic, frozenset({word}))
        for word, seen, topic in (
            ("owl", True, "birds"),
            ("fog", False, ""),
            ("Peru", False, "countries"),
        )
    ]
    report = word_hit.score_nouns(cases, ["owl", "owl", None], 10)
    parts = report["parts"]
    assert parts["all"] == {
        "hit": pytest.approx(1 / 3),
        "chance": pytest.approx(0.1),
        "without_voken": pytest.approx(1 / 3),
        "cases": 3,
        "nouns": 3,
    }
    assert parts["seen in captions"]["hit"] == 1
    assert parts["not seen, without countries"]["cases"] == 1
    assert report["failed"] == {"fog": ["owl"], "Peru": [None]}


def test_scores_of_senses(word_hit: ModuleType) -> None:
    one, two = frozenset({"a"}), frozenset({"b", "c", "d"})
    cases = [
        word_hit.SenseCase("", "bat", "animal", one, two),
        word_hit.SenseCase("", "bat", "sport", two, one),
    ]
    report = word_hit.score_senses(cases, ["a", "a"])
    assert report["right"] == 0.5
    assert report["right_chance"] == 0.5
    assert report["words_right"] == 0
    assert report["words_right_chance"] == pytest.approx(3 / 16)
    assert report["failed"] == {"bat (sport)": ["a"]}
