"""How long does an epoch of `visual_ner` without images take?

Peer: the plain PyTorch tagger in `reference_tagger.py`. Both train on the same sentences in batches
of 32, in one process and on one thread, in turns: reference, ours, reference, ours, ... DATA is a
folder with train.txt.

    python benchmarks/tagger_epochs.py DATA TEXT_ENCODER --output tagger.json
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from pathlib import Path

import torch
from reference_tagger import Batches, build, train_epoch
from spacy.training.initialize import init_nlp
from spacy.util import load_config
from spacy.vocab import Vocab
from spacy_loop import spacy_epochs
from transformers import AutoTokenizer

from spacy_vokens.corpus.conll import read_conll
from spacy_vokens.corpus.convert import tagged_doc
from spacy_vokens.corpus.docbin import save_docs

CONFIG = Path(__file__).parents[1] / "configs" / "visual_ner.cfg"


def our_config(corpus: Path, text_encoder: Path) -> dict:
    """Return the project's config without the retriever, which has no part in training."""
    config = load_config(
        CONFIG,
        overrides={
            "paths.train": str(corpus),
            "paths.dev": str(corpus),
            "paths.text_encoder": str(text_encoder),
            "components.visual_ner.model.fusion.@voken_fusions": "spacy-vokens.NoFusion.v1",
            "nlp.pipeline": ["transformer", "visual_ner"],
            "training.frozen_components": [],
            "training.annotating_components": [],
        },
        interpolate=False,
    )
    del config["components"]["voken_retriever"]
    return config


def main() -> None:
    """Run the benchmark, print the result and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("text_encoder", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    path = args.data / "train.txt"
    sentences = read_conll([path]).sentences[path][: args.limit]

    tags = ["O", *sorted({tag for s in sentences for tag in s.tags} - {"O"})]
    batches = Batches(AutoTokenizer.from_pretrained(args.text_encoder), tags)
    n_steps = args.turns * -(-len(sentences) // 32)
    model, optimizer, scheduler = build(args.text_encoder, len(tags), n_steps)
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "train.spacy"
        vocab = Vocab()
        save_docs([tagged_doc(sentence, vocab) for sentence in sentences], corpus)
        nlp = init_nlp(our_config(corpus, args.text_encoder))
        reference, ours = [], []
        for _ in range(args.turns):
            start = time.perf_counter()
            train_epoch(model, batches, sentences, optimizer, scheduler, 32, random.Random(0))
            reference.append(time.perf_counter() - start)
            ours += spacy_epochs(nlp, 1)
    result = {
        "sentences": len(sentences),
        "threads": 1,
        "seconds_reference": reference,
        "seconds_visual_ner": ours,
        "ratio": statistics.median(ours) / statistics.median(reference),
    }
    args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
