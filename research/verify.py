"""Check results against the data that they come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spacy_vokens.corpus.conll import ConllOptions, read_conll
from spacy_vokens.scoring.ner import lenient_spans, strict_spans

from .hashes import hash_tags
from .results import Results, load_results
from .runs import Gold, score_run


@dataclass(frozen=True)
class Verification:
    """What a check of results found.

    Attributes:
        n_runs: Number of runs that were checked.
        problems: What is wrong, one line each; empty if everything holds.
    """

    n_runs: int
    problems: list[str]


def verify_runs(folder: Path, data: Path) -> Verification:
    """Read the gold entities from the data and recompute every run's scores from its entities.

    Args:
        folder: Folder written by `python -m research run`.
        data: Folder that the datasets' `source` paths are relative to.

    Returns:
        The number of runs and the problems found.

    Raises:
        FileNotFoundError: If the folder holds no grid, or a source file is missing.
        VokensError: If a file is invalid, or the runs do not belong together.
    """
    results = load_results(folder)
    return Verification(results.n_runs, find_problems(results, data))


def find_problems(results: Results, data: Path) -> list[str]:
    """Return what does not follow from the data, one line each.

    Args:
        results: The results to check.
        data: Folder that the datasets' `source` paths are relative to.

    Raises:
        FileNotFoundError: If a source file is missing.
        VokensError: If a source file is invalid.
    """
    problems = []
    if not results.n_runs:
        problems.append("there are no runs")
    for dataset, gold in results.gold.items():
        declared = results.grid.datasets[dataset]
        source = declared.source.get(results.grid.split)
        if source is None:
            problems.append(f"{dataset}: the grid names no source for {results.grid.split!r}")
        elif not _is_gold_of(gold, data / source, declared.rename):
            problems.append(f"{dataset}: the gold entities are not those of {data / source}")
        for arm, runs in results.runs[dataset].items():
            for run in runs:
                if score_run(gold, run.spans) != run.scores:
                    problems.append(f"{dataset}/{arm}-{run.seed}: its entities give other scores")
    return problems


def _is_gold_of(gold: Gold, path: Path, rename: dict[str, str]) -> bool:
    sentences = read_conll([path], ConllOptions(scheme="IOB2", rename=rename)).sentences[path]
    words = [list(sentence.words) for sentence in sentences]
    tags = [list(sentence.tags) for sentence in sentences]
    return (
        gold.sha256 == hash_tags(words, tags)
        and gold.ids == [sentence.image_id for sentence in sentences]
        and gold.lengths == [*map(len, words)]
        and gold.strict == [*map(strict_spans, tags)]
        and gold.lenient == [*map(lenient_spans, tags)]
    )
