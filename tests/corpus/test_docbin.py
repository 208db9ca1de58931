from __future__ import annotations

import zlib

import numpy as np
import pytest
import srsly
from spacy.attrs import IDS
from spacy.strings import hash_string
from spacy.tokens import Doc, DocBin, Span
from spacy.vocab import Vocab

from spacy_vokens.attributes import get_token_values
from spacy_vokens.corpus import docbin
from spacy_vokens.corpus.docbin import load_docs, save_docs
from spacy_vokens.scoring.ner import bio_tags


def test_documents_come_back_whole(make_docs, tmp_path):
    docs = make_docs()
    save_docs(docs, tmp_path / "made" / "a.spacy")
    loaded = load_docs(str(tmp_path / "made" / "a.spacy"), Vocab())
    assert [doc.text_with_ws for doc in loaded] == [doc.text_with_ws for doc in docs]
    assert [[t.idx for t in doc] for doc in loaded] == [[t.idx for t in doc] for doc in docs]
    assert [bio_tags(doc) for doc in loaded] == [bio_tags(doc) for doc in docs]
    first = loaded[0]
    assert first._.visual_image_id == "17_06_1"
    assert first._.voken_index == "index"
    assert list(first._.visual_raw_tags) == docs[0]._.visual_raw_tags
    assert get_token_values(first, "voken") == ["a", "b", None, None, "c"]
    assert [list(entry) for entry in first[0]._.vokens] == [["a", 0.5]]


def test_all_annotations_come_back(tmp_path):
    """Also in a file with documents that do not have them."""
    vocab = Vocab()
    parsed = Doc(
        vocab,
        words=["Ann", "sleeps", ".", "Bob", "too"],
        spaces=[True, False, True, True, False],
        tags=["NNP", "VBZ", ".", "NNP", "RB"],
        pos=["PROPN", "VERB", "PUNCT", "PROPN", "ADV"],
        morphs=["Number=Sing", "", "", "Number=Sing", ""],
        lemmas=["Ann", "sleep", ".", "Bob", "too"],
        heads=[1, 1, 1, 3, 3],
        deps=["nsubj", "ROOT", "punct", "ROOT", "advmod"],
    )
    parsed.ents = [Span(parsed, 0, 1, "PER", kb_id="Q1", span_id="x"), Span(parsed, 3, 4, "PER")]
    parsed.cats, parsed.spans["names"] = {"news": 0.5}, [parsed[0:1]]
    split = Doc(vocab, words=["a", "b", "c"], sent_starts=[True, False, True])
    blocked = Doc(vocab, words=["a", "b"])
    blocked.set_ents([], blocked=[blocked[0:1]], default="missing")
    docs = [parsed, split, blocked, Doc(vocab, words=["a", "b"]), Doc(vocab)]
    for together in (docs, *([doc] for doc in docs)):
        save_docs(together, tmp_path / "a.spacy")
        loaded = load_docs(tmp_path / "a.spacy", Vocab())
        assert [doc.to_json() for doc in loaded] == [doc.to_json() for doc in together]
        for ours, theirs in zip(together, loaded, strict=True):
            assert [t.morph for t in ours] == [t.morph for t in theirs] or not len(ours)
            assert [(e.kb_id_, e.id_) for e in ours.ents] == [
                (e.kb_id_, e.id_) for e in theirs.ents
            ]
            for name in ("ENT_IOB", "SENT_START", "HEAD", "LEMMA"):
                assert ours.to_array(name).tolist() == theirs.to_array(name).tolist()
                assert ours.has_annotation(name) == theirs.has_annotation(name)


def test_documents_are_those_of_docbin(make_docs, tmp_path):
    """Files of spaCy's own, with spans and categories, are read as spaCy reads them."""
    docs = make_docs()
    docs[0].cats = {"news": 1.0}
    docs[0].spans["names"] = [docs[0][1:3]]
    for path, settings in ((tmp_path / "a.spacy", {}), (tmp_path / "b.spacy", {"attrs": ["TAG"]})):
        DocBin(docs=docs, store_user_data=not settings, **settings).to_disk(path)
        expected = DocBin().from_disk(path).get_docs(Vocab())
        for ours, theirs in zip(load_docs(path, Vocab()), expected, strict=True):
            assert ours.to_bytes() == theirs.to_bytes()


def test_a_folder_is_read_in_the_order_of_its_paths(make_docs, tmp_path):
    annotated, bare, _ = make_docs()
    save_docs([annotated], tmp_path / "b.spacy")
    save_docs([bare], tmp_path / "a" / "z.spacy")
    (tmp_path / "notes.txt").write_text("not a corpus")
    assert [doc.text for doc in load_docs(tmp_path, Vocab())] == [bare.text, annotated.text]


def test_a_failed_write_leaves_the_older_file_and_nothing_else(make_docs, tmp_path):
    path = tmp_path / "a.spacy"
    save_docs(make_docs(), path)
    before = path.read_bytes()

    def stop():
        yield from make_docs()
        raise RuntimeError("stopped half way")

    with pytest.raises(RuntimeError, match="half way"):
        save_docs(stop(), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_missing_and_damaged_files_are_named(make_docs, tmp_path):
    for missing in (tmp_path / "missing.spacy", tmp_path):
        with pytest.raises(FileNotFoundError, match="Can't find the corpus") as error:
            load_docs(missing, Vocab())
        assert str(missing) in str(error.value)
    path = tmp_path / "a.spacy"
    save_docs(make_docs(), path)
    for content in (b"a\tO\n", b"", path.read_bytes()[:-20]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"is not a \.spacy corpus, or is damaged") as damage:
            load_docs(path, Vocab())
        assert str(path) in str(damage.value)


def _hostile(path, rows, attributes=("ORTH",), **changes):
    """A DocBin of one document, with the rows as its tokens, and something changed."""
    message = {
        "version": "0.1",
        "attrs": [IDS[name] for name in attributes],
        "tokens": np.array(rows, dtype=np.uint64).tobytes(),
        "spaces": b"\1" * len(rows),
        "lengths": np.array([len(rows)], dtype=np.int32).tobytes(),
        "strings": ["a", "xx"],
        "cats": [{}],
        "flags": [{}],
        "span_groups": [b""],
    }
    path.write_bytes(zlib.compress(srsly.msgpack_dumps(message | changes)))
    return path


A, X = hash_string("a"), hash_string("xx")
ENTITY = ("ORTH", "ENT_IOB", "ENT_TYPE")


def _int32(*numbers):
    return np.array(numbers, dtype=np.int32).tobytes()


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        ([[12345]], {}, "E018"),
        ([[0]], {}, "E031"),
        ([[A, 99999]], {"attributes": ("ORTH", "HEAD")}, "E190"),
        ([[A, 2**64 - 99999]], {"attributes": ("ORTH", "HEAD")}, "E190"),
        ([[A, 77, X]], {"attributes": ENTITY}, "E982"),
        ([[A, 1, X], [A, 1, A]], {"attributes": ENTITY}, "the entities of document 1 are ill-"),
        ([[A, 3, 2**50]], {"attributes": ENTITY}, "its ENT_TYPE has a value without a string"),
        ([[A, 2**50]], {"attributes": ("ORTH", "TAG")}, "its TAG has a value without a string"),
        ([[A]] * 2, {"lengths": _int32(1)}, "do not hold the 1 tokens"),
        ([[A]] * 2, {"lengths": _int32(5)}, "do not hold the 5 tokens"),
        ([[A]] * 2, {"lengths": _int32(-1, 3)}, "do not hold the 2 tokens"),
        ([[A]] * 2, {"spaces": b"\1"}, "do not hold the 2 tokens"),
        ([[A]], {"attrs": []}, "do not hold the 1 tokens"),
        ([[A]], {"attrs": [2**62]}, "not in list"),
        ([[A]], {"cats": []}, "1 documents, but 0 'cats'"),
        ([[A]], {"flags": [5]}, "no attribute"),
        ([[A]], {"strings": 7}, "not iterable"),
        ([[A]], {"user_data": [srsly.msgpack_dumps([1])]}, "cannot convert|update"),
        ([[A]], {"user_data": [b"zz"]}, "extra data"),
    ],
)
def test_hostile_arrays_are_one_error_that_names_the_file(tmp_path, rows, changes, message):
    path = _hostile(tmp_path / "a.spacy", rows, **changes)
    with pytest.raises(ValueError, match=message) as error:
        load_docs(path, Vocab())
    assert str(error.value).startswith(f"{path} is not a .spacy corpus, or is damaged: ")


@pytest.mark.parametrize(
    ("name", "values"), [("HEAD", [1, 2**64 - 1]), ("SENT_START", [77, 2**64 - 3])]
)
def test_cyclic_heads_and_odd_sentence_starts_are_harmless(tmp_path, name, values):
    rows = [[A, value] for value in values]
    path = _hostile(tmp_path / "a.spacy", rows, attributes=("ORTH", name))
    (doc,) = load_docs(path, Vocab())
    assert [token.text for token in doc] == ["a", "a"]
    save_docs([doc], path)
    assert len(load_docs(path, Vocab())) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("visual_image_id", ["a"]),
        ("visual_image_id", 5),
        ("voken_index", 5),
        ("visual_raw_tags", "O"),
        ("visual_raw_tags", [5]),
        ("visual_raw_tags", ["E-PER"]),
        ("voken", 5),
        ("voken", ["a"]),
        ("voken_score", "high"),
        ("vokens", ["a", 0.5]),
        ("vokens", [["a", 0.5, 1]]),
        ("visual_gate", [0.5]),
    ],
)
def test_values_that_are_none_of_ours_are_named(tmp_path, name, value):
    docs = [Doc(Vocab(), words=["a"]), Doc(Vocab(), words=["b"])]
    holder = docs[1] if Doc.has_extension(name) else docs[1][0]
    holder._.set(name, value)
    save_docs(docs, tmp_path / "a.spacy")
    with pytest.raises(ValueError, match=rf"a\.spacy .*: document 2 has '{name}' with the value"):
        load_docs(tmp_path / "a.spacy", Vocab())


def test_other_peoples_user_data_are_left_alone(tmp_path):
    doc = Doc(Vocab(), words=["a"], user_data={"voken": 5, ("x", 1): [2]})
    save_docs([doc], tmp_path / "a.spacy")
    (loaded,) = load_docs(tmp_path / "a.spacy", Vocab())
    assert loaded.user_data == {"voken": 5, ("x", 1): (2,)}


def test_files_are_bounded_by_their_decompressed_size(tmp_path, monkeypatch):
    path = tmp_path / "a.spacy"
    save_docs([Doc(Vocab(), words=["a"] * 10_000)], path)
    size = len(zlib.decompress(path.read_bytes()))
    assert size > 100 * path.stat().st_size
    monkeypatch.setattr(docbin, "MAX_BYTES", size)
    monkeypatch.setattr(docbin, "CHUNK_BYTES", 1000)
    assert len(load_docs(path, Vocab())) == 1
    monkeypatch.setattr(docbin, "MAX_BYTES", size - 1)
    with pytest.raises(ValueError, match=r"a\.spacy .* larger than .* split it into several"):
        load_docs(path, Vocab())


def test_every_cut_and_every_flipped_bit_that_matters_is_noticed(make_docs, tmp_path):
    path = tmp_path / "a.spacy"
    save_docs(make_docs(), path)
    whole = path.read_bytes()
    flipped = [whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :] for at in range(len(whole))]
    # Not all are: some bits of the compression mean nothing.
    harmful = [content for content in flipped if not _says_the_same(content, whole)]
    assert len(harmful) > len(flipped) - 5
    for content in (*harmful, *(whole[:n] for n in range(0, len(whole), 7)), whole + b"x"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.spacy is not a \.spacy corpus, or is damaged"):
            load_docs(path, Vocab())


def _says_the_same(content, whole):
    try:
        return zlib.decompress(content) == zlib.decompress(whole)
    except zlib.error:
        return False


def test_files_without_permission_are_named(make_docs, tmp_path, as_ordinary_user):
    path = tmp_path / "a.spacy"
    save_docs(make_docs(), path)
    path.chmod(0)
    with as_ordinary_user(), pytest.raises(PermissionError, match=str(path)):
        load_docs(path, Vocab())


def test_a_folder_named_as_a_file_is_no_corpus(tmp_path):
    (tmp_path / "a.spacy").mkdir()
    with pytest.raises(FileNotFoundError, match="Can't find the corpus"):
        load_docs(tmp_path / "a.spacy", Vocab())
