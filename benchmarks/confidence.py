"""What do confidences cost at prediction time?

Peer: the same pipeline with `set_confidence = false`. The same documents go through transformer and
tagger with the setting off, on, off, ..., in one process and on one thread. The corpus holds its
vokens, so the retriever is left out.

    python benchmarks/confidence.py MODEL CORPUS.spacy --output confidence.json
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import spacy
import torch

from spacy_vokens.corpus.docbin import load_docs
from spacy_vokens.corpus.reader import blank_copy


def main() -> None:
    """Run the benchmark, print the result and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    nlp = spacy.load(args.model, exclude=["voken_retriever"])
    ner = nlp.get_pipe("visual_ner")
    docs = load_docs(args.corpus, nlp.vocab)
    seconds: dict[str, list[float]] = {"without": [], "with": []}
    for turn in range(-1, args.turns):
        for name, times in seconds.items():
            ner.set_confidence = name == "with"
            copies = [blank_copy(doc) for doc in docs]
            start = time.process_time()
            for _ in nlp.pipe(copies):
                pass
            # The first turn warms up.
            if turn >= 0:
                times.append(time.process_time() - start)
    n_words = sum(map(len, docs))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    costs = [on / off - 1 for off, on in zip(*seconds.values(), strict=True)]
    report = {
        "what": "CPU seconds of transformer and tagger; cost = with / without - 1",
        "docs": len(docs),
        "words": n_words,
        "seconds": {name: [round(t, 2) for t in times] for name, times in seconds.items()},
        "words_per_second": {name: round(n_words / t) for name, t in medians.items()},
        "cost": round(medians["with"] / medians["without"] - 1, 4),
        "cost_of_each_turn": [round(cost, 4) for cost in costs],
        "machine": platform.processor() or platform.machine(),
        "threads": 1,
        "versions": {"spacy": spacy.__version__, "torch": torch.__version__},
    }
    args.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
