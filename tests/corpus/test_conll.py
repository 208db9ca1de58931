from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_vokens.corpus.conll import IMAGE_ID_PREFIX, TaggedSentence, read_conll

words = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), min_size=1)
tokens = st.tuples(
    words.filter(lambda word: not word.startswith((IMAGE_ID_PREFIX, "-DOCSTART-", "\ufeff"))),
    st.sampled_from(["O", "B-PER", "I-PER", "B-SUB-TYPE"]),
)
sentences = st.builds(
    lambda pairs, image_id: TaggedSentence(*zip(*pairs, strict=True), image_id),
    st.lists(tokens, min_size=1, max_size=5),
    st.none() | st.from_regex(r"[0-9_A-Z]{1,8}", fullmatch=True),
)


def _write(path, text):
    path.write_bytes(text.encode())
    return path


@given(st.lists(sentences, min_size=1, max_size=4))
def test_sentences_are_read_as_written(tmp_path_factory, written):
    lines = []
    for sentence in written:
        lines += [f"{IMAGE_ID_PREFIX}{sentence.image_id}"] if sentence.image_id else []
        lines += [f"{w}\t{t}" for w, t in zip(sentence.words, sentence.tags, strict=True)]
        lines += [""]
    path = _write(tmp_path_factory.mktemp("conll") / "a.txt", "\n".join(lines))
    assert list(read_conll(path)) == written


def test_windows_files_space_separated_lines_and_missing_last_line_ends(tmp_path):
    path = _write(tmp_path / "a.txt", "\ufeffIMGID:7\r\nYork B-LOC\r\n\r\n\r\nhi O")
    assert list(read_conll(path)) == [
        TaggedSentence(("York",), ("B-LOC",), "7"),
        TaggedSentence(("hi",), ("O",), None),
    ]


def test_the_columns_of_conll_2003(tmp_path):
    text = "-DOCSTART- -X- -X- O\n\nEU NNP  B-NP B-ORG\nrejects VBZ B-VP O\n"
    assert list(read_conll(_write(tmp_path / "a.txt", text))) == [
        TaggedSentence(("EU", "rejects"), ("B-ORG", "O"))
    ]


def test_an_image_id_line_starts_a_sentence_of_its_own(tmp_path):
    path = _write(tmp_path / "a.txt", "IMGID:1\na\tO\nIMGID:2\n\ufe0f\tO\nb\tO\n")
    assert [(s.words, s.image_id) for s in read_conll(path)] == [
        (("a",), "1"),
        (("\ufe0f", "b"), "2"),
    ]


def test_types_are_renamed_and_ill_formed_tags_kept(tmp_path):
    path = _write(tmp_path / "a.txt", "a\tI-OTHER\nb\tB-PER\n")
    (sentence,) = read_conll(path, rename={"OTHER": "MISC"})
    assert sentence.tags == ("I-MISC", "B-PER")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tO\nword\n", "line 2: expected 'word<TAB>tag', found 'word'"),
        ("a\tO\n\tO\n", "line 2: expected 'word<TAB>tag'"),
        ("a O\n O\n", "line 2: expected 'word<TAB>tag'"),
        ("a\tE-PER\n", "line 1: expected the tag 'O', 'B-TYPE' or 'I-TYPE', found 'E-PER'"),
        ("a\tB-\n", "line 1: expected the tag"),
        ("IMGID:1\n\n", "has no sentences"),
        ("", "has no sentences"),
        ("IMGID:1\nIMGID:2\na\tO\n", "line 2: image '1', named above, has no words. Remove its"),
        ("IMGID:1\n\nIMGID:1\na\tO\n", "line 3: image '1', named above, has no words"),
        ("IMGID:../1\na\tO\n", "line 1: no image pool can hold this image: '../1' leads out"),
        ("IMGID:/etc/1.jpg\na\tO\n", "line 1: no image pool can hold this image: '/etc/1' leads"),
        (f"IMGID:{'x' * 300}\na\tO\n", "line 1: .* has 300 characters, more than 255"),
        ("IMGID:1\x07\na\tO\n", "line 1: .* holds control characters"),
        ("a O\nb\t\n", "line 2: expected 'word<TAB>tag'"),
        ("\u200b\n", "line 1: expected 'word<TAB>tag'"),
        ("a\to\n", "line 1: expected the tag"),
    ],
)
def test_errors_name_the_file_the_line_and_the_fix(tmp_path, text, message):
    path = _write(tmp_path / "a.txt", text)
    with pytest.raises(ValueError, match=message) as error:
        list(read_conll(path))
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("a\tO\n\nb\tO\n", [None, None]),
        ("IMGID:\na\tO\n", [None]),
        ("IMGID: 1 2.jpg \na\tO\n", ["1 2.jpg"]),
        ("IMGID:1\na\tO\n\nIMGID:1\nb\tO\n", ["1", "1"]),
        ("IMGID:1\n\na\tO\n\nb\tO\n", ["1", None]),
    ],
    ids=["none", "empty", "spaces", "the same", "the first only"],
)
def test_an_image_id_is_that_of_the_sentence_below(tmp_path, text, ids):
    sentences = list(read_conll(_write(tmp_path / "a.txt", text)))
    assert [sentence.image_id for sentence in sentences] == ids


def test_tabs_and_spaces_may_take_turns(tmp_path):
    path = _write(tmp_path / "a.txt", "New York\tB-LOC\na O\nb  X  O\nc\tX\tO\n")
    (sentence,) = read_conll(path)
    assert sentence.words == ("New York", "a", "b", "c")
    assert sentence.tags == ("B-LOC", "O", "O", "O")


@pytest.mark.parametrize("word", [*"\ufe0f\u200b\u200d\ufeff\u2060\u202e\xa0\x01\x85\u2028", "قطة"])
def test_invisible_and_right_to_left_words_are_words(tmp_path, word):
    path = _write(tmp_path / "a.txt", f"a\tO\n{word}\tB-X\nb\tO\n{word}\tI-X\n")
    (sentence,) = read_conll(path)
    assert sentence.words == ("a", word, "b", word)
