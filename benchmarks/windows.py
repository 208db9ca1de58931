"""Processor time taken by laying windows by word pieces instead of by tokens.

    python benchmarks/windows.py MODEL CORPUS.spacy [--turns 7] [--limit 300]

Tags the same documents with one pipeline, in turns with the span getter of spacy-transformers (128
tokens, stride 96) and with ours, in all transformers of the pipeline. Prints the median ratio of
the two times with its range, and how many windows either lays. Turns differ by more than laying
windows takes, so this is timed alone too, and its difference told as a share of the tagging. One
thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy_transformers.span_getters import configure_strided_spans
from thinc.api import Model

from spacy_vokens.corpus.docbin import load_docs
from spacy_vokens.corpus.reader import blank_copy
from spacy_vokens.models.piece_spans import PieceSpans


def transformers(nlp: Language) -> list[Model]:
    """Return all models of the pipeline that split documents into spans."""
    return [
        node
        for _, pipe in nlp.pipeline
        if isinstance(getattr(pipe, "model", None), Model)
        for node in pipe.model.walk()
        if "get_spans" in node.attrs
    ]


def seconds(nlp: Language, docs: list[Doc]) -> float:
    """Return the processor time that tagging fresh copies of the documents takes."""
    copies = [Doc(nlp.vocab, words=[t.text for t in doc]) for doc in docs]
    start = time.process_time()
    for _ in nlp.pipe(copies, batch_size=64):
        pass
    return time.process_time() - start


def seconds_alone(getter: Callable[[list[Doc]], object], docs: list[Doc]) -> float:
    """Return the processor time that laying the windows of fresh copies of the documents takes."""
    copies = [blank_copy(doc) for doc in docs]
    start = time.process_time()
    for first in range(0, len(copies), 64):
        getter(copies[first : first + 64])
    return time.process_time() - start


def main() -> None:
    """Run the turns and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--limit", type=int, default=300)
    args = parser.parse_args()
    torch.set_num_threads(1)
    nlp = spacy.load(args.model)
    docs = [doc for doc in load_docs(args.corpus, nlp.vocab) if len(doc)][: args.limit]
    nodes = transformers(nlp)
    ours = [node.attrs["get_spans"] for node in nodes]
    assert all(isinstance(getter, PieceSpans) for getter in ours), "the pipeline has other getters"
    strided = configure_strided_spans(window=128, stride=96)
    times: dict[str, list[float]] = {"tokens": [], "pieces": []}
    alone: dict[str, list[float]] = {"tokens": [], "pieces": []}
    for turn in range(args.turns + 1):
        for name in times:
            for node, getter in zip(nodes, ours, strict=True):
                node.attrs["get_spans"] = strided if name == "tokens" else getter
            taken = seconds(nlp, docs)
            laid = seconds_alone(strided if name == "tokens" else ours[0], docs)
            # The first turn warms up.
            if turn:
                times[name].append(taken)
                alone[name].append(laid)
    ratios = [b / a for a, b in zip(times["tokens"], times["pieces"], strict=True)]
    copies = [blank_copy(doc) for doc in docs]
    n_strided, n_ours = (sum(map(len, getter(copies))) for getter in (strided, ours[0]))
    print(
        f"{len(docs)} documents, {sum(map(len, docs)):,} tokens; windows by tokens {n_strided}, "
        f"by pieces {n_ours}\n"
        f"by tokens {statistics.median(times['tokens']):.2f} s, by pieces "
        f"{statistics.median(times['pieces']):.2f} s; ratio {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f}), {args.turns} turns"
    )
    by_tokens, by_pieces = (statistics.median(alone[name]) for name in ("tokens", "pieces"))
    more = len(nodes) * (by_pieces - by_tokens) / statistics.median(times["tokens"])
    print(
        f"laying the windows once: by tokens {1000 * by_tokens:.1f} ms, by pieces "
        f"{1000 * by_pieces:.1f} ms; the difference is {more:.2%} of the tagging"
    )


if __name__ == "__main__":
    main()
