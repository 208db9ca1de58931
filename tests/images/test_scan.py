from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_vokens.identity import check_id
from spacy_vokens.images.scan import scan_images


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return (tmp_path / "root").resolve()


def reasons(root: Path) -> dict[str, str]:
    _, rejects, _ = scan_images(root)
    return {reject.path: reject.reason for reject in rejects}


def test_what_is_found(root: Path) -> None:
    (root / "sub/.hidden").mkdir(parents=True)
    for name in ("b.jpg", "sub/a.PNG", "sub/.c.png", "sub/.hidden/d.png", "notes.txt", ".jpg"):
        (root / name).write_bytes(b"12345")
    os.utime(root / "b.jpg", ns=(7_000_000_000, 7_000_000_000))
    found, rejects, n_other = scan_images(root)
    assert [(item.id, item.path, item.size) for item in found] == [
        ("b", "b.jpg", 5),
        ("sub/a", "sub/a.PNG", 5),
    ]
    assert found[0].modified_ns == 7_000_000_000
    assert (rejects, n_other) == ([], 1)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a.jpg", "a.png"),
        ("A.jpg", "a.jpg"),
        ("A/x.jpg", "a/x.jpg"),
        ("e\u0301.jpg", "\u00e9.jpg"),
        ("E\u0301.jpg", "\u00e9.jpg"),
        ("STRASSE.png", "stra\u00dfe.png"),
        ("\u1fb3.jpg", "\u03b1\u03b9.jpg"),
    ],
)
def test_ids_that_are_one_file_elsewhere_collide(root: Path, first: str, second: str) -> None:
    for name in (first, second):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    found, rejects, _ = scan_images(root)
    if len(found) + len(rejects) == 1:
        pytest.skip("the file system takes the two names for one file already")
    # The first in the order of the scan is kept.
    kept, rejected = sorted((first, second))
    assert [item.path for item in found] == [kept]
    assert [reject.path for reject in rejects] == [rejected]
    assert f"that of {kept}" in rejects[0].reason
    assert "rename one of them" in rejects[0].reason


@pytest.mark.parametrize(
    "names", [("x2.jpg", "x².jpg"), ("a.jpg", "\u0430.jpg"), ("1.jpg", "①.jpg")]
)
def test_look_alikes_that_are_two_files_everywhere_are_kept(
    root: Path, names: tuple[str, str]
) -> None:
    for name in names:
        (root / name).touch()
    found, rejects, _ = scan_images(root)
    assert {item.path for item in found} == set(names)
    assert rejects == []


@pytest.mark.skipif(os.name != "posix", reason="Windows takes no such name")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("CON.jpg", "'CON' would name something else on Windows"),
        ("a..jpg", "'a.' would name something else on Windows"),
        ("a .jpg", "'a ' would name something else on Windows"),
        ("a:b.jpg", "'a:b' leads out of its folder"),
        ("ab:c.jpg", "'ab:c' would name something else on Windows"),
        ("a\\b.jpg", r"'a\\b' would name something else on Windows"),
        ("b\\..\\..\\a.jpg", r"'b\\..\\..\\a' leads out of its folder"),
        ("a\tb.jpg", r"'a\tb' holds control characters, or is not valid Unicode"),
        ("/".join(["x" * 99] * 3) + ".jpg", f"the id '{'x' * 20}'… has 299 characters"),
    ],
)
def test_names_that_cannot_be_ids(root: Path, name: str, reason: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).touch()
    assert reasons(root)[name].startswith(reason)


def test_a_name_that_is_not_unicode(root: Path) -> None:
    try:
        (root / os.fsdecode(b"a\xff.jpg")).touch()
    except OSError:
        pytest.skip("the file system takes no such name")
    (reason,) = reasons(root).items()
    assert reason == (
        r"a\udcff.jpg",
        r"'a\udcff' holds control characters, or is not valid Unicode",
    )


def test_links_that_lead_nowhere(root: Path) -> None:
    (root / "absent.jpg").symlink_to(root / "nothing")
    (root / "ring.jpg").symlink_to(root / "ring.jpg")
    found = reasons(root)
    assert found.keys() == {"absent.jpg", "ring.jpg"}
    assert all(reason.startswith("cannot be read: ") for reason in found.values())


def test_a_folder_without_permissions_ends_the_scan(unprivileged: None) -> None:
    with TemporaryDirectory() as folder:
        inner = Path(folder) / "closed"
        inner.mkdir()
        (inner / "a.jpg").touch()
        inner.chmod(0o000)
        try:
            with pytest.raises(ValueError, match="closed cannot be read: Permission denied"):
                scan_images(Path(folder).resolve())
            # A folder that may be listed, but whose files may not be asked for anything.
            inner.chmod(0o400)
            assert reasons(Path(folder).resolve()) == {
                "closed/a.jpg": "cannot be read: Permission denied"
            }
        finally:
            inner.chmod(0o700)


@settings(max_examples=60)
@given(
    st.sets(
        st.text(st.sampled_from("aAéÉe\u0301ßsſ.: \\\x01"), min_size=1, max_size=5).map(
            lambda stem: stem + ".jpg"
        ),
        max_size=8,
    )
)
def test_every_file_is_found_or_rejected_and_no_two_ids_are_one(names: set[str]) -> None:
    names = {name for name in names if not name.startswith(".")}
    with TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        for name in names:
            (root / name).touch()
        present = set(os.listdir(root))
        found, rejects, _ = scan_images(root)
    assert sorted([item.path for item in found] + [reject.path for reject in rejects]) == sorted(
        present
    )
    ids = [item.id for item in found]
    assert ids == sorted(ids)
    for id in ids:
        check_id(id)
    for form in ("NFC", "NFD"):
        for fold in (str.lower, str.upper, str.casefold):
            assert len({fold(normalize(form, id)) for id in ids}) == len(ids)
