from __future__ import annotations

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin, Token
from spacy.vocab import Vocab

from spacy_vokens.extensions import (
    DOC_EXTENSIONS,
    SPAN_EXTENSIONS,
    TOKEN_EXTENSIONS,
    clear_values,
    get_token_values,
    install_extensions,
    set_confidence,
    set_token_values,
)

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
    for name in (*SPAN_EXTENSIONS, "voken", "voken_score"):
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


@pytest.mark.parametrize("how", ["to_bytes", "DocBin", "n_process"])
def test_values_travel_with_the_document(how: str) -> None:
    nlp = spacy.blank("en")
    doc = Doc(nlp.vocab, WORDS)
    for name, values in VALUES.items():
        set_token_values(doc, name, values)
    doc._.image_id, doc._.voken_index = "cat.1", "0123-4567"
    doc._.raw_tags = ["O", "O", "I-PER", "O"]
    if how == "to_bytes":
        other = Doc(Vocab()).from_bytes(doc.to_bytes())
    elif how == "DocBin":
        data = DocBin(store_user_data=True, docs=[doc]).to_bytes()
        (other,) = DocBin().from_bytes(data).get_docs(Vocab())
    else:
        other, _ = nlp.pipe([doc, Doc(nlp.vocab)], n_process=2, batch_size=1)
    for name, values in VALUES.items():
        assert as_lists(get_token_values(other, name)) == values
    assert other._.image_id == "cat.1"
    assert other._.voken_index == "0123-4567"
    assert as_lists(other._.raw_tags) == ["O", "O", "I-PER", "O"]


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
    set_confidence(doc[0:1], 0.25)
    set_confidence(doc[1:3], 0.5)
    assert [span._.confidence for span in (doc[0:1], doc[1:3], doc[0:3])] == [0.25, 0.5, None]
    clear_values(doc, "confidence", "visual_gate")
    assert [span._.confidence for span in (doc[0:1], doc[1:3])] == [None, None]
    assert get_token_values(doc, "visual_gate") == [None] * 4
    assert get_token_values(doc, "voken") == VALUES["voken"]
    assert doc.user_data.pop(1) == "somebody else's"
    assert doc.user_data["._."] == "and a text"
    doc[0:3]._.confidence = 0.75
    assert Doc(Vocab()).from_bytes(doc.to_bytes())[0:3]._.confidence == 0.75


def test_a_spans_picture_is_its_tokens_best(doc: Doc) -> None:
    set_token_values(doc, "voken", ["a", "b", None, "c"])
    set_token_values(doc, "voken_score", [0.25, 0.5, None, -1.0])
    spans = (doc[0:1], doc[0:3], doc[2:3], doc[2:4])
    assert [span._.voken for span in spans] == ["a", "b", None, "c"]
    assert [span._.voken_score for span in spans] == [0.25, 0.5, None, -1.0]
    # The picture that came with a document has no score.
    set_token_values(doc, "voken_score", [None] * 4)
    assert (doc[0:3]._.voken, doc[0:3]._.voken_score) == ("a", None)
