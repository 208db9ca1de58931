from __future__ import annotations

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, Span

from spacy_vokens.metrics.ner import strict_spans
from spacy_vokens.pipeline.entities import set_entities, tagged_entities
from spacy_vokens.tagger.crf import tag_set

LABELS = ["LOC", "MISC", "PER"]
NLP = spacy.blank("en")


def spans(doc: Doc) -> list[tuple[int, int, str]]:
    return [(ent.start, ent.end, ent.label_) for ent in doc.ents]


@st.composite
def valid_tags(draw: st.DrawFn) -> list[int]:
    valid: list[int] = []
    for number in draw(st.lists(st.integers(0, 6), max_size=12)):
        follows = number % 2 == 1 or number == 0 or valid[-1:] in ([number], [number - 1])
        valid.append(number if follows else 0)
    return valid


@given(valid_tags())
@settings(max_examples=100, deadline=None)
def test_entities_are_those_of_the_tags(tags: list[int]) -> None:
    doc = Doc(NLP.vocab, words=["w"] * len(tags))
    doc.set_ents([Span(doc, i, i + 1, label="OLD") for i in range(len(doc))])
    set_entities(doc, tagged_entities(doc, np.array(tags, int), LABELS), overwrite=True)
    assert spans(doc) == strict_spans([tag_set(LABELS)[number] for number in tags])


@given(valid_tags(), st.data())
@settings(max_examples=100, deadline=None)
def test_what_was_there_stays_and_what_fits_is_added(tags: list[int], data: st.DataObject) -> None:
    doc = Doc(NLP.vocab, words=["w"] * len(tags))
    states = data.draw(st.lists(st.sampled_from("EBMO"), min_size=len(tags), max_size=len(tags)))
    by_state = {s: [doc[i : i + 1] for i, state in enumerate(states) if state == s] for s in "EBM"}
    there = [Span(doc, span.start, span.end, label="OLD") for span in by_state["E"]]
    doc.set_ents(there, blocked=by_state["B"], missing=by_state["M"])
    found = tagged_entities(doc, np.array(tags, int), LABELS)
    fits = [e for e in found if not set("EB") & set(states[e.start : e.end])]
    for _ in range(2):
        set_entities(doc, found, overwrite=False)
        assert spans(doc) == sorted((e.start, e.end, e.label_) for e in (*there, *fits))
        assert [doc[s.start].ent_iob_ for s in by_state["B"]] == ["B"] * len(by_state["B"])
        assert doc.has_annotation("ENT_IOB", require_complete=True)


@pytest.mark.parametrize("kept", ["kb_id_", "ent_id_"])
def test_an_entity_that_stays_keeps_what_is_known_of_it(kept: str) -> None:
    doc = Doc(NLP.vocab, words=["anna", "in", "paris"])
    doc.set_ents([Span(doc, 0, 1, label="PER", kb_id="Q1", span_id="Q1")])
    set_entities(doc, [Span(doc, 2, 3, label="LOC")], overwrite=False)
    assert [getattr(ent, kept) for ent in doc.ents] == ["Q1", ""]
    set_entities(doc, [Span(doc, 0, 3, label="ORG")], overwrite=True)
    assert [getattr(ent, kept) for ent in doc.ents] == [""], "and takes it along"
