from __future__ import annotations

import re

import spacy
from spacy.tokens import Doc

from spacy_vokens.attributes import set_token_values
from spacy_vokens.visualize.explain import Alternative, Evidence, Explanation, Outcome
from spacy_vokens.visualize.explain_page import (
    EvidenceRow,
    describe_found,
    evidence_rows,
    explanation_html,
    render_explanation,
)
from tests.conftest import LANG
from tests.visualize.test_render import HOSTILE, Page, make_image

SPAN = (1, 2, "PER")


def make_explanation(word: str = "anna", label: str = "PER", voken: str = "cat") -> Explanation:
    doc = Doc(spacy.blank(LANG).vocab, words=["see", word, "now"])
    set_token_values(doc, "voken", [None, voken, None])
    span = (1, 2, label)
    evidence = Evidence(
        span,
        Outcome(0.9, (span,)),
        Outcome(0.4, ()),
        (Outcome(0.5, (span,)), Outcome(0.3, ((1, 3, "LOC"),))),
        (Alternative(1, "dog", 0.25, Outcome(0.7, ((1, 3, "LOC"),))),),
        {label: 0.9, "ORG": 0.06},
    )
    return Explanation(doc, [evidence])


def test_each_outcome_has_a_row() -> None:
    images = {"cat": make_image("cat"), "dog": make_image("dog", "blue")}
    page = Page(explanation_html(make_explanation(), images.get))
    assert page.text("h2")[0] == "anna PER"
    assert [text for _, text in page.having("verdict")] == ["Found only with its images."]
    cells = page.text("td")
    rows = [cells[i : i + 3] for i in range(0, len(cells), 3)]
    assert rows == [
        ["the text's images", "0.90", "the same"],
        ["no images", "0.40", "nothing"],
        ["random images for all words, 2 draws", "0.40 (0.30 to 0.50)", "found in 1 of 2"],
        ["anna: dog, r 0.25", "0.70", "anna now LOC"],
    ]
    assert [attrs["aria-label"] for attrs, _ in page.having("shown")] == [
        "image cat",
        "image dog",
    ]
    assert "Exactly these words: PER 0.90, ORG 0.06; other words or no entity: 0.04." in page.text(
        "p"
    )
    bars = [attrs["style"] for attrs, _ in page.having("probability")]
    assert bars == ["--weight: 90%", "--weight: 40%", "--weight: 40%", "--weight: 70%"]
    assert "Emoji: CC BY-SA 4.0 (2 images)" in page.text("footer")[0]


def test_without_entities_or_images() -> None:
    doc = Doc(spacy.blank(LANG).vocab, words=["see"])
    page = Page(render_explanation(Explanation(doc, [])))
    assert page.text("section") == ["No entity is found, with or without images."]
    explanation = make_explanation()
    # No index is loaded.
    assert not Page(explanation_html(explanation)).having("shown")


def test_words_and_texts_without_images_are_told() -> None:
    def first_row(vokens: list[str | None]) -> EvidenceRow:
        explanation = make_explanation()
        set_token_values(explanation.doc, "voken", vokens)
        return evidence_rows(explanation.evidence[0], explanation)[0]

    assert first_row(["dog", "cat", None]).vokens == ("cat",)
    row = first_row(["dog", None, None])
    assert (row.name, row.vokens) == ("the text's images (these words have none)", ())
    assert first_row([None] * 3).name == "the text has no images"


def test_nothing_reaches_the_page_unescaped() -> None:
    explanation = make_explanation(HOSTILE, HOSTILE, HOSTILE)
    html = render_explanation(explanation, {HOSTILE: make_image(HOSTILE, source=HOSTILE)}.get)
    assert "<script" not in html
    page = Page(html)
    assert page.text("h2")[0] == f"{HOSTILE} {HOSTILE}"
    assert page.having("shown")[0][0]["title"] == HOSTILE
    assert not re.search(r"<b on", html)


def test_what_is_found_in_words() -> None:
    explanation = make_explanation()
    assert describe_found(Outcome(0.5, (SPAN,)), SPAN, explanation) == "the same"
    assert describe_found(Outcome(0.5, ()), SPAN, explanation) == "nothing"
    both = Outcome(0.5, ((0, 1, "LOC"), SPAN))
    assert describe_found(both, SPAN, explanation) == "see LOC, anna PER"
