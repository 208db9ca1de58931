from __future__ import annotations

import re

import spacy
from spacy.tokens import Doc

from spacy_vokens.extensions import set_token_values
from spacy_vokens.visualize.evidence import (
    Row,
    describe,
    evidence_html,
    evidence_rows,
    render_explanation,
)
from spacy_vokens.visualize.explanation import Alternative, Evidence, Explanation, Reading

from .test_render import HOSTILE, Page, make_picture

SPAN = (1, 2, "PER")


def make_explanation(word: str = "anna", label: str = "PER", voken: str = "cat") -> Explanation:
    doc = Doc(spacy.blank("en").vocab, words=["see", word, "now"])
    set_token_values(doc, "voken", [None, voken, None])
    span = (1, 2, label)
    evidence = Evidence(
        span,
        Reading(0.9, (span,)),
        Reading(0.4, ()),
        (Reading(0.5, (span,)), Reading(0.3, ((1, 3, "LOC"),))),
        (Alternative(1, "dog", 0.25, Reading(0.7, ((1, 3, "LOC"),))),),
        {label: 0.9, "ORG": 0.06},
    )
    return Explanation(doc, [evidence])


def test_a_row_a_reading() -> None:
    pictures = {"cat": make_picture("cat"), "dog": make_picture("dog", "blue")}
    page = Page(evidence_html(make_explanation(), pictures.get))
    assert page.text("h2")[0] == "anna PER"
    assert [text for _, text in page.having("verdict")] == ["Found only with its pictures."]
    cells = page.text("td")
    rows = [cells[i : i + 3] for i in range(0, len(cells), 3)]
    assert rows == [
        ["the text's pictures", "0.90", "the same"],
        ["no pictures", "0.40", "nothing"],
        ["random pictures for all words, 2 draws", "0.40 (0.30 to 0.50)", "found in 1 of 2"],
        ["anna: dog, r 0.25", "0.70", "anna now LOC"],
    ]
    assert [attrs["aria-label"] for attrs, _ in page.having("shown")] == [
        "picture cat",
        "picture dog",
    ]
    assert "Just these words: PER 0.90, ORG 0.06; other words or no entity 0.04." in page.text("p")
    bars = [attrs["style"] for attrs, _ in page.having("probability")]
    assert bars == ["--weight: 90%", "--weight: 40%", "--weight: 40%", "--weight: 70%"]
    assert "Emoji: CC BY-SA 4.0 (2 pictures)" in page.text("footer")[0]


def test_without_entities_or_pictures() -> None:
    doc = Doc(spacy.blank("en").vocab, words=["see"])
    page = Page(render_explanation(Explanation(doc, [])))
    assert page.text("section") == ["No entity is found, with pictures or without."]
    explanation = make_explanation()
    # Of no loaded index.
    assert not Page(evidence_html(explanation)).having("shown")


def test_words_and_texts_without_pictures_are_told() -> None:
    def first_row(vokens: list[str | None]) -> Row:
        explanation = make_explanation()
        set_token_values(explanation.doc, "voken", vokens)
        return evidence_rows(explanation.evidence[0], explanation)[0]

    assert first_row(["dog", "cat", None]).vokens == ("cat",)
    row = first_row(["dog", None, None])
    assert (row.name, row.vokens) == ("the text's pictures, of which these words have none", ())
    assert first_row([None] * 3).name == "the text has no pictures"


def test_nothing_reaches_the_page_unescaped() -> None:
    explanation = make_explanation(HOSTILE, HOSTILE, HOSTILE)
    html = render_explanation(explanation, {HOSTILE: make_picture(HOSTILE, source=HOSTILE)}.get)
    assert "<script" not in html
    page = Page(html)
    assert page.text("h2")[0] == f"{HOSTILE} {HOSTILE}"
    assert page.having("shown")[0][0]["title"] == HOSTILE
    assert not re.search(r"<b on", html)


def test_what_is_found_in_words() -> None:
    explanation = make_explanation()
    (evidence,) = explanation.evidence
    assert describe(Reading(0.5, (SPAN,)), evidence, explanation) == "the same"
    assert describe(Reading(0.5, ()), evidence, explanation) == "nothing"
    both = Reading(0.5, ((0, 1, "LOC"), SPAN))
    assert describe(both, evidence, explanation) == "see LOC, anna PER"
