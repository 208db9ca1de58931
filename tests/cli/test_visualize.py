from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
import spacy
from PIL import Image
from spacy.language import Language
from spacy.tokens import Doc, DocBin

from spacy_vokens.attributes import set_token_values
from spacy_vokens.index import VokenImage
from tests.cli.conftest import said
from tests.conftest import LANG


class WordRetriever:
    """Gives each word that has no voken its own text as voken."""

    def __call__(self, doc: Doc) -> Doc:
        set_token_values(doc, "voken", [token._.voken or token.text for token in doc])
        return doc

    records = ()

    @property
    def index(self) -> WordRetriever:
        return self

    def __contains__(self, voken: str) -> bool:
        return True

    def image(self, voken: str) -> VokenImage:
        file = io.BytesIO()
        Image.new("RGB", (4, 4)).save(file, "WEBP")
        return VokenImage(voken, None, "", "Test images", "CC0-1.0", file.getvalue())


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
    nlp = spacy.blank(LANG)
    nlp.add_pipe("test_word_retriever")
    find = "spacy_vokens.visualize.corpus_page.find_pipe"
    monkeypatch.setattr(find, lambda nlp, kind: nlp.get_pipe("test_word_retriever"))
    nlp.to_disk(tmp_path / "model")
    return tmp_path / "model"


def shown(page: Path) -> list[int]:
    html = page.read_text(encoding="utf-8")
    return [number for number in range(30) if f">text{number}<" in html]


def test_writes_a_page_of_the_first_texts(vokens, tmp_path, model, texts):
    output = tmp_path / "new" / "page.html"
    result = vokens("visualize", model, texts, output, "--title", "My <page>")
    assert result.exit_code == 0, result.output
    assert shown(output) == list(range(20))
    assert "My &lt;page&gt;" in output.read_text(encoding="utf-8")
    assert "Test images: CC0-1.0 (20 images)" in output.read_text(encoding="utf-8")
    assert "20 documents, 20 distinct vokens" in " ".join(result.output.split())
    assert [path.name for path in output.parent.iterdir()] == ["page.html"]


def test_draws_texts_by_seed(vokens, tmp_path, model, texts):
    pages = [tmp_path / name for name in ("a.html", "b.html", "c.html")]
    for page, seed in zip(pages, (1, 1, 2), strict=True):
        vokens("visualize", model, texts, page, "--limit", 5, "--sample-seed", seed)
    assert len(shown(pages[0])) == 5
    assert shown(pages[0]) == shown(pages[1]) != shown(pages[2])


def test_corpus_keeps_its_own_tokens_and_vokens(vokens, tmp_path, model):
    doc = Doc(spacy.blank(LANG).vocab, ["don't", "stop"])
    set_token_values(doc, "voken", ["given", None])
    DocBin(store_user_data=True, docs=[doc]).to_disk(tmp_path / "in.spacy")
    result = vokens("visualize", model, tmp_path / "in.spacy", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert ">don&#x27;t<" in html
    assert 'aria-label="image given"' in html
    assert 'aria-label="image stop"' in html


def test_pipeline_without_retriever_gives_a_page_without_images(vokens, tmp_path, texts):
    spacy.blank(LANG).to_disk(tmp_path / "plain")
    result = vokens("visualize", tmp_path / "plain", texts, tmp_path / "page.html", "--limit", 2)
    assert result.exit_code == 0, result.output
    assert " ".join(result.output.split()).count("retrieves no images") == 1
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert html.count("no image") == 2
    assert "data:image" not in html


def test_unusable_file_is_refused_and_the_old_page_kept(vokens, tmp_path, model):
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "page.html").write_text("old")
    result = vokens("visualize", model, tmp_path / "empty.txt", tmp_path / "page.html")
    assert result.exit_code == 1
    assert "no documents" in " ".join(result.output.replace("│", " ").split())
    assert (tmp_path / "page.html").read_text() == "old"


def test_missing_model_is_named(vokens, tmp_path):
    (tmp_path / "texts.txt").write_text("a cat\n")
    result = vokens("visualize", "no_such_model", tmp_path / "texts.txt", tmp_path / "page.html")
    assert result.exit_code == 1
    assert "no_such_model" in result.output
    assert not (tmp_path / "page.html").exists()


def test_only_errors_and_flips(vokens, pipeline_path, tmp_path):
    """One of the sentences is tagged differently from the corpus."""
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
    result = vokens("visualize", pipeline_path, corpus, page, "--only", "errors")
    assert result.exit_code == 0, result.output
    html = page.read_text(encoding="utf-8")
    assert html.count("<figure") == len(wrong)
    assert "missed" in html
    result = vokens("visualize", pipeline_path, corpus, page, "--only", "flips", "--style", "ent")
    assert result.exit_code == 0, result.output
    html = page.read_text(encoding="utf-8")
    assert html.count("without images:") == html.count("<figure")
    assert 'class="words"' not in html
    DocBin(store_user_data=True, docs=nlp.pipe(docs)).to_disk(corpus)
    result = vokens("visualize", pipeline_path, corpus, page, "--only", "errors")
    assert result.exit_code == 0, result.output
    assert said(result, "the page is empty")
    assert "<figure" not in page.read_text(encoding="utf-8")


def test_hovering_shows_the_best_images(vokens, pipeline_path, tmp_path):
    (tmp_path / "a.txt").write_text("a cat")
    for k in (1, 3):
        page = tmp_path / f"{k}.html"
        result = vokens("visualize", pipeline_path, tmp_path / "a.txt", page, "-k", k)
        assert result.exit_code == 0, result.output
        lists = re.findall(r'<div class="more"><ol>(.*?)</ol>', page.read_text(encoding="utf-8"))
        assert [html.count("<li>") for html in lists] == ([3, 3] if k == 3 else [])


@pytest.mark.parametrize("only", ["errors", "flips"])
def test_what_cannot_be_filtered_is_named(vokens, vokenizer_path, tmp_path, only):
    (tmp_path / "a.txt").write_text("a cat")
    result = vokens("visualize", vokenizer_path, tmp_path / "a.txt", tmp_path / "p.html",
                    "--only", only)  # fmt: skip
    assert result.exit_code == 1
    reason = {"errors": "no gold entities", "flips": "has no visual_ner"}[only]
    assert said(result, reason)
