from __future__ import annotations

import pytest

from spacy_vokens.corpus.captions import Caption, read_captions

TABLE = "image\tsplit\tcaption\na.jpg\ttrain\t A dog . \na.jpg\ttrain\tA cat\n\nb.png\tdev\tTwo\n"


def _write(path, text):
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("text", [TABLE, "\ufeff" + TABLE.replace("\n", "\r\n")])
def test_rows_are_read_in_order(tmp_path, text):
    assert list(read_captions(_write(tmp_path / "a.tsv", text))) == [
        Caption("a.jpg", "train", "A dog ."),
        Caption("a.jpg", "train", "A cat"),
        Caption("b.png", "dev", "Two"),
    ]


def test_quotes_are_plain_characters(tmp_path):
    path = _write(tmp_path / "a.tsv", TABLE + 'b.png\tdev\t"No" end\nb.png\tdev\t"open\n')
    assert [caption.text for caption in read_captions(path)][-2:] == ['"No" end', '"open']


def test_first_captions_of_every_image(tmp_path):
    path = _write(tmp_path / "a.tsv", TABLE)
    kept = read_captions(path, max_captions=1)
    assert [caption.text for caption in kept] == ["A dog .", "Two"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected the header image<TAB>split<TAB>caption, found ''"),
        ("image,split,caption\n", "line 1: expected the header"),
        ("caption\tsplit\timage\n", "line 1: expected the header"),
        (TABLE + "a.jpg\ttrain\n", "line 6: expected 'image<TAB>split<TAB>caption'"),
        (TABLE + "a.jpg\ttrain\ta\tb\n", "line 6: expected"),
        (TABLE + "a.jpg\ttrain\t \n", "line 6: expected"),
        (TABLE + "a.jpg\t../train\ta\n", "line 6: the split '../train' names an output file"),
        ("image\tsplit\tcaption\n\n", "has no captions"),
        (TABLE + "../a.jpg\ttrain\ta\n", "line 6: no image pool can hold this image"),
        (TABLE + f"a\t{'x' * 99}/\ta\n", "line 6: the split 'x{80}'… names an output file"),
    ],
)
def test_errors_name_the_file_the_line_and_the_fix(tmp_path, text, message):
    path = _write(tmp_path / "a.tsv", text)
    with pytest.raises(ValueError, match=message) as error:
        list(read_captions(path))
    assert str(path) in str(error.value)
