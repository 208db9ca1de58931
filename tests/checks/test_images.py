from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from spacy.tokens import Doc

from spacy_vokens.attributes import GIVEN
from spacy_vokens.checks import images
from spacy_vokens.checks.images import check_files, check_images, check_vokens
from spacy_vokens.checks.splits import Split
from spacy_vokens.identity import EncoderId
from spacy_vokens.images.pool import ImagePool, ImageRecord, PoolContent
from tests.checks.made import VOCAB, find, make_clean, make_doc, texts

OTHER = "c" * 16


@pytest.fixture
def index(pool):
    """Id of an index of the pool."""
    return f"{pool.id.short}-{'b' * 16}"


def test_images_are_counted_and_looked_up_in_the_pool(pool):
    docs = [
        make_doc("a", image_id="cat"),
        make_doc("b", image_id="cat"),
        make_doc("c", image_id="cow"),
        make_doc("d"),
    ]
    assert texts(check_images([Split("train", docs)]).tables[0]) == [["train", "3", "1", "2"]]
    section = check_images([Split("train", docs)], pool)
    assert texts(section.tables[0]) == [["train", "3", "1", "2", "2", "1"]]
    (info,) = find(section, "info")
    assert info.startswith("The pool does not have the images of 1 document | cow.")
    assert len(find(check_images(make_clean(), pool), "good")) == 1
    assert check_images([Split("train", docs[3:])], pool).tables == ()


def test_vokens_are_counted_by_part(pool, index):
    docs = [
        make_doc("a b c", vokens=["cat", None, "cat"], index=index),
        make_doc("d", vokens=["dog"], index=index),
        Doc(VOCAB),
    ]
    section = check_vokens([Split("train", docs)], pool)
    vokens, indexes = section.tables
    assert texts(vokens) == [["train", "2", "4", "75.0%", "2", "0"]]
    assert vokens.rows[0][3].share == 0.75
    assert texts(indexes) == [[index, "2"]]
    assert [message.level for message in section.messages] == ["good"]
    without_pool = check_vokens([Split("train", docs)])
    assert texts(without_pool.tables[0]) == [["train", "2", "4", "75.0%", "2"]]
    assert not without_pool.messages


@pytest.mark.parametrize("kept", [True, False])
def test_vokens_that_the_pool_lacks_are_a_failure(pool, index, kept):
    # Of this pool's index by their own account, or of none.
    doc = make_doc("a b c", vokens=["cow", "cow", "cat"], index=index if kept else None)
    section = check_vokens([Split("dev", [doc])], pool)
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
    section = check_vokens([Split("test", docs)], pool)
    (failure,) = find(section, "fail")
    assert failure.startswith(
        f"test: 2 documents vokenized with another pool | {OTHER}; this pool is {pool.id.short}."
    )


def test_vokens_of_several_pools_are_a_failure_without_a_pool_too(index):
    splits = [
        Split("train", [make_doc("a", vokens=["cat"], index=index)]),
        Split("test", [make_doc("b", vokens=["cat"], index=f"{OTHER}-{'b' * 16}")]),
    ]
    (failure,) = find(check_vokens(splits), "fail")
    assert failure.startswith("The vokens come from 2 pools")
    assert not find(check_vokens(splits[:1]), "fail")


def test_vokens_of_two_indexes_of_one_pool_are_a_warning(pool, index):
    splits = [
        Split("train", [make_doc("a", vokens=["cat"], index=index)]),
        Split("test", [make_doc("b", vokens=["cat"], index=f"{index}-not-own")]),
    ]
    for section in (check_vokens(splits, pool), check_vokens(splits)):
        assert not find(section, "fail")
        (warning,) = find(section, "warn")
        assert warning.startswith("The vokens come from 2 indexes")
        assert texts(section.tables[1]) == [[index, "1", "0"], [f"{index}-not-own", "0", "1"]]


def test_given_images_may_be_in_no_pool(pool):
    doc = make_doc("a b", image_id="cow", vokens=["cow", "cow"], index=GIVEN)
    section = check_vokens([Split("train", [doc])], pool)
    assert not find(section, "fail")
    (warning,) = find(section, "warn")
    assert warning.startswith("train: 1 given image not in the pool | cow.")


def test_documents_and_parts_without_vokens_among_others_are_a_warning(index):
    vokenized = make_doc("a", vokens=["cat"], index=index)
    # An index that found nothing for its words has seen it all the same.
    unmatched = make_doc("a", vokens=[None], index=index)
    bare = make_doc("b")
    section = check_vokens([Split("train", [vokenized, unmatched, bare, Doc(VOCAB)])])
    (warning,) = find(section, "warn")
    assert warning.startswith("train: 1 of 3 documents without vokens")
    section = check_vokens([Split("train", [vokenized]), Split("test", [bare])])
    (warning,) = find(section, "warn")
    assert warning.startswith("No document of test has vokens")
    section = check_vokens([Split("train", [bare]), Split("test", [bare])])
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
        PoolContent(
            records, np.ones((len(NAMES), 2)), encoder=EncoderId("tiny", "1" * 64), image_root=root
        ),
    )


def test_files_are_opened_where_the_corpus_names_them(filed):
    (filed.image_root / "lost.png").unlink()
    (filed.image_root / "unused.png").unlink()
    Image.new("RGB", (9, 9)).save(filed.image_root / "swapped.png")
    docs = [
        make_doc("a b", image_id="good", vokens=["lost", None]),
        make_doc("c d e", image_id="in no pool", vokens=["bad", "swapped", "lost"]),
    ]
    section = check_files([Split("train", docs)], filed)
    assert texts(section.tables[0]) == [
        ["Named", "4"],
        ["Can be opened", "1"],
        ["Missing", "1"],
        ["Changed", "1"],
        ["Unreadable", "1"],
    ]
    missing, changed = find(section, "info")
    assert missing.startswith("1 image file missing | lost.")
    assert changed.startswith("1 image file changed | swapped.")
    (unreadable,) = find(section, "warn")
    assert unreadable.startswith("1 image file unreadable | bad.")
    assert not find(section, "fail")
    section = check_files([Split("train", docs[:1])], filed)
    assert texts(section.tables[0])[0] == ["Named", "2"]


def test_only_the_image_that_was_embedded_is_decoded(filed, monkeypatch):
    (filed.image_root / "lost.png").write_bytes(b"something else")
    decoded = []
    monkeypatch.setattr(images, "open_image", decoded.append)
    check_files([Split("train", [make_doc("a b", vokens=["good", "lost"])])], filed)
    assert decoded == [(filed.image_root / "good.png").read_bytes()]


def test_links_out_of_the_folder_are_not_followed(filed, tmp_path):
    file = filed.image_root / "good.png"
    file.rename(tmp_path / "outside.png")
    file.symlink_to(tmp_path / "outside.png")
    section = check_files([Split("train", [make_doc("a", vokens=["good"])])], filed)
    assert texts(section.tables[0])[-1] == ["Unreadable", "1"]


def test_a_pool_needs_no_files(filed):
    docs = [make_doc("a", vokens=["good"])]
    section = check_files([Split("train", docs)], filed)
    assert find(section, "good") == ["All images that the corpus names can be opened | "]
    filed.meta = replace(filed.meta, image_root="gone")
    section = check_files([Split("train", docs)], filed)
    assert [message.level for message in section.messages] == ["info"]
    assert section.tables == ()
    section = check_files([Split("train", [make_doc("a")])], filed)
    assert find(section, "info") == ["The corpus names no image of the pool | "]


def test_a_record_is_judged_by_its_own_hash(filed):
    filed.records = [replace(record, sha256="0" * 64) for record in filed.records]
    section = check_files([Split("train", [make_doc("a", vokens=["good"])])], filed)
    assert texts(section.tables[0])[3] == ["Changed", "1"]


def test_an_image_whose_name_differs_in_case_only_is_a_warning(pool):
    docs = [make_doc("a cat", image_id=image_id) for image_id in ("Cat", "cow")]
    (message,) = find(check_images([Split("train", docs)], pool), "warn")
    assert "'Cat' and 'cat' differ only in case" in message
    assert find(check_images([Split("train", docs[1:])], pool), "info")
