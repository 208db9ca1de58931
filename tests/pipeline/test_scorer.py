from __future__ import annotations

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from spacy_vokens.attributes import set_token_values
from spacy_vokens.pipeline.scorer import score_ner, score_vokens
from tests.conftest import LANG
from tests.fixtures import caption, captions


def test_scorer_reads_raw_tags() -> None:
    nlp = spacy.blank(LANG)
    words = ["x", "anna", "lee", "paris"]
    reference = Doc(nlp.vocab, words=words, ents=["O", "B-PER", "I-PER", "B-LOC"])
    reference._.visual_raw_tags = ["O", "I-PER", "I-PER", "B-LOC"]
    predicted = Doc(nlp.vocab, words=words, ents=["O", "B-PER", "I-PER", "B-LOC"])
    scores = score_ner([Example(predicted, reference)])
    assert scores["ents_p"] == 0.5, "strictly, I-PER after O starts no entity"
    assert scores["ents_r"] == 1.0
    assert scores["ents_lenient_f"] == 1.0
    assert scores["ents_per_type"]["LOC"] == {"p": 1.0, "r": 1.0, "f": 1.0}
    reference._.visual_raw_tags = None
    assert score_ner([Example(predicted, reference)])["ents_f"] == 1.0
    assert score_ner([])["ents_f"] is None


def test_scorer_tells_what_was_seen_of_the_images() -> None:
    nlp = spacy.blank(LANG)
    words = ["x", "anna", "lee", "!"]
    docs = [
        Doc(nlp.vocab, words=words, ents=["O", "B-PER", "I-PER", "O"]),
        Doc(nlp.vocab, words=["y"]),
    ]
    set_token_values(docs[0], "voken", ["cat", "dog", None, None])
    set_token_values(docs[0], "visual_gate", [0.25, 0.75, 0.9, 0.9])
    scores = score_ner([Example(doc, doc.copy()) for doc in docs])
    assert scores["ents_f"] == 1.0
    seen = {name: scores[name] for name in ("voken_coverage", "visual_gate", "visual_gate_ents")}
    assert seen == {"voken_coverage": 0.4, "visual_gate": 0.5, "visual_gate_ents": 0.75}
    bare = score_ner([Example(docs[1], docs[1].copy())])
    assert bare["voken_coverage"] == 0
    assert not {"visual_gate", "visual_gate_ents"} & bare.keys()


def test_scores_count_tokens_and_sentences(vokenizer: Language) -> None:
    retriever = vokenizer.get_pipe("voken_retriever")
    examples = captions(vokenizer)
    scores = retriever.score(examples)
    docs = [eg.predicted for eg in examples]
    relevance = [q @ retriever.index.keys.T for q in retriever.queries(docs)]
    token_ranks = [
        sum(score >= scores_of_token[row] for score in scores_of_token)
        for row, of_sentence in enumerate(relevance)
        for scores_of_token in of_sentence
    ]
    for k in (1, 5, 10):
        assert scores[f"voken_r{k}"] == pytest.approx(np.mean(np.array(token_ranks) <= k))
    assert scores["voken_mrr"] == pytest.approx(np.mean(1 / np.array(token_ranks)))
    assert scores["voken_sent_r1"] == 1.0
    assert scores["voken_sent_r10"] == 1.0
    assert 0 < scores["voken_diversity"] <= 1


def test_score_takes_skipped_tokens_too(vokenizer: Language) -> None:
    retriever = vokenizer.get_pipe("voken_retriever")
    before = retriever.score(captions(vokenizer))
    retriever.threshold = 5.0
    assert retriever.score(captions(vokenizer)) == before


def test_the_scorer_is_a_setting(vokenizer: Language, retriever_config: dict) -> None:
    examples = captions(vokenizer)
    retriever = vokenizer.get_pipe("voken_retriever")
    assert retriever.score(examples) == score_vokens(examples, retriever=retriever)
    assert vokenizer.evaluate(examples)["voken_sent_r1"] == 1.0
    scorer = vokenizer.config["components"]["voken_retriever"]["scorer"]
    assert scorer == {"@scorers": "spacy-vokens.voken_scorer.v1"}
    silent = spacy.blank(LANG).add_pipe("voken_retriever", config={"scorer": None})
    assert silent.score(examples) == {}


def test_no_score_without_known_images(vokenizer: Language) -> None:
    retriever = vokenizer.get_pipe("voken_retriever")
    assert retriever.score([caption(vokenizer, "a cat", "cow")]) == {}
    assert retriever.score([caption(vokenizer, "a cat", None)]) == {}
    assert retriever.score([]) == {}
    assert retriever.score([caption(vokenizer, "", "cat")]) == {}
