"""Check results against the data that they were made from."""

from __future__ import annotations

from pathlib import Path

from ..corpus.conll import read_conll
from ..metrics.ner import lenient_spans, strict_spans
from .gold import hash_tags
from .results import Results
from .runs import Gold, score_run


def verify(results: Results, data: Path) -> list[str]:
    """Read the gold entities from the data, and recompute every run's scores from its spans.

    data: the folder that the datasets' `source` files are in.
    returns: what is wrong, one line each; empty where all holds.
    raises FileNotFoundError: where the data lack a file.
    """
    problems = []
    if not any(results.runs.values()):
        problems.append("there is no run")
    for dataset, gold in results.gold.items():
        declared = results.grid.datasets[dataset]
        source = declared.source.get(results.grid.split)
        if source is None:
            problems.append(f"{dataset}: the grid names no source of its {results.grid.split} part")
        elif not _is_gold_of(gold, data / source, declared.rename):
            problems.append(f"{dataset}: the gold entities are not those of {data / source}")
        for arm, runs in results.runs[dataset].items():
            for run in runs:
                if score_run(gold, run.spans) != run.scores:
                    problems.append(f"{dataset}/{arm}-{run.seed}: its entities give other scores")
    return problems


def _is_gold_of(gold: Gold, path: Path, rename: dict[str, str]) -> bool:
    sentences = list(read_conll(path, rename=rename))
    words = [list(sentence.words) for sentence in sentences]
    tags = [list(sentence.tags) for sentence in sentences]
    return (
        gold.sha256 == hash_tags(words, tags)
        and gold.ids == [sentence.image_id for sentence in sentences]
        and gold.lengths == [len(of_sentence) for of_sentence in words]
        and gold.strict == [strict_spans(of_sentence) for of_sentence in tags]
        and gold.lenient == [lenient_spans(of_sentence) for of_sentence in tags]
    )
