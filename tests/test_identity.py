from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_vokens.identity import check_id, describe_lookalike, hash_ids, image_id_of


@pytest.mark.parametrize(
    "id",
    [
        *("", " ", "/a", "..", "../a", "a/../../b", "a\\..\\b", "\\a", "C:a", "C:\\a", "//host/a"),
        *("a\0b", "a\nb", "a\x85b", "a\udc80b", "x" * 256, "x" * 1000),
    ],
)
def test_ids_that_are_refused(id: str) -> None:
    with pytest.raises(ValueError, match="is empty|leads out|control|more than 255"):
        check_id(id)


@pytest.mark.parametrize(
    "id",
    [
        *("con", "CON", "a/nul", "Aux/a", "com1", "LPT².tar", "prn .x", "conin$"),
        *("a.", "a ", "a./b", "a /b", ".", "./a", "a\\b", "ab:c", "a/b:c"),
    ],
)
def test_ids_that_would_name_something_else_on_windows(id: str) -> None:
    with pytest.raises(ValueError, match="would name something else on Windows"):
        check_id(id)


@pytest.mark.parametrize(
    "id",
    [
        *("a", "..a", "a..b", "a b", "1F469-200D", "é/ü", "👩‍🚀", "x" * 255),
        *("conx", "a.con", "com", "com10", "console/a", ".a", " a", "aux-1", "icon"),
    ],
)
def test_ids_that_are_accepted(id: str) -> None:
    check_id(id)


# Made of what leads somewhere, beside any text.
IDS_OF_ALL_KINDS = st.one_of(
    st.text(max_size=300),
    st.lists(
        st.sampled_from(["con", "Nul", "com3", "a", "B", ".", "..", "/", "\\", ":", " ", "\0", "é"])
    ).map("".join),
)


def is_id(id: str) -> bool:
    try:
        check_id(id)
    except ValueError:
        return False
    return True


@given(IDS_OF_ALL_KINDS)
def test_an_accepted_id_names_one_file_in_its_folder_everywhere(id: str) -> None:
    if not is_id(id):
        return
    assert len(id) <= 255
    root = Path("/images/of/mine")
    assert Path(root, id + ".jpg").resolve().is_relative_to(root)
    windows = PureWindowsPath(id)
    assert windows.parts == PurePosixPath(id).parts
    assert not windows.anchor
    assert not any(PureWindowsPath(part).is_reserved() for part in windows.parts)
    assert not any(part.endswith((".", " ")) or ":" in part for part in windows.parts)
    # So that the record of an image found under this id can be written, and read.
    assert is_id(id + ".jpg") or len(id) > 251


def test_hash_of_ids_knows_where_one_ends() -> None:
    assert hash_ids(["ab", "c"]) != hash_ids(["a", "bc"])


@given(stem=st.text(min_size=1), extension=st.sampled_from(["jpg", "JPEG", "Png", "webp"]))
def test_image_id_strips_one_extension(stem: str, extension: str) -> None:
    stem += "x"
    assert image_id_of(f"{stem}.{extension}") == stem


@pytest.mark.parametrize("name", ["16_05_01_113", "a.gif", "a.b", "jpg", "folder/.jpg", ""])
def test_image_id_keeps_the_rest(name: str) -> None:
    assert image_id_of(name) == name


@pytest.mark.parametrize(
    ("unknown", "known", "message"),
    [
        (["photo"], ["Photo"], " 'photo' and 'Photo' differ only in case"),
        (
            ["cafe\u0301"],
            ["caf\xe9"],
            r"'caf\xe9' differ only in their Unicode form",
        ),
        (["CAFE\u0301"], ["a", "caf\xe9"], "differ only in case"),
        (["dog", "CAT"], ["cat", "cow"], " 'CAT' and 'cat' differ only in case"),
        (["dog"], ["cat"], ""),
        ([], ["cat"], ""),
    ],
)
def test_a_lookalike_is_described(unknown: list[str], known: list[str], message: str) -> None:
    found = describe_lookalike(unknown, known)
    assert message in found
    assert bool(found) == bool(message)
