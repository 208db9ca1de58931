from __future__ import annotations

import spacy
from spacy.language import Language
from spacy.training import Example

from spacy_vokens.corpus.docbin import save_docs
from spacy_vokens.corpus.evaluate import evaluate_entities
from spacy_vokens.corpus.readers import Corpus
from spacy_vokens.metrics.ner import Counts


def test_entities_are_scored_in_both_readings_of_the_raw_tags(make_docs, tmp_path):
    save_docs(make_docs(), tmp_path / "a.spacy")
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PER", "pattern": "Ann Lee"}, {"label": "X", "pattern": "one"}])
    seen = []

    @Language.component("spy")
    def spy(doc):
        seen.append((doc._.image_id, [token.text for token in doc]))
        return doc

    nlp.add_pipe("spy")
    scores = evaluate_entities(nlp, Corpus(tmp_path / "a.spacy")(nlp))
    # Gold: "Ann Lee" in the lenient reading alone (its tags are I- I-), and "Bonn" in both.
    assert scores["strict"].per_type == {
        "LOC": Counts(fn=1),
        "PER": Counts(fp=1),
        "X": Counts(fp=1),
    }
    assert scores["lenient"].per_type == {
        "LOC": Counts(fn=1),
        "PER": Counts(tp=1),
        "X": Counts(fp=1),
    }
    assert seen == [
        ("17_06_1", ["RT", "Ann", "Lee", "\ufe0f", "Bonn"]),
        (None, ["No", "one", "."]),
    ]


def test_gold_entities_serve_where_there_are_no_raw_tags():
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "PER", "pattern": "Ann"}])
    reference = nlp("Ann laughs")
    example = Example(nlp.make_doc("Ann laughs"), reference)
    assert evaluate_entities(nlp, [example])["strict"].overall == Counts(tp=1)
