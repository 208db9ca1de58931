from __future__ import annotations

import pickle
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from torch import nn

from spacy_vokens.attributes import get_token_values, set_token_values
from spacy_vokens.corpus.reader import blank_copy
from spacy_vokens.images.pool import ImagePool
from spacy_vokens.models.image_features import ImageFeatures
from spacy_vokens.models.registry import voken_fusions
from spacy_vokens.models.tagger import Tagged
from spacy_vokens.models.torch.crf import tag_set
from spacy_vokens.models.torch.fusion import Fused, NoFusion
from spacy_vokens.pipeline.visual_ner import VisualNer, set_entities
from spacy_vokens.scoring.ner import bio_tags
from tests.conftest import LANG

LISTENER = {"@architectures": "spacy.Tok2VecListener.v1", "width": 96}
FILES = ("cfg.json", "model", "manifest.json")
FUSIONS = ["NoFusion", "GatedFusion", "VisualAttention"]
Make = Callable[..., Language]
Examples = Callable[[Language], list[Example]]


def tag(nlp: Language, examples: list[Example]) -> list[list[str]]:
    return [bio_tags(doc) for doc in nlp.pipe(eg.predicted.copy() for eg in examples)]


def reload(nlp: Language) -> Language:
    return spacy.blank(LANG, config=nlp.config).from_bytes(nlp.to_bytes())


def test_scores_and_pickles_what_it_has_learned(
    make_tagger: Make, tagged_examples: Examples
) -> None:
    nlp = make_tagger("GatedFusion", steps=60)
    examples = tagged_examples(nlp)
    found = tag(nlp, examples)
    assert found == [eg.reference._.visual_raw_tags for eg in examples]
    scores = nlp.evaluate(tagged_examples(nlp))
    assert scores["ents_f"] == scores["ents_lenient_f"] == 1.0
    other = pickle.loads(pickle.dumps(nlp))
    assert tag(other, examples) == found
    assert other.get_pipe("visual_ner").labels == ("LOC", "PER")


@pytest.mark.parametrize("fusion", FUSIONS)
def test_gates(make_tagger: Make, tagged_examples: Examples, fusion: str) -> None:
    nlp = make_tagger(fusion)
    for doc in nlp.pipe(eg.predicted for eg in tagged_examples(nlp)):
        gates = get_token_values(doc, "visual_gate")
        if fusion == "NoFusion":
            assert gates == [None] * len(doc)
        else:
            assert all(0 < gate < 1 for gate in gates)


def test_images_matter(make_tagger: Make, pool: ImagePool) -> None:
    """The same words become a name or not by the picture alone."""
    nlp = make_tagger("GatedFusion", voken_dropout=0.0)
    examples = []
    for picture, tags in (("dog", ["O", "O"]), ("cat", ["O", "B-PER"])):
        predicted = Doc(nlp.vocab, words=["the", "big"])
        predicted[1]._.voken = picture
        examples.append(Example(predicted, Doc(nlp.vocab, words=["the", "big"], ents=tags)))
    optimizer = nlp.resume_training()
    optimizer.learn_rate = 0.01
    for _ in range(80):
        nlp.update(examples, sgd=optimizer)
    assert tag(nlp, examples) == [["O", "O"], ["O", "B-PER"]]


@pytest.mark.parametrize("fusion", FUSIONS)
def test_batch_equals_single(make_tagger: Make, tagged_examples: Examples, fusion: str) -> None:
    nlp = make_tagger(fusion, steps=5)
    docs = [eg.predicted for eg in tagged_examples(nlp)] + [Doc(nlp.vocab)]
    together = list(nlp.pipe([doc.copy() for doc in docs], batch_size=5))
    for doc, batched in zip(docs, together, strict=True):
        alone = nlp(doc.copy())
        assert bio_tags(alone) == bio_tags(batched)
        np.testing.assert_allclose(
            np.array(get_token_values(alone, "visual_gate"), dtype=float),
            np.array(get_token_values(batched, "visual_gate"), dtype=float),
            atol=1e-4,
        )


@pytest.mark.parametrize("fusion", FUSIONS)
def test_empty_and_very_long_documents(make_tagger: Make, fusion: str) -> None:
    nlp = make_tagger(fusion, steps=2)
    texts = ["", "anna in paris", "", "the red dog " * 1000, "a " + "x" * 600 + " cat"]
    docs = list(nlp.pipe(texts))
    assert [len(doc) for doc in docs] == [0, 3, 0, 3000, 3]
    assert len(nlp("")) == 0
    empty = Example(Doc(nlp.vocab), Doc(nlp.vocab))
    assert nlp.update([empty], sgd=nlp.create_optimizer())["visual_ner"] == 0


# Tokens without a word piece: most are dropped by the tokenizer, three are white space.
NO_PIECES = ["\ufe0f", "\u200b", "\xa0", " ", "\x01", "\x85", "\u202e", "\ufffd", "\u0301"]


@pytest.mark.parametrize("fusion", FUSIONS)
def test_tokens_without_a_word_piece_are_no_entities(make_tagger: Make, fusion: str) -> None:
    nlp = make_tagger(fusion)
    ner = nlp.get_pipe("visual_ner")
    # Trained to take such tokens for entities, alone and at both ends of words.
    reference = Doc(nlp.vocab, words=NO_PIECES, ents=["B-PER"] * len(NO_PIECES))
    words = ["\ufe0f", "anna", "\u200b", "paris", "\ufe0f"]
    longer = Doc(nlp.vocab, words=words, ents=["B-PER", *["I-PER"] * 4])
    examples = [Example(blank_copy(doc), doc) for doc in (reference, longer)]
    optimizer = nlp.create_optimizer()
    optimizer.learn_rate = 0.02
    for _ in range(30):
        losses = nlp.update(examples, sgd=optimizer)
    assert losses["visual_ner"] < 0.1
    for image in (None, "cat"):
        docs = [blank_copy(doc) for doc in (reference, longer)]
        for doc in docs:
            set_token_values(doc, "voken", [image] * len(doc))
        for doc in map(nlp, docs):
            assert get_token_values(doc, "visual_gate")[0] is None
        assert spans(docs[0]) == []
        # One may stand inside an entity.
        assert spans(docs[1]) == [(1, 4, "PER")]
        assert docs[1].ents[0]._.visual_confidence > 0.9
        assert len(ner.span_probabilities(ner.predict(docs[1:]), [[(1, 4, "PER")]])[0]) == 1


@given(data=st.data())
@settings(max_examples=50)
def test_white_space_between_words_changes_nothing(nlp: Language, data: st.DataObject) -> None:
    words = data.draw(st.lists(st.sampled_from(["anna", "in", "paris", "!", "dog"]), min_size=1))
    blanks = st.sampled_from(["\n", " ", "\n\n", "\t", "\xa0"])
    spaced: list[str] = []
    for word in words:
        spaced += [*data.draw(st.lists(blanks, max_size=2)), word]
    spaced += data.draw(st.lists(blanks, max_size=2))
    plain, doc = (nlp(Doc(nlp.vocab, words=each)) for each in (words, spaced))
    numbers = [token.i for token in doc if not token.is_space]
    expected = [(numbers[start], numbers[end - 1] + 1, label) for start, end, label in spans(plain)]
    assert spans(doc) == expected
    np.testing.assert_allclose(
        [ent._.visual_confidence for ent in doc.ents],
        [ent._.visual_confidence for ent in plain.ents],
        atol=1e-5,
    )


@pytest.mark.parametrize("blank", ["\f", "\v", "\x85", "\x1c", "\x1f"])
def test_control_characters_that_are_white_space_separate_words(nlp: Language, blank: str) -> None:
    """BERT's tokenizer deletes them."""
    plain, doc = nlp("anna in paris !"), nlp(f"anna{blank}in{blank}paris !")
    assert [ent.text for ent in plain.ents] == ["anna", "paris"]
    assert [ent.text for ent in doc.ents] == ["anna", "paris"]
    np.testing.assert_allclose(
        [ent._.visual_confidence for ent in doc.ents],
        [ent._.visual_confidence for ent in plain.ents],
        atol=1e-5,
    )


def test_no_transformer_was_made_in_this_process(nlp: Language) -> None:
    """`Doc._.trf_data` does not even exist then."""
    default, *_ = Doc.remove_extension("trf_data")
    try:
        with pytest.raises(ValueError, match="the documents have no output of one"):
            nlp.get_pipe("visual_ner")(nlp.make_doc("anna in paris"))
    finally:
        Doc.set_extension("trf_data", default=default)


def test_a_saved_tokenizer_does_not_grow(nlp: Language) -> None:
    def tokenizer() -> str:
        shim = nlp.get_pipe("transformer").model.layers[0].shims[0]
        return shim._hfmodel.tokenizer.backend_tokenizer.to_str()

    first = tokenizer()
    nlp.from_bytes(nlp.to_bytes())
    assert tokenizer() == first


def test_empty_documents_in_a_training_batch(make_tagger: Make, tagged_examples: Examples) -> None:
    nlp = make_tagger("GatedFusion")
    examples = tagged_examples(nlp)
    examples.insert(1, Example(Doc(nlp.vocab), Doc(nlp.vocab)))
    assert nlp.update(examples, sgd=nlp.create_optimizer())["visual_ner"] > 0


def test_missing_annotations_pull_nowhere(make_tagger: Make) -> None:
    nlp = make_tagger("GatedFusion")
    reference = Doc(nlp.vocab, words=["anna", "in", "paris"])
    assert not reference.has_annotation("ENT_IOB")
    example = Example(Doc(nlp.vocab, words=["anna", "in", "paris"]), reference)
    losses = nlp.update([example], sgd=nlp.create_optimizer())
    assert losses["visual_ner"] == pytest.approx(0, abs=1e-4)


def test_tokens_need_not_be_the_references(make_tagger: Make) -> None:
    nlp = make_tagger("NoFusion")
    reference = Doc(nlp.vocab, words=["anna", "in", "paris"], ents=["B-PER", "O", "B-LOC"])
    predicted = Doc(nlp.vocab, words=["an", "na", "in", "paris"], spaces=[False, True, True, True])
    example = Example(predicted, reference)
    tags = learned_tags(nlp.get_pipe("visual_ner"), example)
    assert tags == ["B-PER", "I-PER", "O", "B-LOC"]
    assert nlp.update([example], sgd=nlp.create_optimizer())["visual_ner"] > 0


def learned_tags(ner: VisualNer, example: Example) -> list[str]:
    """The tags whose scores the loss wants higher."""
    names = tag_set(ner.labels)
    n_words = len(example.predicted)
    flat = Tagged(np.zeros((n_words, len(names)), dtype="f"), np.arange(n_words))
    _, (gradient,) = ner.get_loss([example], [flat])
    return [names[tag] for tag in gradient.argmin(axis=1)]


def test_annotations_are_learned_as_they_are(make_tagger: Make) -> None:
    ner = make_tagger("NoFusion").get_pipe("visual_ner")
    words = ["anna", "lee", "may", "in", "paris", "?"]
    reference = Doc(ner.vocab, words=words)
    ents = [Span(reference, 0, 3, "PER"), Span(reference, 4, 5, "LOC")]
    reference.set_ents(ents, missing=[reference[5:6]], outside=[reference[3:4]])
    tags = learned_tags(ner, Example(Doc(ner.vocab, words=words), reference))
    # The last token has no annotation.
    assert tags[:5] == ["B-PER", "I-PER", "I-PER", "O", "B-LOC"]


def test_unknown_label_is_named(make_tagger: Make) -> None:
    nlp = make_tagger("NoFusion")
    reference = Doc(nlp.vocab, words=["anna"], ents=["B-FOOD"])
    with pytest.raises(ValueError, match="FOOD.*LOC, PER"):
        nlp.update([Example(Doc(nlp.vocab, words=["anna"]), reference)])


def test_tags_from_text_without_vokens_and_says_so_once(
    make_tagger: Make, caplog: pytest.LogCaptureFixture
) -> None:
    nlp = make_tagger("GatedFusion", steps=60)
    found = [bio_tags(nlp(text)) for text in ("anna in paris !", "we see anna .")]
    assert found == [["B-PER", "O", "B-LOC", "O"], ["O", "O", "B-PER", "O"]]
    assert caplog.text.count("it sees the text alone") == 1


def test_without_images_it_does_not_speak_of_them(
    make_tagger: Make, caplog: pytest.LogCaptureFixture
) -> None:
    make_tagger("NoFusion")("anna in paris")
    assert "text alone" not in caplog.text


def test_needs_labels_and_a_pool(
    make_tagger: Make, tagged_examples: Examples, pool: ImagePool
) -> None:
    nlp = spacy.blank(LANG, config=make_tagger("GatedFusion").config)
    settings = nlp.config["initialize"]["components"]
    unlabelled = [Example(Doc(nlp.vocab, words=["a"]), Doc(nlp.vocab, words=["a"]))]
    with pytest.raises(ValueError, match="E143"):
        nlp.initialize(lambda: unlabelled)
    settings["visual_ner"] = {}
    with pytest.raises(ValueError, match="set 'pool'"):
        nlp.initialize(lambda: tagged_examples(nlp))


def test_labels_can_be_given(make_tagger: Make, tagged_examples: Examples, pool: ImagePool) -> None:
    nlp = make_tagger("GatedFusion")
    nlp.config["initialize"]["components"]["visual_ner"] = {
        "pool": str(pool.path),
        "labels": ["PER", "ORG", "LOC"],
    }
    nlp.initialize(lambda: tagged_examples(nlp))
    assert nlp.get_pipe("visual_ner").labels == ("LOC", "ORG", "PER")
    assert nlp.get_pipe("visual_ner").label_data == ["LOC", "ORG", "PER"]
    assert nlp.pipe_labels["visual_ner"] == ["LOC", "ORG", "PER"]


def test_in_one_pipeline_with_the_retriever(make_tagger: Make, vokenizer: Language) -> None:
    nlp = make_tagger("GatedFusion", steps=5, into=vokenizer)
    assert nlp.pipe_names == ["voken_retriever", "transformer", "visual_ner"]
    assert not nlp.analyze_pipes()["problems"]["visual_ner"]
    doc = nlp("a red cat")
    assert doc[2]._.voken is not None
    assert doc[2]._.visual_gate is not None
    found = bio_tags(doc)
    other = reload(nlp)("a red cat")
    assert bio_tags(other) == found
    assert get_token_values(other, "voken") == get_token_values(doc, "voken")


def test_sourced_into_another_pipeline(make_tagger: Make, vokenizer: Language) -> None:
    source = make_tagger("GatedFusion", steps=5, into=vokenizer)
    nlp = spacy.blank(LANG)
    nlp.add_pipe("sentencizer")
    for name in source.pipe_names:
        nlp.add_pipe(name, source=source)
    doc, expected = nlp("a red cat in paris"), source("a red cat in paris")
    for name in ("voken", "voken_score", "visual_gate"):
        assert get_token_values(doc, name) == get_token_values(expected, name)
    assert bio_tags(doc) == bio_tags(expected)


def test_sourced_beside_a_listener_and_ner(make_tagger: Make, vokenizer: Language) -> None:
    """What the other pipeline finds stays; `visual_ner` comes last and sets the entities."""
    nlp = spacy.blank(LANG)
    nlp.add_pipe("tok2vec")
    nlp.add_pipe("tagger", config={"model": {"tok2vec": LISTENER}}).add_label("NN")
    nlp.add_pipe("ner", config={"model": {"tok2vec": LISTENER}}).add_label("PER")
    nlp.initialize()
    text = "a red cat in paris"
    before = nlp(text)
    source = make_tagger("GatedFusion", steps=5, into=vokenizer)
    for name in source.pipe_names:
        nlp.add_pipe(name, source=source)
    doc, expected = nlp(text), source(text)
    np.testing.assert_array_equal(doc.tensor, before.tensor)
    assert [token.tag_ for token in doc] == [token.tag_ for token in before]
    assert bio_tags(doc) == bio_tags(expected)
    assert get_token_values(doc, "visual_gate") == get_token_values(expected, "visual_gate")
    assert bio_tags(reload(nlp)(text)) == bio_tags(expected)
    assert not nlp.analyze_pipes()["problems"]["visual_ner"]


@voken_fusions("tests.Concatenation.v1")
class Concatenation(NoFusion):
    """A fusion of somebody else's, as CONTRIBUTING.md tells to write one."""

    uses_images = True

    def __init__(self) -> None:
        super().__init__()

    def initialize(self, width: int, image_width: int) -> None:
        self.mix = nn.Linear(width + image_width, width)

    def forward(
        self,
        words: torch.Tensor,
        images: torch.Tensor,
        rows: torch.Tensor,
        mask: torch.Tensor,
        need_attention: bool = False,
    ) -> Fused:
        seen = torch.cat([images, images.new_zeros(1, images.shape[1])])[rows]
        return Fused(self.mix(torch.cat([words, seen], dim=-1)), (rows >= 0).float())


def test_a_fusion_of_somebody_elses(make_tagger: Make, tagged_examples: Examples) -> None:
    nlp = make_tagger("tests.Concatenation.v1", steps=60)
    examples = tagged_examples(nlp)
    assert tag(nlp, examples) == [eg.reference._.visual_raw_tags for eg in examples]
    assert tag(reload(nlp), examples) == tag(nlp, examples)


def test_image_features_can_be_passed_over(make_tagger: Make, tagged_examples: Examples) -> None:
    nlp = make_tagger("GatedFusion", steps=5)
    tagger, examples = nlp.get_pipe("visual_ner"), tagged_examples(nlp)
    expected, table = tag(nlp, examples), tagger.images
    tagger.from_bytes(tagger.to_bytes(), exclude=["images"])
    assert tagger.images is table
    assert tag(nlp, examples) == expected
    other = spacy.blank(LANG, config=nlp.config).from_bytes(nlp.to_bytes(exclude=["visual_ner"]))
    other.get_pipe("visual_ner").from_bytes(tagger.to_bytes(exclude=["images"]))
    with pytest.raises(ValueError, match="without its image features"):
        other("anna in paris")


def test_saving_leaves_foreign_files_and_nothing_stale(make_tagger: Make, tmp_path: Path) -> None:
    make_tagger("GatedFusion").get_pipe("visual_ner").to_disk(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {*FILES, "images"}
    (tmp_path / "thesis.txt").write_text("mine")
    make_tagger("NoFusion").get_pipe("visual_ner").to_disk(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {*FILES, "thesis.txt"}


def test_pool_must_be_the_retrievers(
    make_tagger: Make,
    vokenizer: Language,
    make_pool: Callable[..., ImagePool],
    tagged_examples: Examples,
) -> None:
    other = make_pool(seed=5)
    vokenizer.get_pipe("voken_retriever").set_pool(other)
    with pytest.raises(ValueError, match="Give both the same pool"):
        make_tagger("GatedFusion", into=vokenizer)


def test_set_pool(
    make_tagger: Make, vokenizer: Language, make_pool: Callable[..., ImagePool]
) -> None:
    nlp = make_tagger("GatedFusion", into=vokenizer)
    other = make_pool(("cow", "hen"), seed=5)
    for name in ("voken_retriever", "visual_ner"):
        nlp.get_pipe(name).set_pool(other)
    assert {t._.voken for t in reload(nlp)("a red cat")} <= {"cow", "hen"}
    with pytest.raises(ValueError, match="same encoder"):
        nlp.get_pipe("visual_ner").set_pool(make_pool(encoder="other"))
    text_only = make_tagger("NoFusion").get_pipe("visual_ner")
    text_only.set_pool(other)
    assert text_only.images is None


def test_vokens_of_another_pool_are_an_error(make_tagger: Make) -> None:
    nlp = make_tagger("GatedFusion")
    doc = Doc(nlp.vocab, words=["a", "cow"])
    doc[1]._.voken = "cow"
    with pytest.raises(ValueError, match="has no image 'cow'"):
        nlp(doc)


def test_retriever_of_another_pool_with_equal_ids_is_an_error(
    make_tagger: Make, vokenizer: Language, make_pool: Callable[..., ImagePool]
) -> None:
    nlp = make_tagger("GatedFusion", into=vokenizer)
    nlp("a red cat")
    nlp.get_pipe("voken_retriever").set_pool(make_pool(seed=7))
    with pytest.raises(ValueError, match="made from pool .* come from index"):
        nlp("a red cat")


@pytest.mark.parametrize("name", ["voken_retriever", "visual_ner"])
def test_built_twice_loads_all_the_same(
    make_tagger: Make, vokenizer: Language, tagged_examples: Examples, name: str
) -> None:
    nlp = make_tagger("GatedFusion", steps=3, into=vokenizer)
    expected = bio_tags(nlp("a red cat in paris"))
    nlp.from_bytes(nlp.to_bytes())
    assert bio_tags(nlp("a red cat in paris")) == expected
    pipe = nlp.get_pipe(name)
    n_layers = len(pipe.model.layers)
    pipe.build_layers()
    assert len(pipe.model.layers) == n_layers
    reload(nlp)


def test_exclude_works_both_ways(make_tagger: Make, tmp_path: Path) -> None:
    tagger = make_tagger("GatedFusion", steps=3).get_pipe("visual_ner")
    other = make_tagger("GatedFusion").get_pipe("visual_ner")
    weights = other.model.to_bytes()
    assert weights != tagger.model.to_bytes()
    exclude = ["cfg", "model"]
    other.from_bytes(tagger.to_bytes(exclude=exclude), exclude=exclude)
    tagger.to_disk(tmp_path, exclude=exclude)
    assert {file.name for file in tmp_path.iterdir()} == {"images", "manifest.json"}
    other.from_disk(tmp_path, exclude=exclude)
    other.from_bytes(tagger.to_bytes(), exclude=exclude)
    assert other.model.to_bytes() == weights


def test_saved_pipeline_without_its_retriever(
    make_tagger: Make, vokenizer: Language, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_tagger("GatedFusion", steps=60, into=vokenizer).to_disk(tmp_path)
    nlp = spacy.load(tmp_path, exclude=["voken_retriever"])
    assert bio_tags(nlp("we see anna .")) == ["O", "O", "B-PER", "O"]
    assert "text alone" in caplog.text


def test_one_image_in_the_pool(
    make_tagger: Make, vokenizer: Language, make_pool: Callable[..., ImagePool]
) -> None:
    nlp = make_tagger("VisualAttention", into=vokenizer)
    for name in ("voken_retriever", "visual_ner"):
        nlp.get_pipe(name).set_pool(make_pool(("cow",)))
    nlp.get_pipe("voken_retriever").top_k = 3
    doc = nlp("a red cat .")
    assert get_token_values(doc, "voken") == ["cow", "cow", "cow", None]
    assert [len(vokens or ()) for vokens in get_token_values(doc, "vokens")] == [1, 1, 1, 0]
    assert np.isfinite(get_token_values(doc, "visual_gate")).all()


def test_a_frozen_encoder_of_its_own_runs_once_a_document(
    retriever_config: dict, tagged_examples: Examples
) -> None:
    nlp = spacy.blank(LANG)
    model = {
        "@architectures": "spacy-vokens.VisualTagger.v1",
        "tok2vec": retriever_config["model"]["tok2vec"],
        "fusion": {"@voken_fusions": "spacy-vokens.NoFusion.v1"},
    }
    tagger = nlp.add_pipe("visual_ner", config={"model": model})
    examples = tagged_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(2):
        nlp.update(examples, sgd=optimizer)
    (cache,) = (c for node in tagger.model.walk() if (c := node.attrs.get("cache")) is not None)
    assert len(cache) == len(examples)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_confidences_are_the_probabilities_of_the_entities(
    make_tagger: Make, tagged_examples: Examples, fusion: str
) -> None:
    nlp = make_tagger(fusion, steps=20)
    ner = nlp.get_pipe("visual_ner")
    docs = list(nlp.pipe([eg.predicted for eg in tagged_examples(nlp)] + [Doc(nlp.vocab)]))
    spans = [[(ent.start, ent.end, ent.label_) for ent in doc.ents] for doc in docs]
    assert any(spans)
    assert spans[-1] == []
    confidences = [[ent._.visual_confidence for ent in doc.ents] for doc in docs]
    assert all(0 < value <= 1 for row in confidences for value in row)
    # One document at a time, as the enumeration that the CRF's test holds them against.
    for doc, row, expected in zip(docs, spans, confidences, strict=True):
        (alone,) = ner.span_probabilities(ner.predict([doc]), [row])
        assert alone.tolist() == pytest.approx(expected, abs=1e-5)


def test_confidences_stay_out_of_the_way(make_tagger: Make, tagged_examples: Examples) -> None:
    nlp = make_tagger("GatedFusion", steps=60)
    ner = nlp.get_pipe("visual_ner")
    doc = nlp(Doc(nlp.vocab, words=["anna", "in", "paris", "!"]))
    other, _ = nlp.pipe([doc.copy(), Doc(nlp.vocab)], n_process=2, batch_size=1)
    for copy in (other, Doc(nlp.vocab).from_bytes(doc.to_bytes())):
        values = [ent._.visual_confidence for ent in copy.ents]
        assert values == pytest.approx([ent._.visual_confidence for ent in doc.ents])
    # An entity of another component keeps its place, and gets no probability of ours.
    doc.ents = [doc[0:1]]
    doc.ents = [spacy.tokens.Span(doc, 0, 2, label="EVENT")]
    ner.overwrite_entities = False
    ner(doc)
    assert [(ent.label_, ent._.visual_confidence is None) for ent in doc.ents] == [
        ("EVENT", True),
        ("LOC", False),
    ]
    before = spacy.tokens.Span(doc, 0, 1, label="PER")
    assert before._.visual_confidence is None, "of the entity that was found there before"
    ner(doc)
    assert doc.ents[1]._.visual_confidence is not None, "the entity that stays keeps its own"
    ner.overwrite_entities = True
    ner.set_confidence = False
    plain = nlp(Doc(nlp.vocab, words=["anna", "in", "paris", "!"]))
    assert [ent._.visual_confidence for ent in plain.ents] == [None, None]
    doc = ner(doc)
    assert doc.ents[1]._.visual_confidence is None, "what an earlier run said is gone"
    text_only = make_tagger("NoFusion")
    assert doc[2]._.visual_gate is not None
    text_only.get_pipe("visual_ner")(doc)
    assert doc[2]._.visual_gate is None, "and what another tagger said, too"


def test_temperature_is_a_setting_and_makes_less_certain(
    make_tagger: Make, caplog: pytest.LogCaptureFixture
) -> None:
    nlp = make_tagger("NoFusion", steps=60)
    before = [ent._.visual_confidence for ent in nlp("anna in paris !").ents]
    # What `spacy vokens calibrate` sets.
    nlp.get_pipe("visual_ner").temperature = 3.0
    nlp.get_pipe_config("visual_ner")["temperature"] = 3.0
    other = reload(nlp)
    ner = other.get_pipe("visual_ner")
    assert ner.temperature == 3.0
    assert "temperature" not in ner.cfg
    after = [ent._.visual_confidence for ent in other("anna in paris !").ents]
    assert len(before) == len(after) == 2
    assert all(b < a for a, b in zip(before, after, strict=True))
    examples = [Example(doc, doc.copy()) for doc in nlp.pipe(["anna in paris !"])]
    optimizer = other.resume_training()
    for _ in range(2):
        other.update(examples, sgd=optimizer)
    assert ner.temperature == 3.0
    assert caplog.text.count("Run 'spacy vokens calibrate' again") == 1
    for wrong in (0.0, -1.0, "1", float("inf"), float("nan")):
        with pytest.raises(ValueError, match="visual_ner: temperature must be above 0"):
            ner.temperature = wrong
    with pytest.raises(ValueError, match="temperature must be above 0"):
        spacy.blank(LANG).add_pipe("visual_ner", config={"temperature": -1.0})


def test_attention_names_the_images(make_tagger: Make) -> None:
    nlp = make_tagger("VisualAttention", steps=2)
    ner = nlp.get_pipe("visual_ner")
    docs = [Doc(nlp.vocab, words=["a", "cat", "and", "cat", "dog"]), Doc(nlp.vocab, words=["dog"])]
    for doc, vokens in zip(docs, ([None, "cat", None, "cat", "dog"], ["dog"]), strict=True):
        set_token_values(doc, "voken", vokens)
    assert [token._.visual_attention for token in nlp(docs[0].copy())] == [None] * 5
    ner.set_attention = True
    together = list(nlp.pipe([doc.copy() for doc in docs] + [Doc(nlp.vocab)]))
    for doc, batched in zip(docs, together, strict=False):
        for token in batched:
            weights = [weight for _, weight in token._.visual_attention]
            assert sum(weights) == pytest.approx(1, abs=1e-5), "all distinct images are shown"
            assert weights == sorted(weights, reverse=True)
            assert {image for image, _ in token._.visual_attention} == {t._.voken for t in batched}
        alone = nlp(doc.copy())
        for one, other in zip(alone, batched, strict=True):
            assert dict(one._.visual_attention) == pytest.approx(
                dict(other._.visual_attention), abs=1e-4
            )
    # With the images exchanged for none, all attention goes there.
    for token in nlp(Doc(nlp.vocab, words=["a", "cat"])):
        assert token._.visual_attention == [[None, pytest.approx(1)]]
    gated = make_tagger("GatedFusion")
    gated.get_pipe("visual_ner").set_attention = True
    assert [token._.visual_attention for token in gated("a cat")] == [None, None]


def test_attention_comes_from_the_same_pass(
    make_tagger: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    nlp = make_tagger("VisualAttention", steps=2)
    ner = nlp.get_pipe("visual_ner")
    ner.set_attention = True
    n_lookups, lookup = [], ImageFeatures.lookup
    monkeypatch.setattr(
        ImageFeatures, "lookup", lambda self, docs: n_lookups.append(1) or lookup(self, docs)
    )
    doc = nlp("a red cat")
    assert doc[0]._.visual_attention
    assert n_lookups == [1]
    set_token_values(doc, "voken", [None, None, "cat"])
    (plain,), (asked,) = (
        setattr(ner, "set_attention", wanted) or ner.predict([doc]) for wanted in (False, True)
    )
    assert plain.attention is None
    assert asked.attention.shape == (3, 3)
    np.testing.assert_allclose(plain.emissions, asked.emissions, atol=1e-5)
    np.testing.assert_allclose(plain.gates, asked.gates, atol=1e-5)


# `predict` and the probabilities of any spans


@pytest.fixture(scope="module")
def nlp(make_tagger: Make) -> Language:
    return make_tagger("GatedFusion", steps=20)


@pytest.fixture(scope="module")
def docs(nlp: Language) -> list[Doc]:
    """Documents of several lengths; one has no tokens."""
    return list(nlp.pipe(["anna in paris !", "", "we see a red cat in paris ."]))


@pytest.fixture(scope="module")
def ner(nlp: Language) -> VisualNer:
    return nlp.get_pipe("visual_ner")


@pytest.fixture(scope="module")
def tagged(ner: VisualNer, docs: list[Doc]) -> list[Tagged]:
    return ner.predict(docs)


def test_spans_are_those_that_the_component_writes(
    ner: VisualNer, docs: list[Doc], tagged: list[Tagged]
) -> None:
    found = [ner.spans_of(one) for one in tagged]
    assert any(found)
    assert found == [[(ent.start, ent.end, ent.label_) for ent in doc.ents] for doc in docs]
    assert [one.emissions.shape for one in tagged] == [(len(doc), 5) for doc in docs]


def test_spans_that_exclude_each_other_share_the_probability(
    ner: VisualNer, tagged: list[Tagged]
) -> None:
    rivals = [(0, 1, "PER"), (0, 1, "LOC"), (0, 2, "PER")]
    first, second, third = ner.span_probabilities(tagged, [rivals, [], rivals[:1]])
    assert ((first >= 0) & (first <= 1)).all()
    assert first.sum() <= 1 + 1e-9
    assert (second.shape, third.shape) == ((0,), (1,))


def test_a_higher_temperature_is_less_sure(ner: VisualNer, tagged: list[Tagged]) -> None:
    found = [ner.spans_of(one) for one in tagged]
    cold, warm = (ner.span_probabilities(tagged, found, t) for t in (None, 3.0))
    assert all((b < a).all() for a, b in zip(cold, warm, strict=True))


@pytest.mark.parametrize(
    "wrong", [(0, 1, "FOOD"), (0, 99, "PER"), (1, 1, "PER"), (2, 1, "PER"), (-1, 1, "PER")]
)
def test_what_is_not_a_span_is_named(
    ner: VisualNer, tagged: list[Tagged], wrong: tuple[int, int, str]
) -> None:
    with pytest.raises(ValueError, match="not a span .*(one of the 4 words|LOC, PER)"):
        ner.span_probabilities(tagged, [[wrong], [], []])


def test_every_document_needs_a_list_of_spans(ner: VisualNer, tagged: list[Tagged]) -> None:
    with pytest.raises(ValueError, match="zip"):
        ner.span_probabilities(tagged, [])


# `set_entities`


NLP = spacy.blank(LANG)


def spans(doc: Doc) -> list[tuple[int, int, str]]:
    return [(ent.start, ent.end, ent.label_) for ent in doc.ents]


@st.composite
def entities(draw: st.DrawFn) -> tuple[Doc, list[Span]]:
    doc = Doc(NLP.vocab, words=["w"] * draw(st.integers(0, 12)))
    bounds = sorted(draw(st.sets(st.integers(0, len(doc)), max_size=6)))
    pairs = list(pairwise(bounds))[:: draw(st.sampled_from([1, 2]))]
    labels = st.sampled_from(["LOC", "MISC", "PER"])
    return doc, [Span(doc, start, end, draw(labels)) for start, end in pairs]


@given(entities())
@settings(max_examples=100)
def test_entities_replace_those_that_were_there(drawn: tuple[Doc, list[Span]]) -> None:
    doc, found = drawn
    doc.set_ents([Span(doc, i, i + 1, label="OLD") for i in range(len(doc))])
    set_entities(doc, found, overwrite=True)
    assert spans(doc) == [(e.start, e.end, e.label_) for e in found]


@given(entities(), st.data())
@settings(max_examples=100)
def test_what_was_there_stays_and_what_fits_is_added(
    drawn: tuple[Doc, list[Span]], data: st.DataObject
) -> None:
    doc, found = drawn
    states = data.draw(st.lists(st.sampled_from("EBMO"), min_size=len(doc), max_size=len(doc)))
    by_state = {s: [doc[i : i + 1] for i, state in enumerate(states) if state == s] for s in "EBM"}
    there = [Span(doc, span.start, span.end, label="OLD") for span in by_state["E"]]
    doc.set_ents(there, blocked=by_state["B"], missing=by_state["M"])
    fits = [e for e in found if not set("EB") & set(states[e.start : e.end])]
    for _ in range(2):
        set_entities(doc, found, overwrite=False)
        assert spans(doc) == sorted((e.start, e.end, e.label_) for e in (*there, *fits))
        assert [doc[s.start].ent_iob_ for s in by_state["B"]] == ["B"] * len(by_state["B"])
        assert doc.has_annotation("ENT_IOB", require_complete=True)


@pytest.mark.parametrize("kept", ["kb_id_", "ent_id_"])
def test_an_entity_that_stays_keeps_its_ids(kept: str) -> None:
    doc = Doc(NLP.vocab, words=["anna", "in", "paris"])
    doc.set_ents([Span(doc, 0, 1, label="PER", kb_id="Q1", span_id="Q1")])
    set_entities(doc, [Span(doc, 2, 3, label="LOC")], overwrite=False)
    assert [getattr(ent, kept) for ent in doc.ents] == ["Q1", ""]
    set_entities(doc, [Span(doc, 0, 3, label="ORG")], overwrite=True)
    assert [getattr(ent, kept) for ent in doc.ents] == [""], "and takes it along"
