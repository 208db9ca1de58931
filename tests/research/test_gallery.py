from __future__ import annotations

import re

import pytest
from spacy.vocab import Vocab

from research.gallery import Case, choose_cases, find_cases, render_gallery
from research.results import load_results
from spacy_vokens.corpus.docbin import load_docs, save_docs
from tests.research.sample_runs import make_gold, make_run, write_runs, write_runs_with_corpus

GOLD = make_gold()


def test_cases_are_the_gold_entities_that_one_run_alone_finds():
    one = make_run(GOLD, "gated", "retrieved", 0, misses=1)
    other = make_run(GOLD, "text-only", "none", 0, misses=3)
    assert list(find_cases(GOLD, one, other)) == [
        Case(1, (0, 1, "LOC"), True),
        Case(2, (0, 1, "LOC"), True),
    ]
    assert all(not case.is_repair for case in find_cases(GOLD, other, one))


@pytest.mark.parametrize(("n_repairs", "n_harms"), [(30, 12), (3, 12), (0, 5)])
def test_as_many_repairs_as_harms_are_drawn(n_repairs, n_harms):
    repairs = [Case(i, (0, 1, "LOC"), True) for i in range(n_repairs)]
    harms = [Case(i, (0, 1, "LOC"), False) for i in range(n_harms)]
    chosen = choose_cases(repairs, harms, 0)
    of_each = min(10, n_repairs, n_harms)
    assert [case.is_repair for case in chosen] == [True, False] * of_each
    assert len(set(chosen)) == 2 * of_each
    assert chosen == choose_cases(repairs, harms, 0)
    assert not chosen or chosen != choose_cases(repairs, harms, 1)


@pytest.fixture
def results(tmp_path, vokenizer_path, pool):
    return load_results(write_runs_with_corpus(tmp_path, vokenizer_path, pool.path))


def test_the_page_shows_what_changed_with_the_images(results):
    page = render_gallery(results)
    titles = re.findall(r"<figcaption>Text \d+ · (.*?)</figcaption>", page)
    # Document 0: pictures mend Ann Lee, which was taken for a place, and lose Bonn.
    assert titles == [
        "repaired: Ann Lee PER · text-only-none: Ann LOC",
        "harmed: Bonn LOC · text-only-none: Bonn LOC",
    ]
    assert "entities repaired 1, harmed 1; 1 of each are shown" in page
    assert "&lt;saw&gt;" in page
    assert "<saw>" not in page
    assert "background-image: url(data:image/webp" in page


def test_other_vokens_than_the_run_saw_are_named(results):
    corpus = results.grid.datasets["twitter2017"].test
    docs = load_docs(corpus, Vocab())
    docs[3][0]._.voken = "cat"
    save_docs(docs, corpus)
    with pytest.raises(ValueError, match=r"test\.spacy.* not what twitter2017/gated-ret"):
        render_gallery(results)


def test_a_gallery_needs_two_runs_of_a_seed(tmp_path):
    folder = write_runs(tmp_path / "runs")
    for path in folder.glob("twitter2017/text-only*"):
        path.unlink()
    with pytest.raises(ValueError, match="No two runs"):
        render_gallery(load_results(folder))
