from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
import spacy
import typer
from PIL import Image
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from typer.testing import CliRunner

from spacy_vokens.cli.visualize import visualize
from spacy_vokens.extensions import set_token_values
from spacy_vokens.pipeline import loading
from spacy_vokens.retrieval.picture import Picture

from .conftest import said

app = typer.Typer()
app.command()(visualize)


class WordRetriever:
    """Gives each word that has no voken its own text as voken."""

    def __call__(self, doc: Doc) -> Doc:
        set_token_values(doc, "voken", [token._.voken or token.text for token in doc])
        return doc

    def picture(self, voken: str) -> Picture:
        file = io.BytesIO()
        Image.new("RGB", (4, 4)).save(file, "WEBP")
        return Picture(voken, None, "", "Test pictures", "CC0-1.0", file.getvalue())


@Language.factory("test_word_retriever")
def make_word_retriever(nlp: Language, name: str) -> WordRetriever:
    return WordRetriever()


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(f"text{number}" for number in range(30)), encoding="utf-8")
    return path


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    nlp = spacy.blank("en")
    nlp.add_pipe("test_word_retriever")
    monkeypatch.setattr(loading, "find_retriever", lambda nlp: nlp.get_pipe("test_word_retriever"))
    nlp.to_disk(tmp_path / "model")
    return tmp_path / "model"


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def shown(page: Path) -> list[int]:
    html = page.read_text(encoding="utf-8")
    return [number for number in range(30) if f">text{number}<" in html]


def test_writes_a_page_of_the_first_texts(tmp_path, model, texts):
    output = tmp_path / "new" / "page.html"
    result = run(model, texts, "--output", output, "--title", "My <page>")
    assert result.exit_code == 0, result.output
    assert shown(output) == list(range(20))
    assert "My &lt;page&gt;" in output.read_text(encoding="utf-8")
    assert "Test pictures: CC0-1.0 (20 pictures)" in output.read_text(encoding="utf-8")
    assert "20 documents, 20 distinct vokens" in " ".join(result.output.split())
    assert [path.name for path in output.parent.iterdir()] == ["page.html"]


def test_draws_texts_by_seed(tmp_path, model, texts):
    pages = [tmp_path / name for name in ("a.html", "b.html", "c.html")]
    for page, seed in zip(pages, (1, 1, 2), strict=True):
        run(model, texts, "--output", page, "--limit", 5, "--sample-seed", seed)
    assert len(shown(pages[0])) == 5
    assert shown(pages[0]) == shown(pages[1]) != shown(pages[2])


def test_corpus_keeps_its_own_tokens_and_vokens(tmp_path, model):
    doc = Doc(spacy.blank("en").vocab, ["don't", "stop"])
    set_token_values(doc, "voken", ["given", None])
    DocBin(store_user_data=True, docs=[doc]).to_disk(tmp_path / "in.spacy")
    result = run(model, tmp_path / "in.spacy", "--output", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert ">don&#x27;t<" in html
    assert 'aria-label="picture given"' in html
    assert 'aria-label="picture stop"' in html


def test_pipeline_without_retriever_gives_a_page_without_pictures(tmp_path, texts):
    spacy.blank("en").to_disk(tmp_path / "plain")
    result = run(tmp_path / "plain", texts, "--output", tmp_path / "page.html", "--limit", 2)
    assert result.exit_code == 0, result.output
    assert " ".join(result.output.split()).count("retrieves no pictures") == 1
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert html.count("no picture") == 2
    assert "data:image" not in html


def test_unusable_file_is_refused_and_the_old_page_kept(tmp_path, model):
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "page.html").write_text("old")
    result = run(model, tmp_path / "empty.txt", "--output", tmp_path / "page.html")
    # As every other command does it.
    assert result.exit_code == 1
    assert "no document" in " ".join(result.output.replace("│", " ").split())
    assert (tmp_path / "page.html").read_text() == "old"


def test_missing_model_is_named(tmp_path):
    (tmp_path / "texts.txt").write_text("a cat\n")
    result = run("no_such_model", tmp_path / "texts.txt", "--output", tmp_path / "page.html")
    assert result.exit_code == 1
    assert "no_such_model" in result.output
    assert not (tmp_path / "page.html").exists()


def test_only_errors_and_flips(vokens, pipeline_path, tmp_path):
    """Of four sentences one is tagged other than the corpus says, and none without pictures."""
    nlp = spacy.load(pipeline_path)
    docs = [Doc(nlp.vocab, words=text.split()) for text in ("anna in paris", "the dog", "we see")]
    for doc, tags in zip(docs, (["B-PER", "O", "B-LOC"], ["O", "B-LOC"], ["O", "O"]), strict=True):
        doc.set_ents(list(Doc(nlp.vocab, words=[t.text for t in doc], ents=tags).ents))
    found = [[ent.label_ for ent in nlp(Doc(nlp.vocab, words=[t.text for t in d])).ents]
             for d in docs]  # fmt: skip
    wrong = [n for n, d in enumerate(docs) if found[n] != [ent.label_ for ent in d.ents]]
    assert 1 in wrong
    corpus, page = tmp_path / "in.spacy", tmp_path / "page.html"
    DocBin(store_user_data=True, docs=docs).to_disk(corpus)
    result = vokens("visualize", pipeline_path, corpus, "-o", page, "--only", "errors")
    assert result.exit_code == 0, result.output
    html = page.read_text(encoding="utf-8")
    assert html.count("<figure") == len(wrong)
    assert "missed" in html
    result = vokens(
        "visualize", pipeline_path, corpus, "-o", page, "--only", "flips", "--style", "ent"
    )
    assert result.exit_code == 0, result.output
    html = page.read_text(encoding="utf-8")
    assert html.count("without pictures:") == html.count("<figure")
    assert 'class="words"' not in html
    DocBin(store_user_data=True, docs=nlp.pipe(docs)).to_disk(corpus)
    result = vokens("visualize", pipeline_path, corpus, "-o", page, "--only", "errors")
    assert result.exit_code == 0, result.output
    assert said(result, "the page is empty")
    assert "<figure" not in page.read_text(encoding="utf-8")


def test_hovering_shows_the_best_pictures(vokens, pipeline_path, tmp_path):
    (tmp_path / "a.txt").write_text("a cat")
    for k in (1, 3):
        page = tmp_path / f"{k}.html"
        result = vokens("visualize", pipeline_path, tmp_path / "a.txt", "-o", page, "-k", k)
        assert result.exit_code == 0, result.output
        lists = re.findall(r'<div class="more"><ol>(.*?)</ol>', page.read_text(encoding="utf-8"))
        assert [html.count("<li>") for html in lists] == ([3, 3] if k == 3 else [])


@pytest.mark.parametrize("only", ["errors", "flips"])
def test_what_cannot_be_filtered_is_named(vokens, vokenizer_path, tmp_path, only):
    (tmp_path / "a.txt").write_text("a cat")
    result = vokens("visualize", vokenizer_path, tmp_path / "a.txt", "-o", tmp_path / "p.html",
                    "--only", only)  # fmt: skip
    assert result.exit_code == 1
    reason = {"errors": "no entities of their own", "flips": "no visual_ner to explain"}[only]
    assert said(result, reason)
