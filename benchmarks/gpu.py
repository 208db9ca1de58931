"""How many words per second does `nlp.pipe` process on a GPU, and with how much memory?

Peer: the same pipeline on the CPU. It has the sizes of the project's profiles (two encoders of the
size of all-MiniLM-L6-v2, 1,280-d image features). Its weights are random, since they take as long
as trained ones and need no data.

    python benchmarks/gpu.py --output gpu.json
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from transformers import BertConfig, BertModel, BertTokenizerFast

from spacy_vokens.identity import EncoderId
from spacy_vokens.images.pool import ImagePool, ImageRecord, PoolContent

WORDS = [f"word{number}" for number in range(30000)]
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
FEATURE_WIDTH = 1280
PACKAGES = ("spacy", "thinc", "spacy-transformers", "transformers", "torch", "numpy")


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark, print the result and write it as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="JSON file for the figures")
    parser.add_argument("--gpu-id", type=int, default=0, help="-1: time the CPU only")
    parser.add_argument("--docs", type=int, default=5000, help="how many, of 5 to 40 words")
    parser.add_argument("--images", type=int, default=7000, help="size of the image pool")
    parser.add_argument("--batch-size", type=int, default=256)
    settings = parser.parse_args(arguments)
    texts = random_texts(settings.docs)
    with tempfile.TemporaryDirectory() as folder:
        make_pipeline(Path(folder), settings.images).to_disk(Path(folder, "pipeline"))
        runs = [
            measure(Path(folder, "pipeline"), texts, settings.batch_size, gpu_id)
            for gpu_id in sorted({-1, settings.gpu_id})
        ]
    report = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": platform.machine(),
        "packages": {name: version(name) for name in PACKAGES},
        "docs": len(texts),
        "words": sum(len(text.split()) for text in texts),
        "images": settings.images,
        "batch_size": settings.batch_size,
        "runs": runs,
    }
    settings.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))


def random_texts(n: int) -> list[str]:
    """Make texts of 5 to 40 random words."""
    rng = random.Random(0)
    return [" ".join(rng.choices(WORDS, k=rng.randint(5, 40))) for _ in range(n)]


def make_pipeline(folder: Path, n_images: int) -> Language:
    """Make a pipeline of retriever, transformer and tagger with random weights, and its pool."""
    encoder, pool = make_encoder(folder / "encoder"), make_pool(folder / "pool", n_images)
    transformer = {"name": str(encoder), "tokenizer_config": {"use_fast": True}}
    nlp = spacy.blank("en")
    tok2vec = {"@architectures": "spacy-vokens.Tok2VecTransformer.v1", **transformer}
    nlp.add_pipe("voken_retriever", config={"model": {"tok2vec": {"tok2vec": tok2vec}}})
    nlp.add_pipe("transformer", config={"model": transformer})
    nlp.add_pipe("visual_ner")
    # Otherwise the transformer's arrays stay on each document, and so on the GPU.
    nlp.add_pipe("doc_cleaner")
    for name in ("voken_retriever", "visual_ner"):
        nlp.config["initialize"]["components"][name] = {"pool": str(pool.path)}
    reference = Doc(nlp.vocab, words=WORDS[:3], ents=["B-PER", "O", "B-LOC"])
    reference._.visual_image_id = pool.ids[0]
    nlp.initialize(lambda: [Example(Doc(nlp.vocab, words=WORDS[:3]), reference)])
    nlp.get_pipe("voken_retriever").set_pool(pool)
    return nlp


def make_encoder(folder: Path) -> Path:
    """Save a BERT of the size of all-MiniLM-L6-v2 with random weights."""
    folder.mkdir()
    vocabulary = (*SPECIAL, *WORDS)
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    BertTokenizerFast(vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
    sizes = {"hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1536}
    config = BertConfig(vocab_size=len(vocabulary), num_attention_heads=12, **sizes)
    BertModel(config).save_pretrained(folder)
    return folder


def make_pool(folder: Path, n_images: int) -> ImagePool:
    """Write a pool of random features."""
    features = np.random.default_rng(0).normal(size=(n_images, FEATURE_WIDTH))
    records = [
        ImageRecord(f"{row:07}", f"{row:07}.jpg", "0" * 64, 224, 224) for row in range(n_images)
    ]
    return ImagePool.write(
        folder,
        PoolContent(records, features, encoder=EncoderId("random", "0" * 64), image_root=folder),
    )


def measure(pipeline: Path, texts: list[str], batch_size: int, gpu_id: int) -> dict[str, Any]:
    """Time one pass over the texts, after a warm-up on a tenth of them.

    Args:
        pipeline: Folder of the pipeline.
        texts: The texts.
        batch_size: Number of texts per batch.
        gpu_id: Number of the GPU, or -1 for the CPU.
    """
    on_gpu = gpu_id >= 0
    if on_gpu:
        spacy.require_gpu(gpu_id)
        torch.cuda.reset_peak_memory_stats(gpu_id)
    else:
        spacy.require_cpu()
    nlp = spacy.load(pipeline)
    for _ in nlp.pipe(texts[::10], batch_size=batch_size):
        pass
    start = time.perf_counter()
    n_words = sum(len(doc) for doc in nlp.pipe(texts, batch_size=batch_size))
    seconds = time.perf_counter() - start
    run: dict[str, Any] = {
        "device": torch.cuda.get_device_name(gpu_id) if on_gpu else "cpu",
        "threads": torch.get_num_threads(),
        "words_per_second": round(n_words / seconds),
    }
    if on_gpu:
        import cupy

        # CuPy never returns memory from its pool, so the pool's size is the peak.
        run["peak_torch_mb"] = round(torch.cuda.max_memory_allocated(gpu_id) / 1e6)
        run["peak_cupy_mb"] = round(cupy.get_default_memory_pool().total_bytes() / 1e6)
    return run


if __name__ == "__main__":
    main()
