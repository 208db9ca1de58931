"""What spaCy's tests ask of every trainable component, asked of every public building block."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from spacy_vokens.attributes import get_token_values
from spacy_vokens.scoring.ner import bio_tags
from tests.conftest import IMAGES, LANG
from tests.test_registry import PUBLIC, TOK2VEC

FUSIONS = sorted(PUBLIC["spacy_voken_fusions"])
WORD_LOSS = "spacy-vokens.WordPositives.v1"
LOSSES = sorted(PUBLIC["spacy_voken_losses"])
GOLD = {"anna in paris !": ["B-PER", "O", "B-LOC", "O"], "the red dog": ["O", "O", "O"]}
TEXTS = [*GOLD, "", "Hi", *(f"a {image} !" for image in IMAGES)]
Make = Callable[..., Language]


@pytest.fixture(scope="module", params=[*FUSIONS, *LOSSES, "tagger's tok2vec", "matcher's tok2vec"])
def nlp(
    request: pytest.FixtureRequest,
    make_tagger: Make,
    make_vokenizer: Make,
    retriever_config: dict,
    word_retriever_config: dict,
    tagged_examples: Callable[[Language], list[Example]],
) -> Language:
    """A pipeline with one of the public layers or losses, or with a tok2vec of spaCy's inside."""
    model = retriever_config["model"]
    if request.param in FUSIONS:
        return make_tagger(request.param, steps=60)
    if request.param == WORD_LOSS:
        return make_vokenizer(steps=60, **word_retriever_config)
    if request.param in LOSSES:
        return make_vokenizer(steps=60, model=model | {"loss": {"@voken_losses": request.param}})
    if request.param == "matcher's tok2vec":
        return make_vokenizer(steps=60, model=model | {"tok2vec": TOK2VEC})
    nlp = spacy.blank(LANG)
    no_fusion = {"@voken_fusions": "spacy-vokens.NoFusion.v1"}
    nlp.add_pipe("visual_ner", config={"model": {"tok2vec": TOK2VEC, "fusion": no_fusion}})
    examples = tagged_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 0.02
    for _ in range(60):
        nlp.update(examples, sgd=optimizer)
    return nlp


def found(doc: Doc) -> tuple[list[str], list[Any]]:
    return bio_tags(doc), get_token_values(doc, "voken")


def promises(config: Any) -> Iterator[str]:
    """The registered names in a config."""
    if isinstance(config, dict):
        for key, value in config.items():
            yield from [value] if key.startswith("@") else promises(value)


def test_every_public_architecture_is_among_them(
    retriever_config: dict, word_retriever_config: dict, make_tagger: Make
) -> None:
    nlp = make_tagger()
    nlp.add_pipe("voken_retriever", config=retriever_config)
    nlp.add_pipe("voken_retriever", "by_pieces", config=word_retriever_config)
    vectors = {"words": {"@architectures": "spacy-vokens.VocabVectors.v1"}}
    by_vectors = {"model": word_retriever_config["model"] | vectors}
    nlp.add_pipe("voken_retriever", "by_vectors", config=by_vectors)
    assert {*promises(nlp.config["components"])} >= PUBLIC["spacy_architectures"]


def test_not_initialized(nlp: Language) -> None:
    blank = spacy.blank(LANG, config=nlp.config)
    pipe = blank.get_pipe(blank.pipe_names[-1])
    with pytest.raises(ValueError, match="E109|has no index"):
        pipe(blank.make_doc("anna"))


def test_overfits(nlp: Language) -> None:
    if "visual_ner" in nlp.pipe_names:
        assert {text: bio_tags(nlp(text)) for text in GOLD} == GOLD
        assert nlp.pipe_labels["visual_ner"] == ["LOC", "PER"]
    else:
        assert [nlp(f"a {image} !")[1]._.voken for image in IMAGES] == list(IMAGES)
        assert nlp.pipe_labels == {"voken_retriever": []}


def test_reloads(nlp: Language, tmp_path: Path) -> None:
    expected = [found(nlp(text)) for text in TEXTS]
    nlp.to_disk(tmp_path)
    for other in (
        spacy.load(tmp_path),
        spacy.blank(LANG, config=nlp.config).from_bytes(nlp.to_bytes()),
    ):
        assert [found(doc) for doc in other.pipe(TEXTS)] == expected


@pytest.mark.parametrize("n_process", [1, 2])
def test_pipe_twice_equals_call(nlp: Language, n_process: int) -> None:
    expected = [found(nlp(text)) for text in TEXTS]
    for _ in range(2):
        docs = list(nlp.pipe(TEXTS, n_process=n_process, batch_size=4))
        assert [found(doc) for doc in docs] == expected


def test_documents_are_not_held(nlp: Language) -> None:
    gc.disable()
    try:
        doc = nlp(TEXTS[0])
        held = weakref.ref(doc)
        del doc
        assert held() is None
    finally:
        gc.enable()
