from __future__ import annotations

import copy
import gc
import pickle
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span, Token
from spacy.vocab import Vocab

from spacy_vokens.attributes import (
    DOC_EXTENSIONS,
    GIVEN,
    SPAN_EXTENSIONS,
    TOKEN_EXTENSIONS,
    clear_values,
    find_index,
    get_token_values,
    install_extensions,
    set_token_values,
)
from spacy_vokens.images.pool import ImagePool
from tests.conftest import LANG

WORDS = ["we", "see", "a", "cat"]
VALUES = {
    "voken": ["a", None, "b", "ä/ö"],
    "voken_score": [0.5, None, -1.0, 0.0],
    "vokens": [[["a", 0.5], ["b", 0.25]], None, [["b", -1.0]], []],
    "visual_gate": [0.1, 0.0, 1.0, None],
    "visual_attention": [[["a", 0.5], [None, 0.5]], None, [["b", 1.0]], []],
}


def as_lists(value: object) -> object:
    """msgpack gives tuples where it was given lists."""
    return [as_lists(item) for item in value] if isinstance(value, (list, tuple)) else value


@pytest.fixture
def doc() -> Doc:
    return Doc(Vocab(), WORDS)


def test_all_values_are_none_at_first(doc: Doc) -> None:
    for name in TOKEN_EXTENSIONS:
        assert [getattr(token._, name) for token in doc] == [None] * 4
        assert get_token_values(doc, name) == [None] * 4
    for name in DOC_EXTENSIONS:
        assert getattr(doc._, name) is None
    for name in SPAN_EXTENSIONS:
        assert getattr(doc[1:3]._, name) is None
    assert doc.user_data == {}


def test_every_attribute_has_an_example() -> None:
    assert VALUES.keys() == set(TOKEN_EXTENSIONS)


@pytest.mark.parametrize("name", TOKEN_EXTENSIONS)
def test_the_fast_way_and_spacys_own_agree(doc: Doc, name: str) -> None:
    set_token_values(doc, name, VALUES[name])
    assert [getattr(token._, name) for token in doc] == VALUES[name]
    doc[1]._.set(name, VALUES[name][0])
    assert get_token_values(doc, name) == [VALUES[name][0], VALUES[name][0], *VALUES[name][2:]]


def test_attributes_do_not_touch_each_other_and_none_clears(doc: Doc) -> None:
    for name, values in VALUES.items():
        set_token_values(doc, name, values)
    set_token_values(doc, "voken", [None] * 4)
    assert get_token_values(doc, "voken") == [None] * 4
    assert [token._.voken for token in doc] == [None] * 4
    assert get_token_values(doc, "voken_score") == VALUES["voken_score"]


@pytest.mark.parametrize("n_values", [0, 3, 5])
def test_there_must_be_a_value_for_every_token(doc: Doc, n_values: int) -> None:
    with pytest.raises(ValueError, match="zip"):
        set_token_values(doc, "voken", ["a"] * n_values)


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1),
            st.booleans(),
            st.none() | st.text(),
        )
    )
)
def test_any_tokens_get_back_their_own_values(tokens: list[tuple[str, bool, str | None]]) -> None:
    words, spaces, values = map(list, zip(*tokens, strict=True)) if tokens else ([], [], [])
    doc = Doc(Vocab(), words, spaces)
    set_token_values(doc, "voken", values)
    assert get_token_values(doc, "voken") == values
    assert [token._.voken for token in doc] == values


def test_installing_again_changes_nothing(doc: Doc) -> None:
    set_token_values(doc, "voken", VALUES["voken"])
    before = {name: Token.get_extension(name) for name in TOKEN_EXTENSIONS}
    install_extensions()
    assert {name: Token.get_extension(name) for name in TOKEN_EXTENSIONS} == before
    assert get_token_values(doc, "voken") == VALUES["voken"]


@pytest.mark.parametrize(
    ("holder", "name", "settings"),
    [
        (Token, "voken", {"default": ""}),
        (Token, "visual_gate", {"getter": len}),
        (Doc, "voken_index", {"method": len}),
        (Span, "visual_confidence", {"default": None}),
    ],
)
def test_a_name_that_another_package_has_registered_is_refused(
    holder: type, name: str, settings: dict
) -> None:
    ours = holder.remove_extension(name)
    try:
        holder.set_extension(name, **settings)
        with pytest.raises(ValueError, match=rf"registered {holder.__name__}\._\.{name}"):
            install_extensions()
    finally:
        default, method, getter, setter = ours
        found = {"default": default, "method": method, "getter": getter, "setter": setter}
        kept = {key: value for key, value in found.items() if value is not None}
        holder.set_extension(name, force=True, **(kept or {"default": None}))
    install_extensions()


def test_a_confidence_knows_its_label(doc: Doc) -> None:
    doc.ents = [Span(doc, 0, 1, "PER"), Span(doc, 2, 4, "LOC")]
    for ent in doc.ents:
        ent._.visual_confidence = 0.75
    doc.ents = [Span(doc, 0, 1, "HOTEL"), Span(doc, 2, 4, "LOC")]
    assert [ent._.visual_confidence for ent in doc.ents] == [None, 0.75]
    # The value is still there for the entity that it is about.
    assert Span(doc, 0, 1, "PER")._.visual_confidence == 0.75
    part = doc[1:4].as_doc(copy_user_data=True)
    assert [ent._.visual_confidence for ent in part.ents] == [0.75]
    data = DocBin(store_user_data=True, docs=[doc]).to_bytes()
    (other,) = DocBin().from_bytes(data).get_docs(Vocab())
    assert [ent._.visual_confidence for ent in other.ents] == [None, 0.75]


@pytest.mark.parametrize("how", ["to_bytes", "DocBin", "n_process"])
def test_values_travel_with_the_document(how: str) -> None:
    nlp = spacy.blank(LANG)
    doc = Doc(nlp.vocab, WORDS)
    for name, values in VALUES.items():
        set_token_values(doc, name, values)
    doc._.visual_image_id, doc._.voken_index = "cat.1", "0123-4567"
    doc._.visual_raw_tags = ["O", "O", "I-PER", "O"]
    if how == "to_bytes":
        other = Doc(Vocab()).from_bytes(doc.to_bytes())
    elif how == "DocBin":
        data = DocBin(store_user_data=True, docs=[doc]).to_bytes()
        (other,) = DocBin().from_bytes(data).get_docs(Vocab())
    else:
        other, _ = nlp.pipe([doc, Doc(nlp.vocab)], n_process=2, batch_size=1)
    for name, values in VALUES.items():
        assert as_lists(get_token_values(other, name)) == values
    assert other._.visual_image_id == "cat.1"
    assert other._.voken_index == "0123-4567"
    assert as_lists(other._.visual_raw_tags) == ["O", "O", "I-PER", "O"]


def test_values_follow_their_tokens_when_others_are_merged(doc: Doc) -> None:
    set_token_values(doc, "voken", ["w", "s", "a", "c"])
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[1:3])
    assert [token.text for token in doc] == ["we", "see a", "cat"]
    assert get_token_values(doc, "voken") == ["w", "s", "c"]


def test_values_follow_their_tokens_when_one_is_split(doc: Doc) -> None:
    set_token_values(doc, "voken", ["w", "s", "a", "c"])
    with doc.retokenize() as retokenizer:
        retokenizer.split(doc[3], ["c", "at"], heads=[(doc[3], 1), doc[2]])
    assert get_token_values(doc, "voken") == ["w", "s", "a", "c", None]


def test_parts_and_wholes_keep_what_spacy_keeps(doc: Doc) -> None:
    """Values of tokens, where spaCy is asked for them; of documents, none."""
    set_token_values(doc, "voken", ["w", "s", "a", "c"])
    doc._.voken_index = "0123-4567"
    part = doc[1:3].as_doc(copy_user_data=True)
    assert get_token_values(part, "voken") == ["s", "a"]
    assert get_token_values(doc[1:3].as_doc(), "voken") == [None, None]
    with pytest.warns(UserWarning, match="W101"):
        whole = Doc.from_docs([doc, doc])
    assert get_token_values(whole, "voken") == ["w", "s", "a", "c"] * 2
    assert part._.voken_index is None
    assert whole._.voken_index is None


def test_values_are_cleared_by_name_and_nothing_else_is(doc: Doc) -> None:
    doc.user_data[1] = "somebody else's"
    doc.user_data["._."] = "and a text"
    for name, values in VALUES.items():
        set_token_values(doc, name, values)
    doc[0:1]._.visual_confidence = 0.25
    doc[1:3]._.visual_confidence = 0.5
    assert [span._.visual_confidence for span in (doc[0:1], doc[1:3], doc[0:3])] == [
        0.25,
        0.5,
        None,
    ]
    clear_values(doc, "visual_confidence", "visual_gate")
    assert [span._.visual_confidence for span in (doc[0:1], doc[1:3])] == [None, None]
    assert get_token_values(doc, "visual_gate") == [None] * 4
    assert get_token_values(doc, "voken") == VALUES["voken"]
    assert doc.user_data.pop(1) == "somebody else's"
    assert doc.user_data["._."] == "and a text"
    doc[0:3]._.visual_confidence = 0.75
    assert Doc(Vocab()).from_bytes(doc.to_bytes())[0:3]._.visual_confidence == 0.75


def test_a_spans_image_is_its_tokens_best(doc: Doc) -> None:
    set_token_values(doc, "voken", ["a", "b", None, "c"])
    set_token_values(doc, "voken_score", [0.25, 0.5, None, -1.0])
    spans = (doc[0:1], doc[0:3], doc[2:3], doc[2:4])
    assert [span._.voken for span in spans] == ["a", "b", None, "c"]
    assert [span._.voken_score for span in spans] == [0.25, 0.5, None, -1.0]
    # The picture that came with a document has no score.
    set_token_values(doc, "voken_score", [None] * 4)
    assert (doc[0:3]._.voken, doc[0:3]._.voken_score) == ("a", None)


class TestFindIndex:
    """Documents lead to the index that their vokens come from, wherever they have been."""

    def test_the_index_of_the_pipeline(self, vokenizer: Language) -> None:
        doc = vokenizer("a cat")
        index = vokenizer.get_pipe("voken_retriever").index
        assert find_index(doc) is index
        doc._.voken_index = str(replace(index.mark, exclude_own=True))
        assert find_index(doc) is index

    @pytest.mark.parametrize("mark", [None, GIVEN, "test", f"{'0' * 16}-{'0' * 16}"])
    def test_no_such_index(self, vokenizer: Language, mark: str | None) -> None:
        doc = vokenizer("a cat")
        doc._.voken_index = mark
        assert find_index(doc) is None
        other = Doc(Vocab())
        other._.voken_index = mark
        assert find_index(other) is None

    def test_documents_of_other_processes(self, vokenizer: Language) -> None:
        index = vokenizer.get_pipe("voken_retriever").index
        docs = list(vokenizer.pipe(["a cat", "a dog"], n_process=2, batch_size=1))
        assert [find_index(doc) for doc in docs] == [index, index]

    @pytest.mark.parametrize("how", ["bytes", "deepcopy", "pickle"])
    def test_copies_of_the_pipeline_lead_to_their_own(self, vokenizer: Language, how: str) -> None:
        doc = vokenizer("a cat")
        if how == "bytes":
            other = spacy.blank(LANG, config=vokenizer.config).from_bytes(vokenizer.to_bytes())
        elif how == "deepcopy":
            other = copy.deepcopy(vokenizer)
        else:
            other = pickle.loads(pickle.dumps(vokenizer))
        index = other.get_pipe("voken_retriever").index
        assert find_index(Doc(other.vocab).from_bytes(doc.to_bytes())) is index
        assert find_index(other("a cat")) is index
        assert find_index(doc) is vokenizer.get_pipe("voken_retriever").index

    def test_a_sourced_component(self, vokenizer: Language) -> None:
        other = spacy.blank(LANG)
        retriever = other.add_pipe("voken_retriever", source=vokenizer)
        doc = Doc(other.vocab).from_bytes(vokenizer("a cat").to_bytes())
        assert find_index(doc) is None
        assert find_index(other(doc)) is retriever.index, "it is left as it is, and known"
        assert find_index(other("a cat")) is retriever.index

    def test_two_retrievers(self, vokenizer: Language, make_pool: Callable[..., ImagePool]) -> None:
        first = vokenizer.get_pipe("voken_retriever")
        doc = vokenizer("a cat")
        other = copy.deepcopy(vokenizer)
        other.get_pipe("voken_retriever").set_pool(make_pool(("cow", "hen"), seed=3))
        second = vokenizer.add_pipe("voken_retriever", name="second", source=other)
        assert find_index(doc) is first.index
        assert find_index(vokenizer("a cat")) is second.index

    def test_a_replaced_index_is_forgotten(
        self, vokenizer: Language, make_pool: Callable[..., ImagePool]
    ) -> None:
        doc = vokenizer("a cat")
        retriever = vokenizer.get_pipe("voken_retriever")
        retriever.set_pool(make_pool(("cow", "hen"), seed=3))
        gc.collect()
        assert find_index(doc) is None
        assert find_index(vokenizer("a cat")) is retriever.index


def test_only_chosen_tokens_get_a_value() -> None:
    doc = Doc(Vocab(), words=["\n", "a", "b", "\n"])
    set_token_values(doc, "visual_gate", [0.1, 0.1, 0.1, 0.1])
    set_token_values(doc, "visual_gate", [0.25, 0.5], np.array([1, 2]))
    assert get_token_values(doc, "visual_gate") == [None, 0.25, 0.5, None]
