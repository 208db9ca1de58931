from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from spacy.tokens import Doc

from spacy_vokens.corpus import debug_pictures
from spacy_vokens.corpus.debug_pictures import describe_files, describe_pictures, describe_vokens
from spacy_vokens.corpus.splits import Split
from spacy_vokens.extensions import GIVEN
from spacy_vokens.images.pool import ImagePool, ImageRecord

from .made import VOCAB, find, make_clean, make_doc, texts

OTHER = "c" * 16


@pytest.fixture
def index(pool):
    """Id of an index of the pool."""
    return f"{pool.hash[:16]}-{'b' * 16}"


def test_pictures_are_counted_and_looked_up_in_the_pool(pool):
    docs = [
        make_doc("a", image_id="cat"),
        make_doc("b", image_id="cat"),
        make_doc("c", image_id="cow"),
        make_doc("d"),
    ]
    assert texts(describe_pictures([Split("train", docs)]).tables[0]) == [["train", "3", "1", "2"]]
    section = describe_pictures([Split("train", docs)], pool)
    assert texts(section.tables[0]) == [["train", "3", "1", "2", "2", "1"]]
    (info,) = find(section, "info")
    assert info.startswith("The pool lacks the pictures of 1 document | cow.")
    assert len(find(describe_pictures(make_clean(), pool), "good")) == 1
    assert describe_pictures([Split("train", docs[3:])], pool).tables == ()


def test_vokens_are_counted_by_part(pool, index):
    docs = [
        make_doc("a b c", vokens=["cat", None, "cat"], index=index),
        make_doc("d", vokens=["dog"], index=index),
        Doc(VOCAB),
    ]
    section = describe_vokens([Split("train", docs)], pool)
    vokens, indexes = section.tables
    assert texts(vokens) == [["train", "2", "4", "75.0%", "2", "0"]]
    assert vokens.rows[0][3].share == 0.75
    assert texts(indexes) == [[index, "2"]]
    assert [message.level for message in section.messages] == ["good"]
    without_pool = describe_vokens([Split("train", docs)])
    assert texts(without_pool.tables[0]) == [["train", "2", "4", "75.0%", "2"]]
    assert not without_pool.messages


@pytest.mark.parametrize("kept", [True, False])
def test_vokens_that_the_pool_lacks_are_a_failure(pool, index, kept):
    # Of this pool's index by their own account, or of none.
    doc = make_doc("a b c", vokens=["cow", "cow", "cat"], index=index if kept else None)
    section = describe_vokens([Split("dev", [doc])], pool)
    (failure,) = find(section, "fail")
    assert failure.startswith("dev: 1 voken not in the pool | cow, of 2 tokens.")
    assert texts(section.tables[0])[0][-1] == "2"
    assert not find(section, "good")


def test_vokens_of_another_pool_are_a_failure_whatever_their_ids(pool, index):
    docs = [
        make_doc("a", vokens=["cat"], index=index),
        make_doc("b", vokens=["cat"], index=f"{OTHER}-{'b' * 16}-not-own"),
        make_doc("c", vokens=[None], index=f"{OTHER}-{'b' * 16}"),
    ]
    section = describe_vokens([Split("test", docs)], pool)
    (failure,) = find(section, "fail")
    assert failure.startswith(
        f"test: 2 documents vokenized from another pool | {OTHER}; this pool is {pool.hash[:16]}."
    )


def test_vokens_of_several_pools_are_a_failure_without_a_pool_too(index):
    splits = [
        Split("train", [make_doc("a", vokens=["cat"], index=index)]),
        Split("test", [make_doc("b", vokens=["cat"], index=f"{OTHER}-{'b' * 16}")]),
    ]
    (failure,) = find(describe_vokens(splits), "fail")
    assert failure.startswith("The vokens come from 2 pools")
    assert not find(describe_vokens(splits[:1]), "fail")


def test_vokens_of_two_indexes_of_one_pool_are_a_warning(pool, index):
    splits = [
        Split("train", [make_doc("a", vokens=["cat"], index=index)]),
        Split("test", [make_doc("b", vokens=["cat"], index=f"{index}-not-own")]),
    ]
    for section in (describe_vokens(splits, pool), describe_vokens(splits)):
        assert not find(section, "fail")
        (warning,) = find(section, "warn")
        assert warning.startswith("The vokens come from 2 indexes")
        assert texts(section.tables[1]) == [[index, "1", "0"], [f"{index}-not-own", "0", "1"]]


def test_given_pictures_may_be_in_no_pool(pool):
    doc = make_doc("a b", image_id="cow", vokens=["cow", "cow"], index=GIVEN)
    section = describe_vokens([Split("train", [doc])], pool)
    assert not find(section, "fail")
    (warning,) = find(section, "warn")
    assert warning.startswith("train: 1 given picture not in the pool | cow.")


def test_documents_and_parts_without_vokens_among_others_are_a_warning(index):
    vokenized = make_doc("a", vokens=["cat"], index=index)
    # An index that found nothing for its words has seen it all the same.
    unmatched = make_doc("a", vokens=[None], index=index)
    bare = make_doc("b")
    section = describe_vokens([Split("train", [vokenized, unmatched, bare, Doc(VOCAB)])])
    (warning,) = find(section, "warn")
    assert warning.startswith("train: 1 of 3 documents without vokens")
    section = describe_vokens([Split("train", [vokenized]), Split("test", [bare])])
    (warning,) = find(section, "warn")
    assert warning.startswith("No document of test has vokens")
    section = describe_vokens([Split("train", [bare]), Split("test", [bare])])
    assert [message.level for message in section.messages] == ["info"]
    assert section.tables == ()


NAMES = ("bad", "good", "lost", "swapped", "unused")


@pytest.fixture
def filed(tmp_path):
    """A pool whose records hold the hashes of their files."""
    root = tmp_path / "pictures"
    root.mkdir()
    records = []
    for number, name in enumerate(NAMES):
        file = root / f"{name}.png"
        Image.new("RGB", (8, 8), (number, 0, 0)).save(file)
        if name == "bad":
            file.write_bytes(file.read_bytes()[:40])
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        records.append(ImageRecord(name, file.name, sha256, 8, 8))
    return ImagePool.write(
        tmp_path / "pool",
        records,
        np.ones((len(NAMES), 2)),
        encoder="tiny",
        weights_sha256="1" * 64,
        picture_root=root,
    )


def test_files_are_opened_where_the_corpus_names_them(filed):
    (filed.picture_root / "lost.png").unlink()
    (filed.picture_root / "unused.png").unlink()
    Image.new("RGB", (9, 9)).save(filed.picture_root / "swapped.png")
    docs = [
        make_doc("a b", image_id="good", vokens=["lost", None]),
        make_doc("c d e", image_id="in no pool", vokens=["bad", "swapped", "lost"]),
    ]
    section = describe_files([Split("train", docs)], filed)
    assert texts(section.tables[0]) == [
        ["Named", "4"],
        ["Can be opened", "1"],
        ["Missing", "1"],
        ["Changed", "1"],
        ["Unreadable", "1"],
    ]
    missing, changed = find(section, "info")
    assert missing.startswith("1 picture file missing | lost.")
    assert changed.startswith("1 picture file changed | swapped.")
    (unreadable,) = find(section, "warn")
    assert unreadable.startswith("1 picture file unreadable | bad.")
    assert not find(section, "fail")
    section = describe_files([Split("train", docs[:1])], filed)
    assert texts(section.tables[0])[0] == ["Named", "2"]


def test_only_the_picture_that_was_embedded_is_decoded(filed, monkeypatch):
    (filed.picture_root / "lost.png").write_bytes(b"something else")
    decoded = []
    monkeypatch.setattr(debug_pictures, "open_picture", decoded.append)
    describe_files([Split("train", [make_doc("a b", vokens=["good", "lost"])])], filed)
    assert decoded == [(filed.picture_root / "good.png").read_bytes()]


def test_links_out_of_the_folder_are_not_followed(filed, tmp_path):
    file = filed.picture_root / "good.png"
    file.rename(tmp_path / "outside.png")
    file.symlink_to(tmp_path / "outside.png")
    section = describe_files([Split("train", [make_doc("a", vokens=["good"])])], filed)
    assert texts(section.tables[0])[-1] == ["Unreadable", "1"]


def test_a_pool_needs_no_files_at_hand(filed):
    docs = [make_doc("a", vokens=["good"])]
    section = describe_files([Split("train", docs)], filed)
    assert find(section, "good") == ["All pictures that the corpus names can be opened | "]
    filed.meta = filed.meta | {"picture_root": "gone"}
    section = describe_files([Split("train", docs)], filed)
    assert [message.level for message in section.messages] == ["info"]
    assert section.tables == ()
    section = describe_files([Split("train", [make_doc("a")])], filed)
    assert find(section, "info") == ["The corpus names no picture of the pool | "]


def test_a_record_is_judged_by_its_own_hash(filed):
    filed.records = [replace(record, sha256="0" * 64) for record in filed.records]
    section = describe_files([Split("train", [make_doc("a", vokens=["good"])])], filed)
    assert texts(section.tables[0])[3] == ["Changed", "1"]
