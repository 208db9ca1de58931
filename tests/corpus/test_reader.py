from __future__ import annotations

import pytest
import spacy
from spacy.util import registry

from spacy_vokens.attributes import get_token_values
from spacy_vokens.corpus.docbin import save_docs
from spacy_vokens.corpus.reader import Corpus, create_corpus
from tests.conftest import LANG


@pytest.fixture
def path(make_docs, tmp_path):
    save_docs(make_docs(), tmp_path / "a.spacy")
    return tmp_path / "a.spacy"


def test_predicted_documents_have_the_references_tokens_and_user_data(path):
    nlp = spacy.blank(LANG)
    examples = list(Corpus(path)(nlp))
    assert len(examples) == 2  # the empty document is left out
    for example in examples:
        predicted, reference = example.predicted, example.reference
        assert predicted.vocab is nlp.vocab
        assert [t.text_with_ws for t in predicted] == [t.text_with_ws for t in reference]
        assert [t.idx for t in predicted] == [t.idx for t in reference]
        assert predicted.user_data == reference.user_data
    predicted = examples[0].predicted
    assert predicted._.visual_image_id == "17_06_1"
    assert get_token_values(predicted, "voken") == ["a", "b", None, None, "c"]
    assert len(examples[0].reference.ents) == 2
    assert not predicted.ents
    assert not predicted.has_annotation("ENT_IOB")


def test_tokens_are_the_corpus_own_where_the_tokeniser_would_differ(path):
    nlp = spacy.blank(LANG)
    nlp.tokenizer.add_special_case("one.", [{"ORTH": "one."}])
    predicted = list(Corpus(path)(nlp))[1].predicted
    assert [t.text for t in predicted] == ["No", "one", "."]


def test_annotating_predicted_documents_changes_neither_references_nor_later_epochs(path):
    nlp = spacy.blank(LANG)
    corpus = Corpus(path)
    (example, _) = corpus(nlp)
    example.predicted[0]._.voken = "other"
    example.predicted._.visual_image_id = None
    example.predicted.set_ents([example.predicted.char_span(0, 2, label="X")])
    (again, _) = corpus(nlp)
    for doc in (example.reference, again.reference, again.predicted):
        assert doc[0]._.voken == "a"
        assert doc._.visual_image_id == "17_06_1"
        assert "X" not in {ent.label_ for ent in doc.ents}


def test_the_file_is_read_once_for_a_vocabulary(path):
    nlp = spacy.blank(LANG)
    corpus = Corpus(path)
    first = [example.reference for example in corpus(nlp)]
    path.unlink()
    second = [example.reference for example in corpus(nlp)]
    assert all(a is b for a, b in zip(first, second, strict=True))
    with pytest.raises(FileNotFoundError):
        list(corpus(spacy.blank(LANG)))


@pytest.mark.parametrize(("limit", "n_examples"), [(0, 2), (1, 1), (9, 2)])
def test_the_registered_reader_takes_a_config(path, limit, n_examples):
    registry.readers.register("tests.Corpus.v1", func=create_corpus)
    config = {"corpus": {"@readers": "tests.Corpus.v1", "path": str(path), "limit": limit}}
    corpus = registry.resolve(config)["corpus"]
    assert len(list(corpus(spacy.blank(LANG)))) == n_examples


def test_missing_corpora_are_clear_errors(tmp_path):
    with pytest.raises(ValueError, match="E913"):
        create_corpus(None)
    with pytest.raises(FileNotFoundError, match=r"missing\.spacy"):
        list(create_corpus(tmp_path / "missing.spacy")(spacy.blank(LANG)))
