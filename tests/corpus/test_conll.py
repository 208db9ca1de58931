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
        ("IMGID:1\n\n", "holds no sentence"),
    ],
)
def test_errors_name_the_file_the_line_and_the_fix(tmp_path, text, message):
    path = _write(tmp_path / "a.txt", text)
    with pytest.raises(ValueError, match=message) as error:
        list(read_conll(path))
    assert str(path) in str(error.value)
