"""Phrases that are grounded as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span

from spacy_vokens.attributes import get_phrases
from spacy_vokens.files import VokensError
from spacy_vokens.pipeline.voken_retriever import VokenRetriever
from spacy_vokens.visualize import render
from tests.fixtures import KIND_IMAGES

NAME = "voken_retriever"
WORDS = ["we", "see", "the", "red", "dog", "in", "the", "fish", "cat", "!"]


@pytest.fixture
def retriever(word_vokenizer: Language) -> VokenRetriever:
    retriever = word_vokenizer.get_pipe(NAME)
    retriever.phrases = ["ents"]
    return retriever


def made_doc(nlp: Language, *bounds: tuple[int, int]) -> Doc:
    ents = ["O"] * len(WORDS)
    for start, end in bounds:
        ents[start:end] = ["B-ANIMAL", *["I-ANIMAL"] * (end - start - 1)]
    return Doc(nlp.vocab, words=WORDS, ents=ents)


def phrases(doc: Doc) -> list[tuple[str, str | None]]:
    return [(span.text, span._.voken) for span in get_phrases(doc)]


def test_entities_are_grounded_as_one(word_vokenizer: Language, retriever: VokenRetriever) -> None:
    doc = word_vokenizer(made_doc(word_vokenizer, (7, 9), (2, 5)))
    assert [span.text for span in get_phrases(doc)] == ["the red dog", "fish cat"]
    for span in get_phrases(doc):
        ((voken, score),) = retriever.search(span, 1)
        assert span._.voken == voken
        assert span._.voken_score == pytest.approx(score, abs=1e-6)
    # A span of both words finds something other than the better of the two.
    assert doc[7:9]._.voken_score < max(token._.voken_score for token in doc[7:9])


def test_words_of_phrases_keep_their_vokens(
    word_vokenizer: Language, retriever: VokenRetriever
) -> None:
    doc = word_vokenizer(made_doc(word_vokenizer, (2, 5), (7, 9)))
    retriever.phrases = []
    plain = word_vokenizer(made_doc(word_vokenizer, (2, 5), (7, 9)))
    assert [token._.voken for token in doc] == [token._.voken for token in plain]
    assert get_phrases(plain) == []
    # Without a voken of its own, a span has that of its best token.
    best = max(plain[7:9], key=lambda token: token._.voken_score)
    assert (plain[7:9]._.voken, plain[7:9]._.voken_score) == (best._.voken, best._.voken_score)


def test_batches_do_not_count(word_vokenizer: Language, retriever: VokenRetriever) -> None:
    def docs() -> Iterator[Doc]:
        bounds = [[(2, 5)], [], [(0, 1), (3, 5), (7, 10)], [(7, 9)]]
        return (made_doc(word_vokenizer, *of_doc) for of_doc in bounds)

    alone = [phrases(retriever(doc)) for doc in docs()]
    assert [len(of_doc) for of_doc in alone] == [1, 0, 3, 1]
    for size in (2, 128):
        assert [phrases(doc) for doc in retriever.pipe(docs(), batch_size=size)] == alone


def test_settings_count(word_vokenizer: Language, retriever: VokenRetriever) -> None:
    doc = made_doc(word_vokenizer, (7, 9))
    doc._.visual_image_id = word_vokenizer(doc.copy())[7:9]._.voken
    retriever.exclude_own = True
    second = retriever.search(doc[7:9], 2)[1]
    assert word_vokenizer(doc.copy())[7:9]._.voken == second[0]
    retriever.top_k = 3
    assert word_vokenizer(doc.copy())[7:9]._.voken == second[0]
    retriever.threshold = second[1] + 0.01
    assert get_phrases(word_vokenizer(doc.copy())) == []
    retriever.threshold = None
    retriever.min_visualness = 1e9
    assert get_phrases(word_vokenizer(doc.copy())) == []


def test_a_phrase_of_skipped_words_has_no_voken(
    word_vokenizer: Language, retriever: VokenRetriever
) -> None:
    doc = word_vokenizer(made_doc(word_vokenizer, (9, 10), (7, 10)))
    assert [span.text for span in get_phrases(doc)] == ["fish cat !"]
    without = retriever.search(doc[7:9], 1)[0][1]
    assert doc[7:10]._.voken_score == pytest.approx(without, abs=1e-6)


def test_values_survive_storage(word_vokenizer: Language, retriever: VokenRetriever) -> None:
    doc = word_vokenizer(made_doc(word_vokenizer, (2, 5), (7, 9)))
    expected = phrases(doc)
    copied = [
        Doc(word_vokenizer.vocab).from_bytes(doc.to_bytes()),
        next(DocBin(docs=[doc], store_user_data=True).get_docs(word_vokenizer.vocab)),
        doc[2:].as_doc(copy_user_data=True),
        Doc.from_docs([doc]),
    ]
    assert [phrases(other) for other in copied] == [expected] * 4
    # They belong to the index: another search replaces them.
    retriever.overwrite, retriever.phrases = True, []
    assert get_phrases(word_vokenizer(doc)) == []


def test_a_phrase_that_is_no_longer_one_of_tokens_is_passed_over(
    word_vokenizer: Language, retriever: VokenRetriever
) -> None:
    doc = word_vokenizer(made_doc(word_vokenizer, (7, 9)))
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[6:8])
    assert get_phrases(doc) == []


def test_noun_chunks(make_word_vokenizer: Callable[..., Language]) -> None:
    nlp = make_word_vokenizer("en", phrases=["noun_chunks", "ents"], min_visualness="-inf")
    words = ["we", "see", "the", "red", "dog", "!"]
    doc = Doc(
        nlp.vocab,
        words=words,
        pos=["PRON", "VERB", "DET", "ADJ", "NOUN", "PUNCT"],
        heads=[1, 1, 4, 4, 1, 1],
        deps=["nsubj", "ROOT", "det", "amod", "dobj", "punct"],
        ents=["O", "O", "O", "O", "B-ANIMAL", "O"],
    )
    doc = nlp(doc)
    assert [span.text for span in get_phrases(doc)] == ["we", "the red dog", "dog"]
    assert doc[2:5]._.voken in KIND_IMAGES


def test_an_empty_document_has_no_phrases(word_vokenizer: Language) -> None:
    retriever = word_vokenizer.get_pipe(NAME)
    retriever.phrases = ["ents"]
    assert get_phrases(word_vokenizer("")) == []


@pytest.mark.parametrize("kind", ["noun_chunks", "ents"])
def test_what_finds_the_phrases_must_come_before(word_vokenizer: Language, kind: str) -> None:
    word_vokenizer.get_pipe(NAME).phrases = [kind]
    with pytest.raises(VokensError, match="behind|no noun chunks"):
        word_vokenizer("the red dog")
    nlp = spacy.blank("en")
    with pytest.raises(VokensError, match="behind a"):
        word_vokenizer.get_pipe(NAME).predict([nlp.make_doc("the red dog")])


def test_unknown_phrases(make_word_vokenizer: Callable[..., Language]) -> None:
    with pytest.raises(VokensError, match="'noun_chunks' and 'ents', found 'verbs'"):
        make_word_vokenizer(phrases=["verbs"])


def test_the_setting_is_stored(
    make_word_vokenizer: Callable[..., Language], tmp_path: Path
) -> None:
    nlp = make_word_vokenizer(phrases=["ents"])
    nlp.to_disk(tmp_path)
    assert spacy.load(tmp_path).get_pipe(NAME).phrases == ["ents"]


def test_the_page_shows_phrases(word_vokenizer: Language, retriever: VokenRetriever) -> None:
    doc = word_vokenizer(made_doc(word_vokenizer, (2, 5)))
    html = render(doc, jupyter=False)
    shown = html.partition('aria-label="Phrases"')[2]
    assert "the red dog" in shown
    assert f"r {doc[2:5]._.voken_score:.2f}" in shown
    retriever.phrases = []
    assert "Phrases" not in render(word_vokenizer(made_doc(word_vokenizer, (2, 5))), jupyter=False)


def test_a_span_of_another_kind_does_not_take_a_phrase_image(
    word_vokenizer: Language, retriever: VokenRetriever
) -> None:
    """The label of a span does not count, but its bounds do."""
    doc = word_vokenizer(made_doc(word_vokenizer, (7, 9)))
    assert Span(doc, 7, 9, label="X")._.voken == doc[7:9]._.voken
    assert doc[8:9]._.voken == doc[8]._.voken
