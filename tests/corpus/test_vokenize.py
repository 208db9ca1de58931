from __future__ import annotations

from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.vocab import Vocab

from spacy_vokens.attributes import get_token_values
from spacy_vokens.corpus.docbin import load_docs, save_docs
from spacy_vokens.corpus.vokenize import vokenize
from spacy_vokens.files import VokensError
from spacy_vokens.index import VokenIndex
from spacy_vokens.pipeline.search import ContextSearch
from spacy_vokens.scoring.ner import bio_tags
from tests.conftest import LANG


def vokens_of(path):
    return [get_token_values(doc, "voken") for doc in load_docs(path, Vocab())]


def test_other_annotations_stay(vokenizer, vokenizer_path, tmp_path):
    doc = Doc(
        vokenizer.vocab,
        words=["anna", "sees", "a", "cat"],
        lemmas=["anna", "see", "a", "cat"],
        pos=["PROPN", "VERB", "DET", "NOUN"],
        heads=[1, 1, 3, 1],
        deps=["nsubj", "ROOT", "det", "obj"],
    )
    doc.ents = [Span(doc, 0, 1, "PER", kb_id="Q1", span_id="x")]
    save_docs([doc], tmp_path / "in.spacy")
    vokenize(vokenizer_path, tmp_path / "in.spacy", tmp_path / "out.spacy")
    (found,) = load_docs(tmp_path / "out.spacy", Vocab())
    assert found[3]._.voken == "cat"
    assert found.to_json() == doc.to_json()
    assert (found.ents[0].kb_id_, found.ents[0].id_) == ("Q1", "x")


def test_adds_vokens_and_keeps_the_rest(vokenizer, vokenizer_path, tagged_corpus, tmp_path):
    output = tmp_path / "new" / "out.spacy"
    (written,) = vokenize(vokenizer_path, tagged_corpus, output)
    before, after = load_docs(tagged_corpus, Vocab()), load_docs(output, Vocab())
    for old, new in zip(before, after, strict=True):
        assert [token.text_with_ws for token in new] == [token.text_with_ws for token in old]
        assert bio_tags(new) == bio_tags(old)
        assert new._.visual_raw_tags == old._.visual_raw_tags
        assert new._.visual_image_id == old._.visual_image_id
        assert get_token_values(old, "voken") == [None] * len(old)
    assert after[0]._.visual_raw_tags == ("I-PER", "O", "O", "O", "O")
    assert after[0]._.visual_image_id == "17_06_1"
    retriever = vokenizer.get_pipe("voken_retriever")
    for new in after:
        expected = retriever(Doc(vokenizer.vocab, words=[token.text for token in new]))
        assert get_token_values(new, "voken") == get_token_values(expected, "voken")
        assert get_token_values(new, "voken_score") == pytest.approx(
            get_token_values(expected, "voken_score"), abs=1e-4
        )
        assert new._.voken_index == str(retriever.index.mark)
    assert after[0][3]._.voken == "cat"
    # All tokens but the exclamation mark have a voken. No document's image is in the index.
    distinct = {voken for row in vokens_of(output) for voken in row} - {None}
    assert (written.path, written.n_docs, written.n_tokens) == (output, 3, 8)
    assert (written.n_vokens, written.n_images) == (7, len(distinct))
    assert written.own_image is None
    assert written.seconds > 0


def test_a_folder_becomes_a_folder(vokenizer_path, tagged_corpus, tmp_path):
    folder = tmp_path / "corpora"
    for name in ("train.spacy", "more/test.spacy"):
        save_docs(load_docs(tagged_corpus, Vocab()), folder / name)
    written = vokenize(vokenizer_path, folder, tmp_path / "out")
    expected = [tmp_path / "out" / name for name in ("more/test.spacy", "train.spacy")]
    assert [one.path for one in written] == expected
    vokenize(vokenizer_path, tagged_corpus, tmp_path / "alone.spacy")
    for path in expected:
        assert vokens_of(path) == vokens_of(tmp_path / "alone.spacy")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"expected a \.spacy file, or a folder"):
        vokenize(vokenizer_path, tmp_path / "empty", tmp_path / "none")


def test_a_second_run_leaves_the_tower_alone(vokenizer_path, tagged_corpus, tmp_path, monkeypatch):
    first, second = tmp_path / "first.spacy", tmp_path / "second.spacy"
    vokenize(vokenizer_path, tagged_corpus, first)

    def refuse(*_):
        raise AssertionError("the text encoder ran")

    monkeypatch.setattr(ContextSearch, "_queries", refuse)
    vokenize(vokenizer_path, first, second)
    assert vokens_of(first) == vokens_of(second)
    with pytest.raises(AssertionError, match="the text encoder ran"):
        vokenize(vokenizer_path, tagged_corpus, second)


def test_vokens_of_another_index_are_replaced(vokenizer, vokenizer_path, tagged_corpus):
    (doc, *_) = load_docs(tagged_corpus, Vocab())
    doc[3]._.voken = "stale"
    doc._.voken_index = "another"
    save_docs([doc], tagged_corpus)
    vokenize(vokenizer_path, tagged_corpus, tagged_corpus)
    (doc,) = load_docs(tagged_corpus, Vocab())
    assert doc[3]._.voken == "cat"
    assert doc._.voken_index == str(vokenizer.get_pipe("voken_retriever").index.mark)


def test_an_empty_corpus(vokenizer_path, tagged_corpus, tmp_path):
    save_docs([], tagged_corpus)
    (written,) = vokenize(vokenizer_path, tagged_corpus, tmp_path / "out.spacy")
    assert (written.n_docs, written.n_tokens, written.n_vokens) == (0, 0, 0)
    assert load_docs(tmp_path / "out.spacy", Vocab()) == []


def test_models_and_files_that_cannot_be_used_are_named(
    vokenizer, vokenizer_path, tagged_corpus, tmp_path
):
    output = tmp_path / "out.spacy"
    vokenizer.to_disk(tmp_path / "unindexed")
    without_index = [Path(name).stem for name in VokenIndex.FILES]
    folder = tmp_path / "unindexed" / "voken_retriever"
    vokenizer.get_pipe("voken_retriever").to_disk(folder, exclude=without_index)
    spacy.blank(LANG).to_disk(tmp_path / "blank")
    with pytest.raises(ValueError, match="has no index"):
        vokenize(tmp_path / "unindexed", tagged_corpus, output)
    with pytest.raises(ValueError, match=r"has no voken_retriever \(its components: none\)"):
        vokenize(tmp_path / "blank", tagged_corpus, output)
    with pytest.raises(OSError, match="missing"):
        vokenize(tmp_path / "missing", tagged_corpus, output)
    with pytest.raises(VokensError, match=r"is one file\. Give a path that ends in \.spacy"):
        vokenize(vokenizer_path, tagged_corpus, tmp_path / "out")
    tagged_corpus.write_bytes(tagged_corpus.read_bytes()[:-20])
    with pytest.raises(VokensError, match=r"in\.spacy is not a \.spacy corpus, or is damaged"):
        vokenize(vokenizer_path, tagged_corpus, output)
    assert not output.exists()
    assert not (tmp_path / "out").exists()


def test_the_share_of_own_images(vokenizer_path, tagged_corpus, tmp_path):
    docs = [Doc(Vocab(), words=["a", "cat", "!"]) for _ in range(3)]
    for doc, image_id in zip(docs, ("cat", "dog", "elsewhere"), strict=True):
        doc._.visual_image_id = image_id
    save_docs(docs, tagged_corpus)
    (written,) = vokenize(vokenizer_path, tagged_corpus, tmp_path / "out.spacy")
    # The third document does not count, nor do exclamation marks, which have no voken.
    rows = zip(("cat", "dog"), vokens_of(tmp_path / "out.spacy"), strict=False)
    own = [voken == image_id for image_id, row in rows for voken in row[:2]]
    assert written.own_image == sum(own) / 4
    assert 0 < written.own_image < 1


def test_switching_exclude_own_replaces_the_vokens(vokenizer_path, tagged_corpus, tmp_path):
    """Both ways, on a corpus that carries the vokens of the other setting."""
    doc = Doc(Vocab(), words=["a", "cat", "!"])
    doc._.visual_image_id = "cat"
    save_docs([doc], tagged_corpus)
    settings = {"components": {"voken_retriever": {"exclude_own": True}}}
    others = tmp_path / "others"
    spacy.load(vokenizer_path, config=settings).to_disk(others)
    for model, has_own in ((vokenizer_path, True), (others, False), (vokenizer_path, True)):
        (written,) = vokenize(model, tagged_corpus, tagged_corpus)
        ((first, second, _),) = vokens_of(tagged_corpus)
        assert (second == "cat") is has_own
        assert first is not None
        assert (written.own_image > 0) is has_own
