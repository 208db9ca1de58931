"""What spaCy's users do to any component, done to ours."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import Adam, Config

from spacy_vokens.attributes import get_token_values
from spacy_vokens.images.pool import ImagePool
from spacy_vokens.scoring.ner import bio_tags
from tests.conftest import LANG
from tests.test_registry import TOK2VEC

TEXT = "anna in paris !"
TAGS = ["B-PER", "O", "B-LOC", "O"]
NO_FUSION = {"model": {"fusion": {"@voken_fusions": "spacy-vokens.NoFusion.v1"}}}
Make = Callable[..., Language]
Tagged = Callable[[Language], list[Example]]


@pytest.fixture(scope="module")
def tagger_bytes(make_tagger: Make, vokenizer_path: Path) -> tuple[dict, bytes]:
    """Config and bytes of a pipeline of retriever, transformer and tagger that has learned."""
    nlp = make_tagger("GatedFusion", steps=60, into=spacy.load(vokenizer_path))
    return nlp.config, nlp.to_bytes()


@pytest.fixture
def nlp(tagger_bytes: tuple[dict, bytes]) -> Language:
    config, data = tagger_bytes
    return spacy.blank(LANG, config=config).from_bytes(data)


@pytest.fixture
def untrained(make_tagger: Make) -> Language:
    """A tagger of text alone, before `initialize`."""
    return spacy.blank(LANG, config=make_tagger("NoFusion").config)


def weights(nlp: Language, *names: str) -> list[bytes]:
    return [nlp.get_pipe(name).model.to_bytes() for name in names]


# Entities that are there


@pytest.mark.parametrize(
    ("overwrite", "expected"),
    [
        (True, ["B-PER", "O", "B-LOC", "O"]),
        (False, ["B-PER", "B-ANIMAL", "I-ANIMAL", "O"]),
    ],
)
def test_overwrite_entities(nlp: Language, overwrite: bool, expected: list[str]) -> None:
    nlp.get_pipe("visual_ner").overwrite_entities = overwrite
    ruler = nlp.add_pipe("entity_ruler", first=True)
    ruler.add_patterns([{"label": "ANIMAL", "pattern": "in paris", "id": "cat"}])
    texts = [TEXT, "", "we see anna ."] * 2
    docs = list(nlp.pipe(texts, batch_size=4))
    assert bio_tags(docs[0]) == expected
    assert [bio_tags(doc) for doc in docs] == [bio_tags(nlp(text)) for text in texts]
    assert {ent.ent_id_ for ent in docs[0].ents} == ({""} if overwrite else {"", "cat"})


def test_a_component_after_it_sees_its_entities(nlp: Language) -> None:
    nlp.get_pipe("visual_ner").overwrite_entities = False
    ruler = nlp.add_pipe("entity_ruler", config={"overwrite_ents": False})
    ruler.add_patterns([{"label": "ANIMAL", "pattern": text} for text in ("in paris", "!")])
    assert bio_tags(nlp(TEXT)) == [*TAGS[:3], "B-ANIMAL"]


@pytest.mark.parametrize(
    ("state", "overwrite", "expected"),
    [
        ("blocked", False, ["", "O", "LOC", "O"]),
        ("missing", False, ["PER", "O", "LOC", "O"]),
        ("outside", False, ["PER", "O", "LOC", "O"]),
        ("blocked", True, ["PER", "O", "LOC", "O"]),
    ],
)
def test_tokens_without_an_entity(
    nlp: Language, state: str, overwrite: bool, expected: list[str]
) -> None:
    nlp.get_pipe("visual_ner").overwrite_entities = overwrite
    doc = nlp.make_doc(TEXT)
    doc.set_ents([], default="missing", **{state: [doc[:1]]})
    nlp(doc)
    assert [token.ent_type_ if token.ent_iob_ == "B" else "O" for token in doc] == expected


def test_overwrite_entities_is_a_setting_of_the_config(untrained: Language) -> None:
    assert untrained.config["components"]["visual_ner"]["overwrite_entities"] is True
    config = untrained.config.copy()
    config["components"]["visual_ner"]["overwrite_entities"] = False
    assert not spacy.blank(LANG, config=config).get_pipe("visual_ner").overwrite_entities
    del config["components"]["visual_ner"]["overwrite_entities"]
    assert spacy.blank(LANG, config=config).get_pipe("visual_ner").overwrite_entities


# Labels


def test_labels_added_beforehand_stand_beside_those_of_the_data(
    untrained: Language, tagged_examples: Tagged
) -> None:
    tagger = untrained.get_pipe("visual_ner")
    assert [tagger.add_label(label) for label in ("FOOD", "ART", "FOOD")] == [1, 1, 0]
    assert tagger.labels == ("ART", "FOOD")
    loaded = spacy.blank(LANG, config=untrained.config).from_bytes(untrained.to_bytes())
    for nlp in (untrained, loaded):
        examples = tagged_examples(nlp)
        with pytest.raises(ValueError, match="E109"):
            nlp.get_pipe("visual_ner").predict([nlp.make_doc(TEXT)])
        nlp.initialize(lambda examples=examples: examples)
        assert nlp.pipe_labels["visual_ner"] == ["ART", "FOOD", "LOC", "PER"]
        nlp(TEXT)


@pytest.mark.parametrize(("given", "expected"), [(None, ["LOC", "PER"]), (["PER"], ["PER"])])
def test_initialize_twice(
    untrained: Language, tagged_examples: Tagged, given: list[str] | None, expected: list[str]
) -> None:
    examples = [eg for eg in tagged_examples(untrained) if "LOC" not in str(eg.reference.ents)]
    untrained.config["initialize"]["components"]["visual_ner"] = {"labels": given}
    for _ in range(2):
        untrained.initialize(lambda: examples)
        assert untrained.pipe_labels["visual_ner"] == expected
        assert len(untrained.get_pipe("visual_ner").model.layers) == 3
        untrained(TEXT)


def test_no_label_is_added_to_a_trained_tagger(nlp: Language) -> None:
    tagger = nlp.get_pipe("visual_ner")
    assert tagger.add_label("PER") == 0
    with pytest.raises(ValueError, match="E922.*visual_ner.*output dimension of 5"):
        tagger.add_label("FOOD")
    with pytest.raises(ValueError, match="E187"):
        tagger.add_label(1)
    assert not tagger.is_resizable
    with pytest.raises(NotImplementedError, match="E921"):
        tagger.set_output(9)
    assert bio_tags(nlp(TEXT)) == TAGS


def test_sixteen_labels() -> None:
    """It learns them, reloads, and decodes only valid sequences, trained or not."""
    nlp = spacy.blank(LANG)
    words = [f"w{i:02}" for i in range(16)]
    config = {"model": {"tok2vec": TOK2VEC | {"width": 32, "embed_size": 500}}}
    nlp.add_pipe("visual_ner", config=Config(NO_FUSION).merge(config))
    gold = {f"{word} {word} .": [f"B-{word}", f"I-{word}", "O"] for word in words}
    examples = [
        Example(nlp.make_doc(text), Doc(nlp.vocab, words=text.split(), ents=tags))
        for text, tags in gold.items()
    ]
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 0.02
    shuffled = [nlp.make_doc(" ".join(words[i::3] + words[::-2])) for i in range(3)]
    for _ in range(2):
        for found in nlp.get_pipe("visual_ner").predict(shuffled):
            starts, ends, labels = found.spans.T
            assert (starts < ends).all()
            assert (starts[1:] >= ends[:-1]).all()
            assert set(labels.tolist()) <= set(range(16))
        for _ in range(30):
            nlp.update(examples, sgd=optimizer)
    assert {text: bio_tags(nlp(text)) for text in gold} == gold
    loaded = spacy.blank(LANG, config=nlp.config).from_bytes(nlp.to_bytes())
    assert {doc.text: bio_tags(doc) for doc in loaded.pipe(gold)} == gold
    assert loaded.get_pipe("visual_ner").labels == tuple(words)


# Training


def test_what_is_not_rehearsed_is_said_and_left_while_others_rehearse(nlp: Language) -> None:
    nlp.add_pipe("textcat").add_label("A")
    nlp.get_pipe("textcat").add_label("B")
    with nlp.select_pipes(enable="textcat"):
        nlp.initialize()
    optimizer = nlp.resume_training()
    ours = ("voken_retriever", "transformer", "visual_ner")
    before = weights(nlp, *ours)
    example = Example.from_dict(nlp.make_doc(TEXT), {"cats": {"A": 1.0, "B": 0.0}})
    nlp.get_pipe("textcat").update([example], sgd=optimizer)
    with pytest.warns(UserWarning, match="visual_ner does not rehearse") as warned:
        losses = nlp.rehearse([example], sgd=optimizer)
    assert losses["textcat"] > 0
    assert weights(nlp, *ours) == before
    assert len([w for w in warned if "does not rehearse" in str(w.message)]) == 2
    assert any("voken_retriever does not rehearse" in str(w.message) for w in warned)


def test_the_warning_of_no_rehearsal_comes_once(nlp: Language) -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("default")
        for _ in range(3):
            nlp.get_pipe("visual_ner").rehearse([])
    assert len(warned) == 1


@pytest.mark.parametrize(
    "annotation",
    [
        {},
        {"entities": [(0, 4, "PER")]},
        {"entities": ["U-PER", None, "-", "O"]},
        {"cats": {"A": 1.0}},
        {"entities": []},
    ],
)
def test_learns_from_what_annotations_there_are(nlp: Language, annotation: dict) -> None:
    example = Example.from_dict(nlp.make_doc(TEXT), annotation)
    before = weights(nlp, "voken_retriever")
    losses = nlp.update([example], sgd=nlp.create_optimizer(), exclude=["voken_retriever"])
    assert losses["visual_ner"] >= 0
    assert weights(nlp, "voken_retriever") == before
    scores = nlp.evaluate([example])
    assert (scores["ents_f"] is None) == (not example.reference.has_annotation("ENT_IOB"))


def test_overlapping_spans_are_not_learned(untrained: Language) -> None:
    reference = untrained.make_doc(TEXT)
    reference.spans["sc"] = [Span(reference, 0, 2, "PER"), Span(reference, 1, 3, "LOC")]
    with pytest.raises(ValueError, match="E143"):
        untrained.initialize(lambda: [Example(untrained.make_doc(TEXT), reference)])


def test_an_empty_batch_teaches_nothing(nlp: Language) -> None:
    assert nlp.update([], sgd=nlp.create_optimizer()) == {}
    assert nlp.get_pipe("visual_ner").update([]) == {"visual_ner": 0.0}
    assert nlp.get_pipe("visual_ner").predict([]) == []
    assert list(nlp.pipe([])) == []
    assert nlp.evaluate([])["ents_f"] is None


def test_update_with_exclude_and_annotates(nlp: Language, tagged_examples: Tagged) -> None:
    examples = tagged_examples(nlp)
    for example in examples:
        example.predicted.user_data.clear()
    nlp(TEXT)
    before = weights(nlp, *nlp.pipe_names)
    seen: list[list[str | None]] = []

    @Language.component("tests_look")
    def look(doc: Doc) -> Doc:
        seen.append([*get_token_values(doc, "voken"), bio_tags(doc)])
        return doc

    nlp.add_pipe("tests_look")
    nlp.update(
        examples,
        sgd=nlp.create_optimizer(),
        exclude=["voken_retriever", "transformer", "visual_ner"],
        annotates=["voken_retriever", "transformer", "visual_ner", "tests_look"],
    )
    assert seen[0][-1] == TAGS
    assert seen[0][0] is not None
    assert weights(nlp, "voken_retriever", "transformer", "visual_ner") == before


def test_use_params_gives_everything_back(nlp: Language) -> None:
    """As `spacy train` calls it, with an optimizer's averages."""
    example = Example.from_dict(nlp.make_doc(TEXT), {"entities": ["O", "O", "O", "O"]})
    optimizer = Adam(0.01, use_averages=True)
    nlp.update([example], sgd=optimizer, exclude=["voken_retriever"])
    found = bio_tags(nlp(TEXT))
    stored = weights(nlp, *nlp.pipe_names)
    assert optimizer.averages
    with nlp.use_params(optimizer.averages):
        nlp(TEXT)
    assert weights(nlp, *nlp.pipe_names) == stored
    assert bio_tags(nlp(TEXT)) == found


# The pipeline


def test_what_is_known_of_a_component(nlp: Language) -> None:
    assert all(nlp.has_factory(name) for name in ("voken_retriever", "given_image", "visual_ner"))
    meta = nlp.get_pipe_meta("visual_ner")
    assert meta.factory == "visual_ner"
    assert meta.requires == ["token._.voken"]
    assert "doc.ents" in meta.assigns
    assert not any(nlp.analyze_pipes()["problems"].values())
    nlp.remove_pipe("voken_retriever")
    assert nlp.analyze_pipes()["problems"]["visual_ner"] == ["token._.voken"]


def test_disable_enable_and_exclude_on_load(nlp: Language, tmp_path: Path) -> None:
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path, disable=["visual_ner"])
    assert not loaded(TEXT).ents
    loaded.enable_pipe("visual_ner")
    assert bio_tags(loaded(TEXT)) == TAGS
    only = spacy.load(tmp_path, enable=["voken_retriever"])
    assert only.pipe_names == ["voken_retriever"]
    assert only(TEXT)[0]._.voken is not None
    without = spacy.load(tmp_path, exclude=["visual_ner", "transformer"])
    assert without.component_names == ["voken_retriever"]


def test_select_remove_and_replace(nlp: Language) -> None:
    with nlp.select_pipes(disable=["visual_ner", "transformer"]):
        assert not nlp(TEXT).ents
    assert bio_tags(nlp(TEXT)) == TAGS
    name, tagger = nlp.remove_pipe("visual_ner")
    assert not nlp.get_pipe("transformer").listener_map
    assert bio_tags(tagger(nlp(TEXT))) == TAGS, "it works without the pipeline"
    nlp.replace_pipe("voken_retriever", "given_image")
    nlp.add_pipe("entity_ruler", name=name)
    assert nlp(TEXT)._.voken_index == "given"


def test_a_copied_tagger_is_one_of_its_own(nlp: Language, tagged_examples: Tagged) -> None:
    other = copy.deepcopy(nlp)
    before = weights(nlp, "visual_ner")
    examples = tagged_examples(other)
    other.update(examples, sgd=other.create_optimizer(), exclude=["voken_retriever"])
    assert weights(other, "visual_ner") != before == weights(nlp, "visual_ner")
    doc = nlp.get_pipe("transformer")(nlp.get_pipe("voken_retriever")(nlp.make_doc(TEXT)))
    assert bio_tags(copy.deepcopy(nlp.get_pipe("visual_ner"))(doc)) == TAGS
    assert copy.deepcopy(nlp.get_pipe("voken_retriever"))(doc) is doc


def test_one_component_in_two_pipelines_with_one_vocab(nlp: Language) -> None:
    other = spacy.blank(LANG, vocab=nlp.vocab)
    for name in nlp.pipe_names:
        other.add_pipe(name, source=nlp)
    assert other.get_pipe("visual_ner") is nlp.get_pipe("visual_ner")
    for _ in range(2):
        assert bio_tags(other(TEXT)) == bio_tags(nlp(TEXT)) == TAGS


def test_two_taggers_under_two_names(make_tagger: Make, tagged_examples: Tagged) -> None:
    nlp = make_tagger("GatedFusion")
    nlp.add_pipe("visual_ner", name="second", config={"overwrite_entities": False} | NO_FUSION)
    settings = nlp.config["initialize"]["components"]
    settings["second"] = {"labels": ["FOOD"]}
    examples = tagged_examples(nlp)
    nlp.initialize(lambda: examples)
    with pytest.raises(ValueError, match=r"second does not know .*: its labels are FOOD"):
        nlp.update(examples)
    settings["second"] = {}
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 0.005
    for _ in range(60):
        losses = nlp.update(examples, sgd=optimizer)
    assert losses["visual_ner"] > 0 < losses["second"]
    loaded = spacy.blank(LANG, config=nlp.config).from_bytes(nlp.to_bytes())
    for name in ("visual_ner", "second"):
        with loaded.select_pipes(disable=name):
            assert bio_tags(loaded(TEXT)) == TAGS
    assert bio_tags(loaded(TEXT)) == TAGS


def test_each_tagger_reads_the_retriever_before_it(
    nlp: Language, vokenizer: Language, make_pool: Callable[..., ImagePool], tagged_examples: Tagged
) -> None:
    expected = nlp(TEXT)
    birds = make_pool(("cow", "hen"), seed=4)
    vokenizer.get_pipe("voken_retriever").set_pool(birds)
    nlp.add_pipe("voken_retriever", name="second", source=vokenizer)
    doc = nlp(TEXT)
    for _ in range(2):
        assert bio_tags(doc) == TAGS
        gates = [get_token_values(each, "visual_gate") for each in (doc, expected)]
        assert gates[0] == gates[1]
        assert doc[0]._.voken in ("cow", "hen"), "the last one's vokens are kept"
        assert doc._.voken_index == str(nlp.get_pipe("second").index.mark)
        doc = nlp(doc)
    settings, examples = nlp.config["initialize"]["components"], tagged_examples(nlp)
    nlp.get_pipe("visual_ner").initialize(lambda: examples, nlp=nlp, **settings["visual_ner"])
    nlp.add_pipe("visual_ner", name="late", source=nlp)
    with pytest.raises(ValueError, match="come from index"):
        nlp(TEXT)
