from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.training import Example

from spacy_vokens.attributes import get_token_values, set_token_values
from spacy_vokens.corpus.docbin import save_docs
from spacy_vokens.corpus.reader import Corpus
from spacy_vokens.files import VokensError
from spacy_vokens.scoring import calibration
from spacy_vokens.scoring.calibration import (
    TEMPERATURES,
    calibrate,
    calibration_error,
    fit_temperature,
    log_loss,
    predict_entities,
    reliability,
)
from tests.conftest import LANG

CASES = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1)


def test_by_hand() -> None:
    confidences, is_correct = [0.05, 0.1, 0.85, 0.95, 1.0], [False, True, True, True, False]
    bins = reliability(confidences, is_correct)
    assert [of_bin.n for of_bin in bins] == [2, 0, 0, 0, 0, 0, 0, 0, 1, 2]
    assert (bins[0].confidence, bins[0].accuracy) == (pytest.approx(0.075), 0.5)
    assert (bins[9].low, bins[9].high) == (pytest.approx(0.9), 1.0)
    expected = (2 * (0.5 - 0.075) + (1 - 0.85) + 2 * (0.975 - 0.5)) / 5
    assert calibration_error(confidences, is_correct) == pytest.approx(expected)
    assert log_loss([0.25, 0.75], [True, True]) == pytest.approx(
        -(math.log(0.25) + math.log(0.75)) / 2
    )


def test_certain_and_wrong_is_finite() -> None:
    assert 20 < log_loss([1.0], [False]) < 40
    assert log_loss([1.0, 0.0], [True, False]) == 0


@given(CASES)
def test_bins_hold_every_case_once(cases: list[tuple[float, bool]]) -> None:
    confidences, is_correct = zip(*cases, strict=True)
    bins = reliability(confidences, is_correct, n_bins=7)
    assert sum(of_bin.n for of_bin in bins) == len(cases)
    assert sum(of_bin.n * of_bin.accuracy for of_bin in bins) == pytest.approx(sum(is_correct))
    for of_bin in bins:
        if of_bin.n:
            assert of_bin.low - 1e-9 <= of_bin.confidence <= of_bin.high + 1e-9
    assert 0 <= calibration_error(confidences, is_correct) <= 1


def test_the_best_calibrated_has_no_error() -> None:
    rng = np.random.default_rng(0)
    confidences = rng.uniform(size=100_000)
    is_correct = rng.uniform(size=100_000) < confidences
    assert calibration_error(confidences, is_correct) < 0.01
    assert calibration_error(confidences**3, is_correct) > 0.1
    assert log_loss(confidences, is_correct) < log_loss(confidences**3, is_correct)


@pytest.mark.parametrize("measure", [reliability, calibration_error, log_loss])
def test_what_is_no_probability_is_refused(measure) -> None:
    for confidences, is_correct, reason in (
        ([0.5], [True, False], "of the same length"),
        ([[0.5]], [[True]], "of the same length"),
        ([1.5], [True], "0 to 1"),
        ([-0.1], [True], "0 to 1"),
        ([math.nan], [True], "0 to 1"),
    ):
        with pytest.raises(ValueError, match=reason):
            measure(confidences, is_correct)


def test_nothing() -> None:
    assert calibration_error([], []) == 0
    with pytest.raises(ValueError, match="no probability to average"):
        log_loss([], [])


@pytest.fixture(scope="module")
def nlp(make_tagger):
    return make_tagger("GatedFusion", steps=60)


@pytest.fixture(scope="module")
def model(nlp, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tagger"
    nlp.to_disk(path)
    return path


@pytest.fixture
def ner(nlp):
    return nlp.get_pipe("visual_ner")


def test_one_temperature_changes_nothing() -> None:
    assert pytest.approx(1.0) in TEMPERATURES
    assert all(a < b for a, b in itertools.pairwise(TEMPERATURES))


def test_found_entities_are_compared_with_the_strict_reading(nlp, tagged_examples) -> None:
    examples = tagged_examples(nlp)
    found = predict_entities(nlp, nlp.get_pipe("visual_ner"), examples)
    assert found.spans[0] == [(0, 1, "PER"), (2, 3, "LOC")]
    assert found.is_correct.tolist() == [True] * 5
    # The corpus's own tags decide, ill-formed as they are.
    examples[0].reference._.visual_raw_tags = ["I-PER", "O", "B-LOC", "O"]
    examples = [
        Example(Doc(nlp.vocab, words=[t.text for t in eg.reference]), eg.reference)
        for eg in examples
    ]
    assert (
        predict_entities(nlp, nlp.get_pipe("visual_ner"), examples).is_correct.tolist()
        == [False] + [True] * 4
    )


def test_the_temperature_has_the_least_loss_and_changes_no_entity(
    nlp, ner, tagged_examples
) -> None:
    examples = tagged_examples(nlp)
    # With this gold, two of the five entities are right.
    for row in (0, 1):
        examples[row].reference._.visual_raw_tags = ["O"] * len(examples[row].reference)
    found = predict_entities(nlp, nlp.get_pipe("visual_ner"), examples)
    assert found.is_correct.sum() == 2
    temperature = fit_temperature(found)
    assert temperature > 1, "it was too sure"
    losses = [found.measure(t)["log_loss"] for t in TEMPERATURES]
    assert min(losses) == losses[TEMPERATURES.index(temperature)]
    assert ner.temperature == 1.0, "the caller sets it"
    values = found.confidences(temperature)
    assert found.measure(temperature) == {
        "ece": pytest.approx(found.measure(temperature)["ece"]),
        "log_loss": pytest.approx(log_loss(values, found.is_correct)),
        "confidence": pytest.approx(values.mean()),
    }


def test_entities_that_are_all_right_fit_none(nlp, ner, tagged_examples) -> None:
    """The loss would be least at certainty."""
    found = predict_entities(nlp, ner, tagged_examples(nlp))
    assert found.is_correct.all()
    assert not found.is_mixed
    with pytest.raises(ValueError, match="some right and some wrong"):
        fit_temperature(found)


def test_no_entities_fit_none(nlp) -> None:
    reference = Doc(nlp.vocab, words=["the", "red", "dog"], ents=["O"] * 3)
    found = predict_entities(
        nlp,
        nlp.get_pipe("visual_ner"),
        [Example(Doc(nlp.vocab, words=["the", "red", "dog"]), reference)],
    )
    assert found.is_correct.shape == (0,)
    assert found.is_correct.dtype == bool
    assert not found.is_mixed
    with pytest.raises(ValueError, match="some right and some wrong"):
        fit_temperature(found)
    assert found.confidences(1.0).shape == (0,)
    assert isinstance(found.confidences(1.0), np.ndarray)


def test_entities_of_other_components_do_not_count(nlp, ner, tagged_examples) -> None:
    ruler = nlp.add_pipe("entity_ruler", last=True, config={"overwrite_ents": True})
    ruler.add_patterns([{"label": "DISH", "pattern": "we"}, {"label": "LOC", "pattern": "see"}])
    try:
        assert "DISH" in {ent.label_ for ent in nlp("we see anna").ents}
        found = predict_entities(nlp, ner, tagged_examples(nlp))
    finally:
        nlp.remove_pipe("entity_ruler")
    assert found.is_correct.tolist() == [True] * 5
    assert len(found.confidences(1.0)) == 5


@pytest.fixture
def save_corpus(nlp, tagged_examples, tmp_path):
    """Write the sentences with their vokens; the first `n_wrong` have other raw tags."""

    def save(n_wrong, *, name="dev"):
        docs = []
        for row, example in enumerate(tagged_examples(nlp)):
            doc = example.reference
            set_token_values(doc, "voken", get_token_values(example.predicted, "voken"))
            doc._.voken_index = "test"
            if row < n_wrong:
                doc._.visual_raw_tags = ["O"] * len(doc)
            docs.append(doc)
        save_docs(docs, tmp_path / f"{name}.spacy")
        return tmp_path / f"{name}.spacy"

    return save


def test_the_saved_pipeline_has_the_temperature_and_the_same_entities(model, save_corpus, tmp_path):
    dev = save_corpus(2)
    result = calibrate(model, dev, tmp_path / "out", test=dev)
    report = json.loads(json.dumps(result.report))
    before, after = spacy.load(model), spacy.load(tmp_path / "out")
    assert report["temperature"] == result.temperature == after.get_pipe("visual_ner").temperature
    assert after.config["components"]["visual_ner"]["temperature"] == result.temperature
    assert report["temperature"] > report["temperature_before"] == 1.0
    assert report["dev"] == report["test"]
    assert report["dev"]["entities"] == 5
    assert report["dev"]["precision"] == pytest.approx(0.4)
    assert report["dev"]["after"]["log_loss"] < report["dev"]["before"]["log_loss"]
    assert list(result.confidences) == [
        f"test, temperature {t:.2f}" for t in (1.0, result.temperature)
    ]
    for confidences, is_correct in result.confidences.values():
        assert confidences.shape == is_correct.shape == (5,)
    old, new = ([eg.predicted for eg in Corpus(dev)(pipeline)] for pipeline in (before, after))
    for one, other in zip(before.pipe(old), after.pipe(new), strict=True):
        assert [(e.start, e.end, e.label_) for e in one.ents] == [
            (e.start, e.end, e.label_) for e in other.ents
        ]
        for first, second in zip(one.ents, other.ents, strict=True):
            assert second._.visual_confidence < first._.visual_confidence


def test_a_renamed_component_is_calibrated_too(model, save_corpus, tmp_path):
    nlp = spacy.load(model)
    nlp.rename_pipe("visual_ner", "tweets")
    nlp.to_disk(tmp_path / "renamed")
    result = calibrate(tmp_path / "renamed", save_corpus(2), tmp_path / "out")
    assert spacy.load(tmp_path / "out").get_pipe("tweets").temperature == result.temperature > 1


@pytest.mark.parametrize(("n_wrong", "share"), [(0, "all are right"), (4, "none are right")])
def test_entities_that_are_all_alike_leave_the_temperature(
    model, save_corpus, tmp_path, n_wrong, share
):
    result = calibrate(model, save_corpus(n_wrong), tmp_path / "out")
    (warning,) = result.warnings
    assert warning.startswith("The temperature stays 1.00: of 5 entities found in ")
    assert share in warning
    assert spacy.load(tmp_path / "out").get_pipe("visual_ner").temperature == 1.0
    assert result.report["dev"]["before"] == result.report["dev"]["after"]


@pytest.mark.parametrize("words", [[], ["the", "red", "dog"]])
def test_a_corpus_without_entities_or_documents(model, tmp_path, words):
    save_docs([Doc(spacy.blank(LANG).vocab, words=words)] if words else [], tmp_path / "dev.spacy")
    result = calibrate(model, tmp_path / "dev.spacy", tmp_path / "out")
    assert any("finds no entity" in warning for warning in result.warnings)
    assert "dev" not in result.report
    assert result.temperature == 1.0
    (confidences, _) = result.confidences["dev, temperature 1.00"]
    assert confidences.shape == (0,)


def test_a_temperature_that_is_the_last_one_tried_is_told(
    model, save_corpus, tmp_path, monkeypatch
):
    monkeypatch.setattr(calibration, "TEMPERATURES", [0.5, 1.0, 1.1])
    result = calibrate(model, save_corpus(2), tmp_path / "out")
    assert result.warnings == ("The best temperature, 1.10, is the last one tried.",)


def test_a_pipeline_without_a_tagger_is_refused(vokenizer_path, save_corpus, tmp_path):
    with pytest.raises(VokensError, match="has no visual_ner"):
        calibrate(vokenizer_path, save_corpus(2), tmp_path / "out")
    assert not (tmp_path / "out").exists()
