from __future__ import annotations

import re

import pytest
from spacy.tokens import Span

from spacy_vokens.corpus.docbin import save_docs
from tests.checks.made import make_clean, make_doc
from tests.cli.conftest import said
from tests.conftest import LANG


def save(splits, folder):
    for split in splits:
        save_docs(split.docs, folder / f"{split.name}.spacy")
    return folder


@pytest.fixture
def clean(pool, tmp_path):
    return save(make_clean(pool.id.short), tmp_path / "clean")


def test_a_clean_corpus_passes(vokens, clean, pool, text_encoder, tmp_path):
    page = tmp_path / "new" / "page.html"
    options = ("--text-encoder", text_encoder, "--lang", LANG, "--output", page)
    result = vokens("debug-data", clean, pool.path, *options)
    assert result.exit_code == 0, result.output
    assert said(result, "0 warnings, 0 failures")
    rows = [line.split() for line in result.output.splitlines()]
    assert ["train", "2", "0", "5", "2.5", "2.5", "3", "3", "2"] in rows
    assert ["PER", "1", "1", "1"] in rows
    assert said(result, "Every entity has word pieces, and none has more than 62")
    html = page.read_text(encoding="utf-8")
    assert "Corpus clean" in html
    assert "Checked with pool pool and text encoder" in html
    # Terminal and page say the same.
    for text in re.findall(r"</span><span>(.*?)</span>", html):
        assert said(result, text)
    assert [path.name for path in page.parent.iterdir()] == ["page.html"]


def test_warnings_leave_the_status_alone(vokens, clean, pool):
    save_docs([make_doc("a cow", "B-<script> O")], clean / "test.spacy")
    result = vokens("debug-data", clean, pool.path, "--output", clean / "page.html")
    assert result.exit_code == 0, result.output
    assert said(result, "1 label not in train")
    assert said(result, "2 warnings, 0 failures")
    html = (clean / "page.html").read_text(encoding="utf-8")
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_a_failure_is_status_1_and_the_page_written_all_the_same(
    vokens, clean, make_pool, tmp_path
):
    other = make_pool(seed=1)
    page = tmp_path / "page.html"
    result = vokens("debug-data", clean, other.path, "-o", page)
    assert result.exit_code == 1
    assert said(result, "train: 2 documents vokenized with another pool")
    assert said(result, "0 warnings, 3 failures")
    assert "3 failures" in page.read_text(encoding="utf-8")


def test_training_without_entities_is_status_1(vokens, tmp_path):
    save_docs([make_doc("a b")], tmp_path / "train.spacy")
    result = vokens("debug-data", tmp_path / "train.spacy")
    assert result.exit_code == 1
    assert said(result, "train has no entities")
    assert said(result, "--text-encoder FOLDER_OR_NAME")


def test_no_text_of_the_corpus_is_shown(vokens, tmp_path):
    docs = [make_doc("secretword is here", "I-PER O O", image_id="x") for _ in range(2)]
    docs[1].ents = [Span(docs[1], 1, 2, "LOC")]
    save_docs(docs, tmp_path / "train.spacy")
    save_docs(docs, tmp_path / "test.spacy")
    result = vokens("debug-data", tmp_path, "--output", tmp_path / "page.html")
    assert said(result, "with the tokens of one in train")
    assert "secretword" not in result.output
    assert "secretword" not in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_what_cannot_be_read_is_one_error(vokens, clean, pool, text_encoder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged.spacy").write_bytes(b"x")
    for arguments, reason in (
        ((tmp_path / "empty",), "Can't find the corpus"),
        ((tmp_path / "damaged.spacy",), "is not a .spacy corpus, or is damaged"),
        ((clean, tmp_path / "empty"), "is not an image pool"),
        ((clean, "--text-encoder", str(tmp_path / "empty")), "cannot be read"),
        ((clean, "--lang", "zz"), "Can't import language zz"),
    ):
        result = vokens("debug-data", *arguments)
        assert result.exit_code == 1
        assert said(result, "Could not check")
        assert said(result, reason)
        assert "Summary" not in result.output


def test_a_page_that_cannot_be_written_is_said(vokens, clean):
    result = vokens("debug-data", clean, "--output", clean / "train.spacy" / "page.html")
    assert result.exit_code == 1
    assert said(result, "Could not write")


def test_arguments_that_are_not_there_are_refused(vokens, clean, tmp_path):
    for arguments in ((tmp_path / "missing",), (clean, tmp_path / "missing")):
        result = vokens("debug-data", *arguments)
        assert result.exit_code == 2
