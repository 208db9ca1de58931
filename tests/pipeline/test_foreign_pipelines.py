"""Both components among those of others: nothing of theirs changes, and ours do what spaCy's do."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import fix_random_seed

from spacy_vokens.extensions import get_token_values
from spacy_vokens.images.pool import ImagePool
from spacy_vokens.metrics.ner import bio_tags

from ..conftest import WORDS, caption, captions, transformer_config

Make = Callable[..., Language]
Examples = Callable[[Language], list[Example]]
LISTENER = {"@architectures": "spacy.Tok2VecListener.v1", "width": 96}
TRANSFORMER_LISTENER = {
    "@architectures": "spacy-transformers.TransformerListener.v1",
    "pooling": {"@layers": "reduce_mean.v1"},
    "grad_factor": 1.0,
}
TEXT = "a red cat in paris"
NAMES = "anna in paris !"
OURS = ("voken_retriever", "vokener_transformer", "visual_ner")


@pytest.fixture(scope="module")
def source_path(
    make_tagger: Make, vokenizer_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("source") / "pipeline"
    make_tagger("GatedFusion", steps=40, into=spacy.load(vokenizer_path)).to_disk(path)
    return path


@pytest.fixture
def source(source_path: Path) -> Language:
    return spacy.load(source_path)


@pytest.fixture
def theirs(text_encoder: str) -> Language:
    """Somebody's pipeline: tok2vec, a transformer, taggers that listen to each, and ner."""
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("tok2vec")
    nlp.add_pipe("tagger", config={"model": {"tok2vec": LISTENER}})
    nlp.add_pipe(
        "transformer",
        config={
            "model": {
                "@architectures": "spacy-transformers.TransformerModel.v3",
                **transformer_config(text_encoder),
            }
        },
    )
    nlp.add_pipe("morphologizer", config={"model": {"tok2vec": TRANSFORMER_LISTENER}})
    nlp.add_pipe("ner")
    examples = [
        Example.from_dict(
            nlp.make_doc("anna see a cat"),
            {
                "tags": ["NN", "VB", "DT", "NN"],
                "pos": ["NOUN", "VERB", "DET", "NOUN"],
                "morphs": ["", "", "", ""],
                "entities": [(0, 4, "HUMAN")],
            },
        )
    ]
    fix_random_seed(0)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(20):
        nlp.update(examples, sgd=optimizer)
    return nlp


def add_ours(nlp: Language, source: Language) -> None:
    nlp.add_pipe("voken_retriever", source=source)
    nlp.add_pipe("transformer", source=source, name="vokener_transformer")
    nlp.add_pipe("visual_ner", source=source)


def their_annotations(doc: Doc) -> list[tuple]:
    return [(t.tag_, t.pos_, str(t.morph), t.is_sent_start, t.text_with_ws) for t in doc]


def weights(nlp: Language) -> dict[str, bytes]:
    return {name: p.model.to_bytes() for name, p in nlp.pipeline if getattr(p, "model", None)}


def our_annotations(doc: Doc) -> list[tuple]:
    names = ("voken", "voken_score", "visual_gate")
    values = [get_token_values(doc, name) for name in names]
    return list(zip(*values, bio_tags(doc), strict=True))


def test_nothing_of_theirs_changes_and_ours_works(
    theirs: Language, source: Language, tmp_path: Path
) -> None:
    before, config = theirs(TEXT), theirs.config.copy()
    assert bio_tags(theirs("anna see a cat"))[0] == "B-HUMAN"
    names = theirs.pipe_names
    weights_before = weights(theirs)
    add_ours(theirs, source)
    doc = theirs(TEXT)
    assert their_annotations(doc) == their_annotations(before)
    np.testing.assert_array_equal(doc.tensor, before.tensor)
    assert our_annotations(doc) == our_annotations(source(TEXT))
    assert {k: v for k, v in weights(theirs).items() if k not in OURS} == weights_before
    for name in names:
        assert theirs.config["components"][name] == config["components"][name]
    assert not any(theirs.analyze_pipes()["problems"].values())
    theirs.to_disk(tmp_path)
    for loaded in (spacy.load(tmp_path), copy.deepcopy(theirs)):
        assert their_annotations(loaded(TEXT)) == their_annotations(before)
        assert our_annotations(loaded(TEXT)) == our_annotations(doc)


def test_with_a_copy_of_the_transformer_beside_another(
    make_tagger: Make, vokenizer: Language, text_encoder: str
) -> None:
    """As the README tells: theirs keeps its output, and ours has a copy of its own."""
    nlp = spacy.blank("en")
    model = {"@architectures": "spacy-transformers.TransformerModel.v3"}
    nlp.add_pipe("transformer", config={"model": model | transformer_config(text_encoder)})
    listener = {
        "@architectures": "spacy-transformers.TransformerListener.v1",
        "grad_factor": 1.0,
        "upstream": "*",
        "pooling": {"@layers": "reduce_mean.v1"},
    }
    nlp.add_pipe("tagger", config={"model": {"tok2vec": listener}}).add_label("NN")
    nlp.initialize()
    before, config = nlp(NAMES), nlp.config["components"].copy()
    source = make_tagger("GatedFusion", steps=5, into=vokenizer)
    expected = source(NAMES)
    source.replace_listeners("transformer", "visual_ner", ["model.tok2vec"])
    for name in ("voken_retriever", "visual_ner"):
        nlp.add_pipe(name, source=source)
    assert nlp.get_pipe("transformer").listening_components == ["tagger"]
    assert {name: nlp.config["components"][name] for name in config} == config
    assert not any(nlp.analyze_pipes()["problems"].values())
    for pipeline in (nlp, spacy.blank("en", config=nlp.config).from_bytes(nlp.to_bytes())):
        doc = pipeline(NAMES)
        np.testing.assert_array_equal(doc._.trf_data.tensors[0], before._.trf_data.tensors[0])
        assert [token.tag_ for token in doc] == [token.tag_ for token in before]
        assert bio_tags(doc) == bio_tags(expected)
        for name in ("voken", "visual_gate"):
            assert get_token_values(doc, name) == get_token_values(expected, name)


def test_their_training_leaves_ours_alone(theirs: Language, source: Language) -> None:
    add_ours(theirs, source)
    before = weights(theirs)
    example = Example.from_dict(theirs.make_doc("anna see"), {"tags": ["NN", "VB"]})
    theirs.update([example], exclude=[*OURS, "ner", "morphologizer", "transformer"])
    after = weights(theirs)
    assert {name for name in before if before[name] != after[name]} == {"tok2vec", "tagger"}


def test_ours_trains_among_theirs(
    theirs: Language, source: Language, tagged_examples: Examples
) -> None:
    add_ours(theirs, source)
    before = weights(theirs)
    examples = tagged_examples(theirs)
    with theirs.select_pipes(enable=["vokener_transformer", "visual_ner"]):
        optimizer = theirs.resume_training()
        losses = theirs.update(examples, sgd=optimizer)
    after = weights(theirs)
    assert {name for name in before if before[name] != after[name]} <= {*OURS[1:]}
    assert before["visual_ner"] != after["visual_ner"]
    assert losses["visual_ner"] > 0


@pytest.mark.parametrize("overwrite", [True, False])
def test_who_sets_the_entities(source: Language, overwrite: bool) -> None:
    nlp = source
    nlp.get_pipe("visual_ner").overwrite_entities = overwrite
    ruler = nlp.add_pipe("entity_ruler", before="visual_ner")
    ruler.add_patterns([{"label": "SCENE", "pattern": "in paris"}])
    texts = ["anna in paris !", "we see anna ."]
    assert bio_tags(spacy.blank("en")(texts[0])) == ["O"] * 4
    expected = {
        True: ["B-PER", "O", "B-LOC", "O"],
        False: ["B-PER", "B-SCENE", "I-SCENE", "O"],
    }[overwrite]
    assert bio_tags(nlp(texts[0])) == expected
    piped = list(nlp.pipe(texts))
    assert bio_tags(piped[0]) == expected
    assert bio_tags(piped[1]) == ["O", "O", "B-PER", "O"]


def preset(nlp: Language, kind: str) -> Doc:
    doc = Doc(nlp.vocab, words=NAMES.split())
    spans = {
        "entity": {"entities": [Span(doc, 1, 3, "EVENT", kb_id="Q1", span_id="e")]},
        "blocked": {"entities": [], "blocked": [doc[2:4]], "default": "missing"},
        "missing": {"entities": [], "default": "missing"},
        "outside": {"entities": [], "default": "outside"},
    }
    doc.set_ents(**spans[kind])
    return doc


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("entity", [("anna", "PER"), ("in paris", "EVENT")]),
        ("blocked", [("anna", "PER")]),
        ("missing", [("anna", "PER"), ("paris", "LOC")]),
        ("outside", [("anna", "PER"), ("paris", "LOC")]),
    ],
)
def test_overwrite_entities(make_tagger: Make, kind: str, expected: list[tuple[str, str]]) -> None:
    nlp = make_tagger("NoFusion", steps=60)
    (overwritten,) = nlp.pipe([preset(nlp, kind)])
    assert [(e.text, e.label_) for e in overwritten.ents] == [("anna", "PER"), ("paris", "LOC")]
    nlp.get_pipe("visual_ner").overwrite_entities = False
    docs = [nlp(preset(nlp, kind)), *nlp.pipe([preset(nlp, kind), nlp.make_doc("")])]
    for doc in docs[:2]:
        assert [(e.text, e.label_) for e in doc.ents] == expected
        assert all(token.ent_iob for token in doc), "nothing is left missing"
        assert (doc[3].ent_iob, doc[3].ent_type) == ((3, 0) if kind == "blocked" else (2, 0))
        assert [(e.kb_id_, e.id_) for e in doc.ents if e.label_ == "EVENT"] == (
            [("Q1", "e")] if kind == "entity" else []
        )


def test_overwrite_entities_is_a_setting_of_the_config(source_path: Path) -> None:
    setting = {"components": {"visual_ner": {"overwrite_entities": False}}}
    assert (
        spacy.load(source_path, config=setting).get_pipe("visual_ner").overwrite_entities is False
    )
    assert spacy.load(source_path).get_pipe("visual_ner").overwrite_entities is True


def test_labels_before_and_after_initialize(
    make_tagger: Make, tagged_examples: Examples, text_encoder: str, pool: ImagePool
) -> None:
    nlp = make_tagger("GatedFusion")
    tagger = nlp.get_pipe("visual_ner")
    assert nlp.pipe_labels["visual_ner"] == ["LOC", "PER"] == tagger.label_data
    assert tagger.add_label("LOC") == 0
    with pytest.raises(ValueError, match="initialized for LOC, PER and cannot learn 'FOOD'"):
        tagger.add_label("FOOD")
    new = spacy.blank("en")
    new.add_pipe("transformer", source=nlp)
    fresh = new.add_pipe(
        "visual_ner", config={"model": nlp.config["components"]["visual_ner"]["model"]}
    )
    assert fresh.add_label("FOOD") == 1
    assert new.pipe_labels["visual_ner"] == ["FOOD"]
    new.config["initialize"]["components"]["visual_ner"] = {"pool": str(pool.path)}
    with new.select_pipes(disable=["transformer"]):
        new.initialize(lambda: tagged_examples(new))
    assert new.pipe_labels["visual_ner"] == ["FOOD", "LOC", "PER"]


def test_rehearsing_leaves_ours_alone_and_says_so_once(
    theirs: Language, source: Language, caplog: pytest.LogCaptureFixture
) -> None:
    add_ours(theirs, source)
    before = weights(theirs)
    optimizer = theirs.resume_training()
    example = Example.from_dict(theirs.make_doc("anna see"), {"entities": [(0, 4, "HUMAN")]})
    for _ in range(2):
        theirs.rehearse(
            [example], sgd=optimizer, exclude=["tok2vec", "tagger", "morphologizer", "transformer"]
        )
    after = weights(theirs)
    assert {name for name in before if before[name] != after[name]} <= {"ner"}
    messages = [record.getMessage() for record in caplog.records]
    for name in ("visual_ner", "voken_retriever"):
        assert sum(f"{name} does not rehearse" in message for message in messages) == 1


def test_pipes_are_renamed_removed_and_left_out(source: Language, tmp_path: Path) -> None:
    expected = our_annotations(source(TEXT))
    source.rename_pipe("visual_ner", "names")
    source.rename_pipe("transformer", "encoder")
    source.rename_pipe("voken_retriever", "pictures")
    assert our_annotations(source(TEXT)) == expected
    source.to_disk(tmp_path)
    assert our_annotations(spacy.load(tmp_path)(TEXT)) == expected
    assert bio_tags(spacy.load(tmp_path, disable=["names"])(TEXT)) == ["O"] * 5
    without = spacy.load(tmp_path, exclude=["pictures"])
    assert get_token_values(without(TEXT), "voken") == [None] * 5
    with source.select_pipes(enable=["pictures"]):
        assert bio_tags(source(TEXT)) == ["O"] * 5
    source.remove_pipe("pictures")
    assert get_token_values(source(TEXT), "voken") == [None] * 5


def test_two_retrievers_and_two_taggers(
    source: Language, make_vokenizer: Make, make_pool: Callable[..., ImagePool]
) -> None:
    """The last retriever's vokens count: a tagger over another pool says so."""
    expected = our_annotations(source(TEXT))
    other = make_vokenizer(steps=3)
    other.get_pipe("voken_retriever").set_pool(make_pool(("cow", "hen"), seed=5))
    source.add_pipe("visual_ner", source=source, name="again")
    assert our_annotations(source(TEXT)) == expected
    source.add_pipe("voken_retriever", source=other, name="farm", after="again")
    assert set(get_token_values(source(TEXT), "voken")) <= {"cow", "hen"}
    source.remove_pipe("farm")
    source.add_pipe("voken_retriever", source=other, name="farm", before="again")
    with pytest.raises(ValueError, match="so that both use one pool"):
        source(TEXT)


def test_some_annotations_missing(source: Language, tagged_examples: Examples) -> None:
    nlp = source
    optimizer = nlp.resume_training()
    bare = Example(nlp.make_doc("we see"), nlp.make_doc("we see"))
    losses = nlp.update([bare], sgd=optimizer, exclude=["voken_retriever"])
    assert losses["visual_ner"] == pytest.approx(0, abs=1e-5), "without annotations all tags fit"
    losses = nlp.update([*tagged_examples(nlp), bare], sgd=optimizer, exclude=["voken_retriever"])
    assert np.isfinite(losses["visual_ner"])
    spans = nlp.make_doc("anna in paris")
    spans.spans["sc"] = [Span(spans, 0, 3, "SCENE"), Span(spans, 0, 1, "PER")]
    losses = nlp.update(
        [Example(nlp.make_doc("anna in paris"), spans)], exclude=["voken_retriever"]
    )
    assert losses["visual_ner"] == pytest.approx(0, abs=1e-5), "doc.spans are not learned from"


def test_pairs_without_pictures_are_passed_over(make_vokenizer: Make) -> None:
    nlp = make_vokenizer(indexed=False)
    before = weights(nlp)
    losses = nlp.update([caption(nlp, "a cat", None), caption(nlp, "a cow", "cow")], sgd=False)
    assert losses["voken_retriever"] == 0
    assert weights(nlp) == before


def test_evaluate_scores_both_as_each_alone(source: Language, tagged_examples: Examples) -> None:
    scores = source.evaluate(tagged_examples(source))
    assert scores["ents_f"] == 1.0
    assert "voken_r1" not in scores, "the references name no picture"
    pairs = source.evaluate(captions(source))
    assert (
        pairs["voken_r1"] == source.get_pipe("voken_retriever").score(captions(source))["voken_r1"]
    )


def test_averaged_parameters_change_nothing(source: Language) -> None:
    """Thinc averages no torch parameters, so there are none to use."""
    expected = our_annotations(source(TEXT))
    with source.use_params({}):
        assert our_annotations(source(TEXT)) == expected


def test_documents_are_not_kept(source: Language) -> None:
    doc = source(TEXT)
    gone = weakref.ref(doc)
    del doc
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda nlp: spacy.load(nlp.path)])
def test_copies_do_not_share(source: Language, copied: Callable[[Language], Language]) -> None:
    other = copied(source)
    expected = our_annotations(source(TEXT))
    other.get_pipe("visual_ner").model.get_ref("crf").layers[0].shims[0]._model.to("cpu")
    other.get_pipe("voken_retriever").threshold = 2.0
    assert get_token_values(other(TEXT), "voken") == [None] * 5
    assert our_annotations(source(TEXT)) == expected


def test_sixteen_labels(make_tagger: Make, vokenizer: Language) -> None:
    words = [word for word in WORDS if word not in ("##s", ".")]
    labels = [f"KIND{number:02d}" for number in range(16)]
    assert len(words) == len(labels)
    nlp = make_tagger("GatedFusion", into=vokenizer)
    examples = []
    for word, label in zip(words, labels, strict=True):
        text, tags = [".", word, word], ["O", f"B-{label}", f"I-{label}"]
        reference = Doc(nlp.vocab, words=text, ents=tags)
        examples.append(Example(Doc(nlp.vocab, words=text), reference))
    with nlp.select_pipes(disable=["voken_retriever"]):
        fix_random_seed(0)
        optimizer = nlp.initialize(lambda: examples)
        optimizer.learn_rate = 0.01
        for _ in range(60):
            nlp.update(examples, sgd=optimizer)
        assert list(nlp.get_pipe("visual_ner").labels) == labels
        for loaded in (nlp, spacy.blank("en", config=nlp.config).from_bytes(nlp.to_bytes())):
            found = [bio_tags(doc) for doc in loaded.pipe(eg.predicted.copy() for eg in examples)]
            assert found == [bio_tags(eg.reference) for eg in examples]
