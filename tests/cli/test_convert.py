from __future__ import annotations

from functools import partial

import pytest
from spacy.vocab import Vocab

from spacy_vokens.corpus.docbin import load_docs
from tests.fixtures import TWEETS


@pytest.fixture
def run(vokens):
    return partial(vokens, "convert")


def _columns(output, first):
    (row,) = [line.split() for line in output.splitlines() if line.startswith(first)]
    return row


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"caf\xe9\tO\n", "line 1: byte 0xe9 after 3 characters is not UTF-8"),
        (b"", "has no sentences"),
        (b"a\tO\n\nIMGID:../1\nb\tO\n", "line 3: no image pool can hold this image"),
    ],
)
def test_malformed_files_are_one_clear_error(run, tweets, tmp_path, content, message):
    tweets.write_bytes(content)
    result = run(tweets, tmp_path / "a.spacy")
    assert result.exit_code == 1
    assert "Could not convert" in result.output
    assert message in _plain(result)
    assert list(tmp_path.iterdir()) == [tweets]


def test_a_conll_file_becomes_a_corpus(run, tweets, tmp_path):
    out = tmp_path / "corpus" / "train.spacy"
    result = run(tweets, out, "--rename", "OTHER=MISC")
    assert result.exit_code == 0, result.output
    assert "MISC" in result.output
    # docs, tokens, images, repaired tags, MISC, PER
    assert _columns(result.output, str(out))[1:] == ["2", "4", "2", "1", "1", "1"]
    assert list(out.parent.iterdir()) == [out]


def test_other_schemes_and_columns(run, tmp_path):
    lines = ["# text", "1\tAnna\tB-PER\tx", "2\tLee\tE-PER\tx", "3\tnaps\tO\tx"]
    (tmp_path / "a.txt").write_text("\n".join(lines), encoding="utf-8")
    out = tmp_path / "a.spacy"
    options = ("--word-column", 2, "--tag-column", 3, "--comment", "#")
    result = run(tmp_path / "a.txt", out, *options)
    assert result.exit_code == 0, result.output
    assert "The tags are IOBES. They were converted to BIO." in _plain(result)
    (doc,) = load_docs(out, Vocab())
    assert [(ent.text, ent.label_) for ent in doc.ents] == [("Anna Lee", "PER")]
    assert list(doc._.visual_raw_tags) == ["B-PER", "I-PER", "O"]
    result = run(tmp_path / "a.txt", out, *options, "--scheme", "iob1")
    assert result.exit_code == 1
    assert "'B-PER'" not in _plain(result)
    assert "'E-PER' is not a tag of IOB1, but of IOBES" in _plain(result)


def test_a_captions_table_becomes_a_corpus_for_every_split(run, captions_table, tmp_path):
    out = tmp_path / "pairs"
    result = run(captions_table, out)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == ["dev.spacy", "train.spacy"]
    assert _columns(result.output, str(out / "train.spacy"))[1:] == ["3", "7", "2", "0"]


def test_captions_are_limited_and_tokenized_in_their_language(run, captions_table, tmp_path):
    result = run(captions_table, tmp_path / "pairs", "--max-captions", 1, "--lang", "xx")
    assert result.exit_code == 0, result.output
    assert [d.text for d in load_docs(tmp_path / "pairs" / "train.spacy", Vocab())] == [
        "A dog.",
        "Two",
    ]


def test_the_format_can_be_said(run, captions_table, tmp_path):
    captions_table = captions_table.rename(tmp_path / "captions.data")
    assert "say what it is with --format" in _plain(run(captions_table, tmp_path / "pairs"))
    assert run(captions_table, tmp_path / "pairs", "--format", "captions").exit_code == 0


@pytest.mark.parametrize(
    ("source", "out", "options", "message"),
    [
        ("tweets.txt", "a.spacy", ["--rename", "OTHER"], "--rename expects OLD=NEW, found 'OTHER'"),
        ("tweets.txt", "a.spacy", ["--lang", "en"], "--lang and --max-captions are for captions"),
        ("captions.tsv", "pairs", ["--lang", "qq"], "Could not convert"),
        ("missing.tsv", "pairs", [], "does not exist"),
    ],
)
def test_errors_say_what_to_do_and_write_nothing(
    run, tweets, captions_table, tmp_path, monkeypatch, source, out, options, message
):
    monkeypatch.chdir(tmp_path)
    result = run(source, out, *options)
    assert result.exit_code != 0
    assert message in _plain(result)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["captions.tsv", "tweets.txt"]
    assert tweets.read_text(encoding="utf-8") == TWEETS


def _plain(result):
    """The output on one line, without the box that Typer draws around its errors."""
    return " ".join(result.output.replace("│", " ").split())
