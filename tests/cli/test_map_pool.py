from __future__ import annotations

import sys
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc

from spacy_vokens.attributes import set_token_values
from spacy_vokens.corpus.docbin import save_docs
from tests.cli.conftest import said
from tests.conftest import LANG


@pytest.fixture
def write_corpus(tmp_path):
    def write(name: str, words: list[str], vokens: list[str | None]) -> Path:
        doc = Doc(spacy.blank(LANG).vocab, words)
        set_token_values(doc, "voken", vokens)
        save_docs([doc], tmp_path / name)
        return tmp_path / name

    return write


def test_a_page_of_pool_and_corpora(vokens, pool, tmp_path, write_corpus):
    corpora = [
        write_corpus("a.spacy", ["Rover", "ran"], ["dog", None]),
        write_corpus("b.spacy", ["rover"], ["dog"]),
    ]
    output = tmp_path / "new" / "page.html"
    arguments = [argument for corpus in corpora for argument in ("--corpus", corpus)]
    result = vokens("map-pool", pool.path, output, *arguments, "--title", "My <pool>")
    assert result.exit_code == 0, result.output
    assert said(result, "a map of 6 images")
    html = output.read_text(encoding="utf-8")
    assert "My &lt;pool&gt;" in html
    assert "<bdi>rover</bdi> 2" in html
    assert 'title="dog: 2 tokens"' in html
    assert "the tests: CC0 (6 images)" in html
    assert [path.name for path in output.parent.iterdir()] == ["page.html"]


def test_limit_and_seed_are_obeyed(vokens, pool, tmp_path):
    pages = []
    for seed in (1, 1, 2):
        output = tmp_path / "page.html"
        result = vokens("map-pool", pool.path, output, "--limit", 3, "--seed", seed)
        assert said(result, "a map of 3 images")
        pages.append(output.read_text(encoding="utf-8"))
    assert pages[0].count('class="place') == 3
    assert pages[0] == pages[1] != pages[2]


def test_a_corpus_of_another_pool_is_refused_and_the_old_page_kept(
    vokens, pool, tmp_path, write_corpus
):
    corpus = write_corpus("other.spacy", ["a"], ["cow"])
    output = tmp_path / "page.html"
    output.write_text("old", encoding="utf-8")
    result = vokens("map-pool", pool.path, output, "--corpus", corpus)
    assert result.exit_code == 1
    assert said(result, "other.spacy does not fit")
    assert said(result, "'cow'")
    assert said(result, str(pool.path))
    assert said(result, "run 'spacy vokens index'")
    assert output.read_text(encoding="utf-8") == "old"


def test_a_folder_that_is_no_pool_is_named(vokens, tmp_path):
    result = vokens("map-pool", tmp_path, tmp_path / "page.html")
    assert result.exit_code == 1
    assert said(result, f"{tmp_path} is not an image pool")


def test_missing_scikit_learn_is_explained(vokens, pool, tmp_path, monkeypatch):
    # Python's own mark for a module that cannot be imported.
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    result = vokens("map-pool", pool.path, tmp_path / "page.html")
    assert (result.exit_code, type(result.exception)) == (1, SystemExit)
    assert said(result, "needs scikit-learn: install 'spacy-vokens[visualize]'")
    assert not (tmp_path / "page.html").exists()
