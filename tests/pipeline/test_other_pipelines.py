"""Our components in a pipeline of somebody else's, which has a transformer of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from transformers import BertConfig, BertModel, BertTokenizerFast

from spacy_vokens.attributes import get_token_values
from spacy_vokens.scoring.ner import bio_tags
from spacy_vokens.visualize.explain import explain, find_flips
from tests.conftest import LANG
from tests.fixtures import transformer_config

TEXT = "anna in paris ! we see a red cat ."
TAGS = ["B-PER", "O", "B-LOC", "O"]
TRANSFORMER = "spacy-transformers.TransformerListener.v1"
MEAN = {"@layers": "reduce_mean.v1"}
LISTENER = {"@architectures": "spacy.Tok2VecListener.v1", "width": 96}
Tagged = Callable[[Language], list[Example]]


@pytest.fixture(scope="module")
def vokener_path(
    make_tagger: Callable[..., Language],
    vokenizer_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Folder of a pipeline like `en_vokener`: retriever, transformer, tagger."""
    path = tmp_path_factory.mktemp("vokener") / "vokener"
    make_tagger("GatedFusion", steps=60, into=spacy.load(vokenizer_path)).to_disk(path)
    return path


@pytest.fixture
def vokener(vokener_path: Path) -> Language:
    return spacy.load(vokener_path)


def learn(nlp: Language, examples: list[Example], exclude: list[str], steps: int = 2) -> None:
    # spaCy moves what is listened to in the step after the listener's: one step shows nothing.
    optimizer = nlp.create_optimizer()
    optimizer.learn_rate = 0.01
    for _ in range(steps):
        nlp.update(examples, sgd=optimizer, exclude=exclude)


def their_examples(nlp: Language) -> list[Example]:
    words = ["anna", "in", "paris", "!", "we", "see", "a", "red", "cat", "."]
    tags = ["NNP", "IN", "NNP", ".", "PRP", "VB", "DT", "JJ", "NN", "."]
    ents = ["B-MAN", "O", "O", "O", "O", "O", "O", "O", "B-CAT", "O"]
    starts = [i in (0, 4) for i in range(len(words))]
    reference = Doc(nlp.vocab, words=words, tags=tags, ents=ents, sent_starts=starts)
    return [Example(Doc(nlp.vocab, words=words), reference)]


@pytest.fixture(scope="module")
def other_path(text_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a pipeline with a transformer and a tok2vec, a tagger, a senter and an ner."""
    nlp = spacy.blank(LANG)
    encoder = {"@architectures": "spacy-transformers.TransformerModel.v3"}
    nlp.add_pipe("transformer", config={"model": encoder | transformer_config(text_encoder)})
    listener = {"@architectures": TRANSFORMER, "pooling": MEAN}
    nlp.add_pipe("tagger", config={"model": {"tok2vec": listener}})
    nlp.add_pipe("tok2vec")
    nlp.add_pipe("senter", config={"model": {"tok2vec": LISTENER}})
    nlp.add_pipe("ner", config={"model": {"tok2vec": LISTENER}})
    examples = their_examples(nlp)
    nlp.initialize(lambda: examples)
    learn(nlp, examples, [], steps=25)
    path = tmp_path_factory.mktemp("other") / "other"
    nlp.to_disk(path)
    return path


@pytest.fixture
def other(other_path: Path) -> Language:
    return spacy.load(other_path)


def source_renamed(nlp: Language, vokener: Language) -> None:
    """The transformer under another name, right before its listener."""
    nlp.add_pipe("voken_retriever", source=vokener)
    nlp.add_pipe("transformer", name="voken_transformer", source=vokener)
    nlp.add_pipe("visual_ner", source=vokener)


def source_replaced(nlp: Language, vokener: Language) -> None:
    """The tagger with a transformer of its own, as the README says."""
    vokener.replace_listeners("transformer", "visual_ner", ["model.tok2vec"])
    nlp.add_pipe("voken_retriever", source=vokener)
    nlp.add_pipe("visual_ner", source=vokener)


WAYS = pytest.mark.parametrize("source", [source_renamed, source_replaced])


def of_theirs(doc: Doc) -> Iterator[object]:
    yield from ([token.tag_, token.is_sent_start] for token in doc)
    yield doc.tensor.tolist()


def of_ours(doc: Doc) -> Iterator[object]:
    yield bio_tags(doc)
    for name in ("voken", "voken_score", "visual_gate"):
        yield get_token_values(doc, name)


def weights(nlp: Language, names: list[str]) -> dict[str, bytes]:
    return {name: nlp.get_pipe(name).model.to_bytes() for name in names}


@WAYS
def test_nothing_of_theirs_changes_and_ours_works(
    other: Language, vokener: Language, source: Callable, tmp_path: Path
) -> None:
    expected, before = list(of_ours(vokener(TEXT))), list(of_theirs(other(TEXT)))
    assert expected[0][:4] == TAGS
    assert {tag for tag, _ in before[:-1]} > {"NNP", "VB"}
    names, stored = other.pipe_names, weights(other, other.pipe_names)
    configs = {name: other.config["components"][name] for name in names}
    source(other, vokener)
    assert other.pipe_names[: len(names)] == names
    assert weights(other, names) == stored
    assert {name: other.config["components"][name] for name in names} == configs
    assert not any(other.analyze_pipes()["problems"].values())
    other.to_disk(tmp_path)
    for nlp in (other, spacy.load(tmp_path)):
        (doc,) = nlp.pipe([TEXT])
        assert list(of_theirs(doc)) == before
        assert list(of_ours(doc)) == expected


def test_their_transformers_output_stays_where_the_listener_is_replaced(
    other: Language, vokener: Language
) -> None:
    before = other(TEXT)._.trf_data.model_output.last_hidden_state
    source_replaced(other, vokener)
    after = other(TEXT)._.trf_data.model_output.last_hidden_state
    np.testing.assert_array_equal(after, before)


def test_a_second_transformer_of_one_name_is_an_error(other: Language, vokener: Language) -> None:
    with pytest.raises(ValueError, match="E007.*'transformer' already exists"):
        other.add_pipe("transformer", source=vokener)


def test_either_side_learns_while_the_other_is_frozen(
    other: Language, vokener: Language, tagged_examples: Tagged
) -> None:
    theirs = other.pipe_names
    source_replaced(other, vokener)
    ours = ["voken_retriever", "visual_ner"]
    before = weights(other, other.pipe_names)
    learn(other, tagged_examples(other), exclude=[*theirs, "voken_retriever"])
    after = weights(other, other.pipe_names)
    assert {name for name in before if before[name] != after[name]} == {"visual_ner"}
    learn(other, their_examples(other), exclude=ours)
    last = weights(other, other.pipe_names)
    assert {name for name in after if after[name] != last[name]} == {*theirs}


def test_both_learn_in_one_step(
    other: Language, vokener: Language, tagged_examples: Tagged
) -> None:
    source_replaced(other, vokener)
    before = weights(other, other.pipe_names)
    examples = tagged_examples(other)
    for example in examples:
        for token in example.reference:
            token.tag_ = "NN"
    frozen = ["voken_retriever", "tok2vec", "senter", "ner"]
    learn(other, examples, exclude=frozen)
    after = weights(other, other.pipe_names)
    assert {name for name in after if before[name] != after[name]} == {*before} - {*frozen}


@pytest.mark.parametrize("upstream", ["*", "transformer"])
def test_a_renamed_transformer_is_heard_as_by_spacys_own_listeners(
    text_encoder: str, make_tagger: Callable[..., Language], upstream: str
) -> None:
    nlp = make_tagger("NoFusion", steps=60)
    listener = {"@architectures": TRANSFORMER, "pooling": MEAN, "upstream": upstream}
    nlp.add_pipe("tagger", config={"model": {"tok2vec": listener}}).add_label("NN")
    nlp.get_pipe("visual_ner").model.get_ref("tok2vec").layers[0].upstream_name = upstream
    nlp.rename_pipe("transformer", "encoder")
    heard_by = nlp.get_pipe("encoder").listener_map
    assert ("visual_ner" in heard_by) == ("tagger" in heard_by) == (upstream == "*")
    nlp.remove_pipe("tagger")
    assert bio_tags(nlp("anna in paris !")) == TAGS, "prediction reads the document"


def test_where_no_transformer_has_run_it_says_so(vokener: Language) -> None:
    with (
        vokener.select_pipes(disable="transformer"),
        pytest.raises(
            ValueError, match="visual_ner listens to .* have no output of one.*doc_cleaner"
        ),
    ):
        vokener(TEXT)
    with vokener.select_pipes(disable="transformer"):
        assert len(vokener("")) == 0


def test_it_listens_to_a_tok2vec_too(tagged_examples: Tagged) -> None:
    nlp = spacy.blank(LANG)
    nlp.add_pipe("tok2vec")
    no_fusion = {"@voken_fusions": "spacy-vokens.NoFusion.v1"}
    nlp.add_pipe("visual_ner", config={"model": {"tok2vec": LISTENER, "fusion": no_fusion}})
    examples = tagged_examples(nlp)
    nlp.initialize(lambda: examples)
    learn(nlp, examples, exclude=[], steps=40)
    doc = nlp("anna in paris !")
    assert bio_tags(doc) == TAGS
    assert len(explain(nlp, "anna in paris !").evidence) == 2
    assert find_flips(nlp, [doc]) == [([(0, 1, "PER"), (2, 3, "LOC")],) * 2]
    with (
        nlp.select_pipes(disable="tok2vec"),
        pytest.raises(
            ValueError, match="visual_ner listens to .* have no output of one.*doc_cleaner"
        ),
    ):
        nlp(TEXT)


def test_a_transformer_of_another_width_before_it_is_an_error(
    vokener: Language, text_encoder: str, tmp_path: Path
) -> None:
    wide = BertConfig.from_pretrained(text_encoder, hidden_size=32)
    BertModel(wide).save_pretrained(tmp_path)
    BertTokenizerFast.from_pretrained(text_encoder).save_pretrained(tmp_path)
    encoder = {"@architectures": "spacy-transformers.TransformerModel.v3"}
    vokener.add_pipe(
        "transformer",
        name="wide",
        config={"model": encoder | transformer_config(str(tmp_path))},
        before="visual_ner",
    )
    with vokener.select_pipes(enable="wide"):
        vokener.initialize()
    with pytest.raises(ValueError, match="word vectors of width 16, but gets vectors of width 32"):
        vokener(TEXT)


def test_somebody_elses_index_is_no_index_of_images(
    make_tagger: Callable[..., Language],
) -> None:
    class Linker:
        index = ("a table", "of theirs")

        def __call__(self, doc: Doc) -> Doc:
            return doc

    nlp = spacy.blank(LANG)
    Language.factory("tests_linker", func=lambda nlp, name: Linker())
    nlp.add_pipe("tests_linker")
    assert make_tagger("GatedFusion", into=nlp).get_pipe("visual_ner").images is not None


def test_a_renamed_tagger_is_the_same_tagger(vokener: Language, tmp_path: Path) -> None:
    expected = list(of_ours(vokener(TEXT)))
    vokener.rename_pipe("visual_ner", "names")
    vokener.rename_pipe("voken_retriever", "pictures")
    vokener.to_disk(tmp_path)
    other = spacy.load(tmp_path)
    assert other.pipe_names == ["pictures", "transformer", "names"]
    assert other.get_pipe("names").name == "names"
    assert "names" in vokener.config["initialize"]["components"]
    for nlp in (vokener, other):
        assert list(of_ours(nlp(TEXT))) == expected
