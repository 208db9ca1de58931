from __future__ import annotations

import csv

import pandas
import pytest

from spacy_vokens.corpus.captions import (
    HEADER,
    Caption,
    read_captions,
    read_captions_by_image,
)

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


def test_quotes_that_are_not_csvs_are_plain_characters(tmp_path):
    path = _write(tmp_path / "a.tsv", TABLE + 'b.png\tdev\t"No" end\nb.png\tdev\t"open\n')
    assert [caption.text for caption in read_captions(path)][-2:] == ['"No" end', '"open']
    # Together they could be one field over two rows.
    path = _write(tmp_path / "a.tsv", TABLE + 'b.png\tdev\t"open\nb.png\tdev\tclose"\n')
    assert [caption.text for caption in read_captions(path)][-2:] == ['"open', 'close"']


TEXTS = ['"Stop"', 'say "stop" now', "a, b", "two\nlines", "plain", '"', "a\t b"]


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
def test_what_csv_and_pandas_write_is_read(tmp_path, name):
    path = tmp_path / name
    texts = [text for text in TEXTS if "\t" not in text or name == "a.csv"]
    rows = [(f"{i}.jpg", "train", text) for i, text in enumerate(texts)]
    separator = "," if name == "a.csv" else "\t"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=separator).writerows([HEADER, *rows])
    assert [caption.text for caption in read_captions(path)] == texts
    pandas.DataFrame(rows, columns=HEADER).to_csv(path, sep=separator, index=False)
    assert [caption.text for caption in read_captions(path)] == texts


def test_quotes_of_both_kinds_are_refused(tmp_path):
    path = _write(tmp_path / "a.tsv", TABLE + 'b\tdev\t"say ""stop"""\nb\tdev\t"No" end\n')
    with pytest.raises(ValueError, match="line 6: this field is quoted .*line 7"):
        list(read_captions(path))


def test_first_captions_of_every_image(tmp_path):
    path = _write(tmp_path / "a.tsv", TABLE)
    kept = read_captions(path, max_captions=1)
    assert [caption.text for caption in kept] == ["A dog .", "Two"]


def test_captions_by_image(tmp_path):
    path = _write(tmp_path / "a.tsv", TABLE + "a.png\tdev\tA fish\n")
    captions = {"a": ("A dog .", "A cat", "A fish"), "b": ("Two",)}
    assert read_captions_by_image(path) == captions
    path = _write(tmp_path / "a.csv", 'image,caption\nsub/a.jpg,"a, b"\n')
    assert read_captions_by_image(path) == {"sub/a": ("a, b",)}
    # A corpus is named after its split.
    with pytest.raises(ValueError, match="expected the header image,split,caption, found"):
        list(read_captions(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("caption\n", "line 1: expected .*image<TAB>split<TAB>caption or image<TAB>caption, found"),
        ("image\tcaption\na\ttrain\tb\n", "line 2: expected 'image<TAB>caption', found"),
        (TABLE + "a.jpg\ta\n", "line 6: expected 'image<TAB>split<TAB>caption', found"),
        ("image\tcaption\n../a\tb\n", "line 2: no image pool can hold this image"),
        ("image\tcaption\n", "has no captions"),
    ],
)
def test_errors_in_tables_for_pools(tmp_path, text, message):
    path = _write(tmp_path / "a.tsv", text)
    with pytest.raises(ValueError, match=message) as error:
        read_captions_by_image(path)
    assert str(path) in str(error.value)


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
