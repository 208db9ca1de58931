"""The fuzzing targets: for each reader a function of bytes, and valid inputs to start with.

A target raises what its reader raises: one of `DOCUMENTED`, or nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import spacy
import srsly
from PIL import Image
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab

from spacy_vokens.attributes import set_token_values
from spacy_vokens.corpus.captions import read_captions
from spacy_vokens.corpus.conll import TaggedSentence, read_conll
from spacy_vokens.corpus.convert import tagged_doc
from spacy_vokens.corpus.docbin import load_docs, save_docs
from spacy_vokens.identity import EncoderId, hash_ids
from spacy_vokens.images.decode import open_image
from spacy_vokens.images.pool import ImagePool, ImageRecord, PoolContent
from spacy_vokens.images.texts import check_texts, hash_texts
from spacy_vokens.index import VokenIndex
from spacy_vokens.models.image_features import ImageFeatures
from spacy_vokens.names import ImageNames
from spacy_vokens.pipeline.serialize import FORMAT_VERSION, MANIFEST
from tests.conftest import LANG

DOCUMENTED = (ValueError, FileNotFoundError)
CORPUS = Path(__file__).parent / "corpus"
# In memory if the system has such a folder, since a target writes a file for every input.
MEMORY = Path("/dev/shm")
SEPARATOR = b"\n=== file ===\n"
MAX_PIXELS = 1_000_000


@dataclass(frozen=True)
class Target:
    """A reader to fuzz.

    Attributes:
        read: Passes an input to the reader.
        seeds: Returns valid inputs, which `read` accepts.
        runs: Number of inputs in the long run: a million over all targets, fewer for slow readers.
    """

    read: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    runs: int


# Text


def conll(data: bytes) -> None:
    path = _scratch() / "a.txt"
    path.write_bytes(data)
    vocab = Vocab()
    for sentence in read_conll([path]).sentences[path]:
        doc = tagged_doc(sentence, vocab)
        assert tuple(token.text for token in doc) == sentence.words


def captions(data: bytes) -> None:
    path = _scratch() / "a.tsv"
    path.write_bytes(data)
    for caption in read_captions(path):
        assert caption.text.strip()


def docbin(data: bytes) -> None:
    """Read the bytes as a file, and as the content of one, compressed with the right checksum."""
    path = _scratch() / "a.spacy"
    try:
        content = zlib.decompress(data)
    except zlib.error:
        content = data
    for written in (data, zlib.compress(content, 1)):
        path.write_bytes(written)
        try:
            docs = load_docs(path, Vocab())
        except ValueError:
            if written is data:
                continue
            raise
        save_docs(docs, _scratch() / "b.spacy")


@cache
def docbin_seeds() -> list[bytes]:
    vocab = Vocab()
    doc = tagged_doc(TaggedSentence(("a", "b"), ("O", "I-X"), "1"), vocab)
    set_token_values(doc, "voken", ["c", None])
    set_token_values(doc, "vokens", [[["c", 0.5]], None])
    path = _scratch() / "seed.spacy"
    save_docs([doc, Doc(vocab)], path)
    return [path.read_bytes(), zlib.decompress(path.read_bytes())]


# Images


def image(data: bytes) -> None:
    opened = open_image(data, max_pixels=MAX_PIXELS)
    assert opened.mode == "RGB"
    opened.tobytes()


@cache
def image_seeds() -> list[bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    seeds = []
    for mode in ("RGB", "L", "P", "RGBA", "1", "I;16", "CMYK"):
        for kind in ("PNG", "JPEG", "WEBP"):
            buffer = io.BytesIO()
            try:
                Image.new(mode, (5, 3)).save(buffer, kind, exif=exif)
            except OSError:
                continue  # a mode that the format does not have
            seeds.append(buffer.getvalue())
    return seeds


# Artifacts: their files joined by `SEPARATOR`. Hashes are corrected, since nothing after the check
# of a hash would be reached otherwise.

POOL_FILES = ("meta.json", "images.jsonl", "features.npy")


def pool(data: bytes) -> None:
    files = _split(data, POOL_FILES)
    meta = _json(files["meta.json"])
    meta["features_sha256"] = _sha256(files["features.npy"])
    records = [_json(line) for line in files["images.jsonl"].split(b"\n")]
    ids = [record["id"] for record in records if isinstance(record.get("id"), str)]
    meta["ids_sha256"] = hash_ids(id.encode(errors="replace").decode() for id in ids)
    if "texts_sha256" in meta:
        with contextlib.suppress(ValueError):
            texts = [check_texts(record.get("texts", [])) for record in records if record]
            meta["texts_sha256"] = hash_texts(texts)
    if meta.keys() - {"features_sha256", "ids_sha256", "texts_sha256"}:
        files["meta.json"] = json.dumps(meta).encode()
    folder = _scratch() / "pool"
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    np.asarray(ImagePool.open(folder).features)


@cache
def pool_seeds() -> list[bytes]:
    return [_join({name: (_pool().path / name).read_bytes() for name in POOL_FILES})]


def index(data: bytes) -> None:
    VokenIndex.from_files(_index_files(data, VokenIndex.FILES))


def _index_files(data: bytes, names: tuple[str, ...]) -> dict[str, bytes]:
    files = _split(data, names)
    if not files["names.npy"]:
        # An index has it only if its images have texts.
        del files["names.npy"]
    return files


@cache
def index_seeds() -> list[bytes]:
    keys = np.eye(2, 4, dtype=np.float32)
    names = ImageNames.from_texts([[[1]], [[2, 3]]])
    indexes = [VokenIndex.from_pool(_pool(), keys, names=each) for each in (None, names)]
    return [_join(each.to_files()) for each in indexes]


def features(data: bytes) -> None:
    files = _split(data, ("features", "rest"))
    try:
        rest = srsly.msgpack_loads(files["rest"])
    except Exception:
        rest = {}
    message = rest if isinstance(rest, dict) else {}
    ImageFeatures.from_bytes(srsly.msgpack_dumps(message | {"features": files["features"]}))


@cache
def features_seeds() -> list[bytes]:
    message = srsly.msgpack_loads(ImageFeatures.from_pool(_pool()).to_bytes())
    stored = message.pop("features")
    return [_join({"features": stored, "rest": srsly.msgpack_dumps(message)})]


RETRIEVER_FILES = ("cfg.json", "model", *VokenIndex.FILES)


def retriever(data: bytes) -> None:
    files = _index_files(data, RETRIEVER_FILES)
    # With a manifest that fits, or nothing after its check would be reached.
    hashes = {name: _sha256(content) for name, content in files.items()}
    files[MANIFEST] = json.dumps({"version": FORMAT_VERSION, "sha256": hashes}).encode()
    _vokenizer().get_pipe("voken_retriever").from_bytes(srsly.msgpack_dumps(files))


@cache
def retriever_seeds() -> list[bytes]:
    files = srsly.msgpack_loads(_vokenizer().get_pipe("voken_retriever").to_bytes())
    del files[MANIFEST]
    return [_join(files)]


TARGETS = {
    "conll": Target(conll, lambda: _stored("conll"), 200_000),
    "captions": Target(captions, lambda: _stored("captions"), 300_000),
    "docbin": Target(docbin, docbin_seeds, 50_000),
    "image": Target(image, image_seeds, 300_000),
    "pool": Target(pool, pool_seeds, 40_000),
    "index": Target(index, index_seeds, 100_000),
    "features": Target(features, features_seeds, 30_000),
    "retriever": Target(retriever, retriever_seeds, 20_000),
}


def reproducers(name: str) -> list[Path]:
    """Return the stored inputs of a target: valid ones, and ones that it once failed to refuse."""
    return sorted((CORPUS / name).glob("*"))


def _stored(name: str) -> list[bytes]:
    return [path.read_bytes() for path in reproducers(name) if path.name.startswith("valid")]


@cache
def _scratch_folder() -> TemporaryDirectory:
    return TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)


def _scratch() -> Path:
    return Path(_scratch_folder().name)


def _join(files: dict[str, bytes]) -> bytes:
    return SEPARATOR.join(files.values())


def _split(data: bytes, names: tuple[str, ...]) -> dict[str, bytes]:
    parts = data.split(SEPARATOR)
    return dict(zip(names, parts + [b""] * len(names), strict=False))


def _json(data: bytes) -> dict:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@cache
def _pool() -> ImagePool:
    records = [
        ImageRecord("a", "a.png", "0" * 64, 8, 8, "the tests", "CC0", ("a dog", "Hund")),
        ImageRecord("b", "b.png", "0" * 64, 8, 8, "the tests", "CC0"),
    ]
    return ImagePool.write(
        _scratch() / "seed_pool",
        PoolContent(
            records,
            np.arange(6).reshape(2, 3),
            encoder=EncoderId("tiny", "1" * 64),
            image_root=_scratch(),
        ),
    )


@cache
def _vokenizer() -> Language:
    """A pipeline with a retriever of a few hundred weights."""
    nlp = spacy.blank(LANG)
    tok2vec = {
        "@architectures": "spacy.HashEmbedCNN.v2",
        "pretrained_vectors": None,
        "width": 4,
        "depth": 1,
        "embed_size": 8,
        "window_size": 1,
        "maxout_pieces": 2,
        "subword_features": False,
    }
    model = {
        "@architectures": "spacy-vokens.CrossModalMatching.v1",
        "hidden_width": 4,
        "width": 4,
        "tok2vec": tok2vec,
        "loss": {"@voken_losses": "spacy-vokens.InfoNCE.v1"},
    }
    component = nlp.add_pipe("voken_retriever", config={"model": model})
    reference = Doc(nlp.vocab, words=["a"])
    reference._.visual_image_id = "a"
    examples = [Example(Doc(nlp.vocab, words=["a"]), reference)]
    nlp.config["initialize"]["components"]["voken_retriever"] = {"pool": str(_pool().path)}
    nlp.initialize(lambda: examples)
    component.set_pool(_pool())
    return nlp
