from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_vokens.corpus.conll import (
    IMAGE_ID_PREFIX,
    ConllOptions,
    TaggedSentence,
    find_scheme,
    to_bio,
)
from spacy_vokens.corpus.conll import read_conll as read_conll_files
from spacy_vokens.scoring.ner import strict_spans

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


def read_conll(path, **options):
    """Read one file. Its tags are as they are, unless a test is about their scheme."""
    return read_conll_files([path], ConllOptions(**{"scheme": "IOB2"} | options)).sentences[path]


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
        ("a\tX-PER\n", "line 1: expected the tag 'O', 'B-TYPE' or 'I-TYPE' .*, found 'X-PER'"),
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


# Entities of up to three words, in every scheme: neighbors of one type, and of two types.
entities = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from(["PER", "LOC"])), max_size=6
)


def written_in(scheme, spans, n_words):
    """Write spans as tags."""
    tags = ["O"] * n_words
    for start, end, label in spans:
        follows = start and tags[start - 1][2:] == label
        first = {"IOB2": "B", "IOB1": "B" if follows else "I", "IOBES": "B"}[scheme]
        prefixes = [first, *"I" * (end - start - 1)]
        if scheme == "IOBES":
            prefixes[-1] = "S" if end - start == 1 else "E"
        tags[start:end] = [f"{prefix}-{label}" for prefix in prefixes]
    return tags


@given(entities, st.sampled_from(["IOB2", "IOB1", "IOBES"]), st.integers(0, 2))
def test_all_schemes_tell_the_same_entities(written, scheme, rest):
    spans = []
    end = 0
    for gap, length, label in written:
        start, end = end + gap, end + gap + length
        spans.append((start, end, label))
    tags = written_in(scheme, spans, end + rest)
    assert strict_spans(to_bio(tags, scheme)) == spans
    if spans:
        assert find_scheme([tags]) == scheme


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["U-PER", "B-LOC", "L-LOC", "O"], ["B-PER", "B-LOC", "I-LOC", "O"]),
        (["B-PER", "M-PER", "E-PER", "S-PER"], ["B-PER", "I-PER", "I-PER", "B-PER"]),
        # Each E- ends an entity, also in a scheme that has no other mark.
        (["I-PER", "E-PER", "E-PER"], ["B-PER", "I-PER", "B-PER"]),
        # Ill-formed: a type that changes, and one that goes on after its end.
        (["B-PER", "E-LOC", "I-LOC"], ["B-PER", "B-LOC", "B-LOC"]),
    ],
)
def test_other_names_of_iobes(tags, expected):
    assert find_scheme([tags]) == "IOBES"
    assert to_bio(tags, "IOBES") == expected


def test_the_scheme_is_that_of_all_files_together(tmp_path):
    """In a small file, every entity may by chance begin with I-."""
    one = _write(tmp_path / "a.txt", "a\tB-PER\nb\tO\n")
    other = _write(tmp_path / "b.txt", "a\tI-PER\nb\tO\n")
    assert read_conll_files([other]).scheme == "IOB1"
    read = read_conll_files([one, other])
    assert read.scheme == "IOB2"
    assert read.sentences[other][0].tags == ("I-PER", "O")


def test_one_file_in_another_scheme_is_refused(tmp_path):
    one = _write(tmp_path / "a.txt", "a\tB-PER\nb\tO\n\n" * 30)
    other = _write(tmp_path / "b.txt", "a\tI-PER\nb\tO\n\n" * 10)
    with pytest.raises(ValueError, match="b.txt: 10 entities begin with I-, and 0 with B-, but"):
        read_conll_files([one, other])
    read = read_conll_files([one, other], ConllOptions(scheme="IOB2"))
    assert read.sentences[other][0].tags == ("I-PER", "O")
    assert read_conll_files([other]).scheme == "IOB1"


@pytest.mark.parametrize(
    "words",
    [
        ["01", "02", "03"],
        ["1.", "2.", "3."],
        ["1-1", "1-2", "1-3"],
        ["Sentence1", "Sentence1", "Sentence1"],
        ["4", "5", "6"],
        ["0", "1", "2"],
    ],
)
def test_most_sentences_are_numbers(tmp_path, words):
    sentence = "".join(f"{word}\tO\n" for word in words) + "\n"
    odd = "1\tO\n2\tO\n4\tO\n\n"
    with pytest.raises(ValueError, match="2 of 3 sentences, so this column counts"):
        read_conll_files([_write(tmp_path / "a.txt", sentence * 2 + odd)])


def test_numbers_and_repetitions_are_words_too(tmp_path):
    """Of texts such as counts and laughter."""
    texts = ["1 2 3 go", "ha ha ha", "1 2 3", "a b c", "10 10 10", "we saw 3", "1914 1918 1939"]
    sentences = "\n".join("".join(f"{w}\tO\n" for w in text.split()) for text in texts)
    assert len(read_conll(_write(tmp_path / "a.txt", sentences))) == len(texts)


def test_a_scheme_that_is_not_clear_is_asked_for(tmp_path):
    path = _write(tmp_path / "a.txt", "a\tI-PER\nb\tO\nc\tI-PER\nd\tO\ne\tB-LOC\n")
    with pytest.raises(ValueError, match="2 entities begin with I-, and 1 with B-.*--scheme IOB1"):
        read_conll_files([path])
    (sentence,) = read_conll(path, scheme="IOB1")
    assert sentence.tags == ("B-PER", "O", "B-PER", "O", "B-LOC")
    (sentence,) = read_conll(path, scheme="IOB2")
    assert sentence.tags == ("I-PER", "O", "I-PER", "O", "B-LOC")


GERMEVAL = "#\tnews.example\t[2005-02-26]\n1\tAnna\tB-PER\tO\n2\tin\tO\tO\n3\tUlm\tB-LOC\tO\n"


def test_columns_comments_and_headers(tmp_path):
    path = _write(tmp_path / "a.txt", GERMEVAL)
    with pytest.raises(ValueError, match="line 1: .*skip them with --comment '#'"):
        read_conll(path)
    with pytest.raises(ValueError, match="the words are 1, 2, 3, ….*--word-column.*--tag-column"):
        read_conll(path, comment="#")
    (sentence,) = read_conll(path, comment="#", word_column=2, tag_column=3)
    assert (sentence.words, sentence.tags) == (("Anna", "in", "Ulm"), ("B-PER", "O", "B-LOC"))
    with pytest.raises(ValueError, match="line 2: expected 6 columns"):
        read_conll(path, comment="#", word_column=5)
    with pytest.raises(ValueError, match="expected 5 columns"):
        read_conll(path, comment="#", word_column=4)
    path = _write(tmp_path / "a.txt", "Word\tTag\nAnna\tB-PER\n")
    with pytest.raises(ValueError, match="line 1: .*found 'Tag'.*skip it with --header"):
        read_conll(path)
    (sentence,) = read_conll(path, header=True)
    assert sentence.words == ("Anna",)


def test_numbers_may_be_words(tmp_path):
    path = _write(tmp_path / "a.txt", "1\tO\n2\tO\n3\tO\n\nAnna\tB-PER\nin\tO\nUlm\tO\n")
    assert len(read_conll(path)) == 2


@pytest.mark.parametrize("rename", [{"OTHER": "MISC"}, {"OTHER": "X", "MISC": "X"}])
def test_types_are_merged_only_if_told(tmp_path, rename):
    path = _write(tmp_path / "a.txt", "a\tB-OTHER\nb\tB-MISC\nc\tB-PER\n")
    with pytest.raises(ValueError, match="would make one type, .*, of MISC and OTHER.*--merge"):
        read_conll(path, rename=rename)
    (sentence,) = read_conll(path, rename=rename, merge=True)
    assert len(set(sentence.tags)) == 2
    # Types may change their names with each other.
    (sentence,) = read_conll(path, rename={"OTHER": "MISC", "MISC": "OTHER"})
    assert sentence.tags == ("B-MISC", "B-OTHER", "B-PER")


def test_a_type_that_does_not_occur_is_not_renamed_in_silence(tmp_path, caplog):
    path = _write(tmp_path / "a.txt", "a\tB-OTHER\n")
    read_conll(path, rename={"OTHR": "MISC"})
    (message,) = caplog.messages
    assert message.endswith("there is no entity type OTHR to rename. The types are OTHER.")
