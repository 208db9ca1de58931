"""Words a second of a pipeline with images, beside one that tags from text alone.

    python benchmarks/throughput.py GROUNDED TEXT_ONLY [--retriever OTHER] [--turns 7] [--json FILE]

Both pipelines process the same made-up texts, in turns, on one thread: short posts, and documents
of 1,000 words. `single_pass_ratio` is the lower of the two median ratios of GROUNDED's words a
second to TEXT_ONLY's. The retriever of GROUNDED is also timed alone, with the tokenizer: a first
pass, in which all words are new, and later ones; and beside the retriever of OTHER, another
pipeline. Times are processor times, which other programs disturb less than the clock's.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import spacy
import thinc
import torch
from spacy.language import Language
from wasabi import msg

from spacy_vokens.pipeline.util import load_with_pipe
from spacy_vokens.pipeline.voken_retriever import VokenRetriever

# Words that most texts have, beside the names of the pictures.
COMMON = [
    "Anna",
    "Paul",
    "Maria",
    "our",
    "coach",
    "the",
    "dog",
    "a",
    "farmer",
    "two",
    "students",
    "my",
    "neighbor",
    "the",
    "band",
    "watched",
    "painted",
    "carried",
    "found",
    "cooked",
    "sold",
    "lost",
    "repaired",
    "opened",
    "in",
    "Paris",
    "at",
    "the",
    "park",
    "on",
    "a",
    "beach",
    "with",
]
POST_WORDS, DOCUMENT_WORDS = 16, 1000


def make_texts(words: list[str], n_texts: int, n_words: int, seed: int) -> list[str]:
    """Make texts of words at random."""
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(words, n_words)) for _ in range(n_texts)]


def vocabulary(nlp: Language, n_words: int) -> list[str]:
    """Return words for the texts: some of ours, and names of the retriever's images."""
    _, retriever = next(p for p in nlp.pipeline if isinstance(p[1], VokenRetriever))
    names = {word for image in retriever.index.ids for word in image.split("-") if word.isalpha()}
    return [*COMMON, *sorted(names)[:n_words]]


def words_a_second(nlp: Language, texts: list[str], n_words: int) -> float:
    """Return how many words a second a pipeline processes."""
    start = time.process_time()
    for _ in nlp.pipe(texts, batch_size=64):
        pass
    return n_words / (time.process_time() - start)


def in_turns(tasks: dict[str, Callable[[], float]], turns: int) -> dict[str, list[float]]:
    """Call functions in turns, after one turn that warms up."""
    found: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(turns + 1):
        for name, task in tasks.items():
            value = task()
            if turn:
                found[name].append(value)
    return found


def ratio_of(one: list[float], other: list[float]) -> dict[str, float]:
    """Return the median ratio of two lists of speeds, and its range."""
    ratios = [a / b for a, b in zip(one, other, strict=True)]
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}


def main() -> None:
    """Run the turns, print a table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("grounded")
    parser.add_argument("text_only")
    parser.add_argument("--retriever", help="a pipeline with another retriever")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--posts", type=int, default=300)
    parser.add_argument("--documents", type=int, default=5)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.device == "cuda":
        spacy.require_gpu()
    grounded, text_only = spacy.load(args.grounded), spacy.load(args.text_only)
    # A text-only tagger may come with a retriever, for the same checks of its corpus.
    for name, pipe in text_only.pipeline:
        if isinstance(pipe, VokenRetriever):
            text_only.disable_pipe(name)
    words = vocabulary(grounded, 3000)
    report: dict[str, object] = {"turns": args.turns, "words": {}}
    rows = []
    ratios = []
    for kind, n_texts, length in (
        (f"posts of {POST_WORDS} words", args.posts, POST_WORDS),
        (f"documents of {DOCUMENT_WORDS} words", args.documents, DOCUMENT_WORDS),
    ):
        texts = make_texts(words, n_texts, length, seed=0)
        n_words = sum(map(len, grounded.tokenizer.pipe(texts)))
        found = in_turns(
            {
                "grounded": lambda texts=texts, n=n_words: words_a_second(grounded, texts, n),
                "text only": lambda texts=texts, n=n_words: words_a_second(text_only, texts, n),
            },
            args.turns,
        )
        ratio = ratio_of(found["grounded"], found["text only"])
        ratios.append(ratio["median"])
        report[kind] = {"words_a_second": found, "ratio": ratio}
        medians = [statistics.median(found[name]) for name in ("grounded", "text only")]
        spread = f"{ratio['min']:.3f} to {ratio['max']:.3f}"
        rows.append((kind, *(f"{m:,.0f}" for m in medians), f"{ratio['median']:.3f}", spread))
    report["single_pass_ratio"] = min(ratios)
    msg.table(
        rows,
        header=("Words a second", "Grounded", "Text only", "Ratio", "Range"),
        aligns=("l", "r", "r", "r", "r"),
        divider=True,
    )
    report["retriever"] = time_retrievers(args, words)
    report["versions"] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "spacy": spacy.__version__,
        "thinc": thinc.__version__,
    }
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=1))


def time_retrievers(args: argparse.Namespace, words: list[str]) -> dict[str, object]:
    """Time retrievers alone, tokenizer included."""
    texts = make_texts(words, 10 * args.posts, POST_WORDS, seed=1)
    loaded = {"ours": args.grounded} | ({"other": args.retriever} if args.retriever else {})
    pipelines = {}
    for name, model in loaded.items():
        nlp, retriever = load_with_pipe(model, VokenRetriever)
        nlp.select_pipes(enable=[retriever.name])
        pipelines[name] = nlp
    n_words = sum(map(len, pipelines["ours"].tokenizer.pipe(texts)))
    first = {name: words_a_second(nlp, texts, n_words) for name, nlp in pipelines.items()}
    found = in_turns(
        {
            name: lambda nlp=nlp: words_a_second(nlp, texts, n_words)
            for name, nlp in pipelines.items()
        },
        args.turns,
    )
    medians = {name: statistics.median(values) for name, values in found.items()}
    rows = [(n, f"{first[n]:,.0f}", f"{medians[n]:,.0f}") for n in found]
    msg.table(
        rows,
        header=("Retriever alone", "First pass", "Later"),
        aligns=("l", "r", "r"),
        divider=True,
    )
    report: dict[str, object] = {"first": first, "later": found}
    if "other" in found:
        report["ratio"] = ratio_of(found["ours"], found["other"])
        print(f"Ratio of later passes: {medians['ours'] / medians['other']:.0f}")
    return report


if __name__ == "__main__":
    main()
