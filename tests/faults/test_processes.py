"""One pipeline in several processes, forked after their parent has computed, and in threads."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc

from spacy_vokens.attributes import get_token_values

TEXTS = ["a red cat in paris", "we see the dog !", "", "fish"]
SCRIPT = """
import multiprocessing, sys
import faiss, spacy, torch

if __name__ == "__main__":
    path, method, *texts = sys.argv[1:]
    torch.set_num_threads(2)
    faiss.omp_set_num_threads(2)
    nlp = spacy.load(path)
    # Enough for OpenMP to use its threads.
    alone = list(nlp.pipe(texts * 50))
    torch.softmax(torch.randn(2000, 2000), -1)
    multiprocessing.set_start_method(method)
    together = list(nlp.pipe(texts * 2, n_process=2, batch_size=3))
    for doc in together[: len(texts)]:
        print([token._.voken for token in doc], [(e.start, e.end, e.label_) for e in doc.ents])
    assert torch.get_num_threads() == 2, "the parent keeps its threads"
"""


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_after_the_parent_has_computed(pipeline_path: Path, tmp_path: Path, method: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    result = subprocess.run(
        [sys.executable, script, pipeline_path, method, *TEXTS],
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert result.returncode == 0, result.stderr
    nlp = spacy.load(pipeline_path)
    expected = [
        f"{get_token_values(doc, 'voken')} {[(e.start, e.end, e.label_) for e in doc.ents]}"
        for doc in map(nlp, TEXTS)
    ]
    assert result.stdout.splitlines() == expected


def see(doc: Doc) -> tuple[list[object], ...]:
    values = (get_token_values(doc, name) for name in ("voken", "voken_score", "visual_gate"))
    ents = [(e.start, e.end, e.label_, e._.visual_confidence) for e in doc.ents]
    return (*values, ents)


def test_threads_that_share_a_pipeline(pipeline_path: Path) -> None:
    """Its transformers have dropout, and the threads begin before anything was computed."""
    nlp = spacy.load(pipeline_path)
    texts = ["a red cat in paris", "we see the dog !", "anna", "fish \ufe0f", "anna in paris"] * 60
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda text: see(nlp(text)), texts))
    assert found == [see(nlp(text)) for text in texts]
