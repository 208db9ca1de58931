"""The fixtures of all tests: a tiny text encoder, pool, vokenizer and tagger, made once per run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from PIL import Image
from spacy.cli.train import train
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import fix_random_seed
from spacy.vocab import Vocab
from transformers import BertConfig, BertModel, BertTokenizerFast

import spacy_vokens.attributes  # noqa: F401
from spacy_vokens.corpus.conll import TaggedSentence
from spacy_vokens.corpus.convert import tagged_doc
from spacy_vokens.corpus.docbin import save_docs
from spacy_vokens.identity import EncoderId
from spacy_vokens.images.decode import thumbnail
from spacy_vokens.images.pool import ImagePool, ImageRecord, PoolContent
from tests.conftest import CONFIGS, DIMENSION, IMAGES, LANG, LEARN_RATE, WORDS

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# Two tweets with an image each, and the captions of three images.
TWEETS = "IMGID:1.jpg\nAnn\tB-PER\nLee\tI-PER\n\nIMGID:2\nin\tO\nIFA\tI-OTHER\n"
CAPTIONS = (
    "image\tsplit\tcaption\n"
    "a.jpg\ttrain\tA dog.\na.jpg\ttrain\tA cat.\nb.jpg\ttrain\tTwo\nc.jpg\tdev\tThree\n"
)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    # Before the first forward pass, or forked workers hang.
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    fix_random_seed(0)


@pytest.fixture(scope="session")
def text_encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a BERT with 20 words, two layers and random weights."""
    return str(save_bert(tmp_path_factory.mktemp("bert"), WORDS))


def save_bert(folder: Path, words: Iterable[str], *, hidden: int = 16, length: int = 64) -> Path:
    """Write a BERT of two layers with random weights and these word pieces."""
    vocabulary = folder / "vocab.txt"
    pieces = (*SPECIAL, *words)
    vocabulary.write_text("\n".join(pieces), encoding="utf-8")
    BertTokenizerFast(vocab_file=str(vocabulary), model_max_length=length).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=hidden,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * hidden,
        max_position_embeddings=length,
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def make_pool(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ImagePool]:
    """Make a pool of small images with random features."""

    def make(ids: tuple[str, ...] = IMAGES, *, seed: int = 0, encoder: str = "tiny") -> ImagePool:
        root = tmp_path_factory.mktemp("images")
        features = np.random.default_rng(seed).normal(size=(len(ids), DIMENSION))
        thumbnails = []
        for number, image_id in enumerate(ids):
            image = Image.new("RGB", (8, 8), (40 * number % 256, 0, 0))
            image.save(root / f"{image_id}.png")
            thumbnails.append(thumbnail(image))
        records = [
            ImageRecord(image_id, f"{image_id}.png", "0" * 64, 8, 8, "the tests", "CC0")
            for image_id in ids
        ]
        return ImagePool.write(
            root / "pool",
            PoolContent(records, features, EncoderId(encoder, "1" * 64), root, thumbnails),
        )

    return make


@pytest.fixture(scope="session")
def pool(make_pool: Callable[..., ImagePool]) -> ImagePool:
    return make_pool()


def transformer_config(name: str) -> dict:
    return {
        "name": name,
        "tokenizer_config": {"use_fast": True},
        "get_spans": {
            "@span_getters": "spacy-vokens.piece_spans.v1",
            "window": 16,
            "stride": 12,
        },
    }


@pytest.fixture(scope="session")
def retriever_config(text_encoder: str) -> dict:
    """Config of a `voken_retriever` over the tiny encoder."""
    return {
        "model": {
            "@architectures": "spacy-vokens.CrossModalMatching.v1",
            "hidden_width": 16,
            "width": 8,
            "tok2vec": {
                "@architectures": "spacy-vokens.FrozenTok2Vec.v1",
                "tok2vec": {
                    "@architectures": "spacy-vokens.Tok2VecTransformer.v1",
                    **transformer_config(text_encoder),
                    "pooling": {"@layers": "reduce_mean.v1"},
                },
            },
            "loss": {"@voken_losses": "spacy-vokens.InfoNCE.v1"},
        }
    }


def caption(nlp: Language, words: str, image_id: str | None) -> Example:
    reference = Doc(nlp.vocab, words=words.split())
    reference._.visual_image_id = image_id
    return Example(Doc(nlp.vocab, words=words.split()), reference)


@pytest.fixture(scope="session")
def make_vokenizer(retriever_config: dict, pool: ImagePool) -> Callable[..., Language]:
    """Make a pipeline with a retriever, trained for some steps and indexed."""

    def make(*, steps: int = 0, indexed: bool = True, **settings: object) -> Language:
        nlp = spacy.blank(LANG)
        retriever = nlp.add_pipe("voken_retriever", config=retriever_config | settings)
        examples = captions(nlp)
        fix_random_seed(0)
        nlp.config["initialize"]["components"]["voken_retriever"] = {"pool": str(pool.path)}
        optimizer = nlp.initialize(lambda: examples)
        optimizer.learn_rate = 0.01
        for _ in range(steps):
            nlp.update(examples, sgd=optimizer)
        if indexed:
            retriever.set_pool(pool)
        return nlp

    return make


def captions(nlp: Language) -> list[Example]:
    return [caption(nlp, f"a {image} !", image) for image in IMAGES]


@pytest.fixture(scope="session")
def vokenizer_path(
    make_vokenizer: Callable[..., Language], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Folder of a vokenizer that has learned its captions by heart."""
    path = tmp_path_factory.mktemp("models") / "vokenizer"
    make_vokenizer(steps=60).to_disk(path)
    return path


@pytest.fixture
def vokenizer(vokenizer_path: Path) -> Language:
    return spacy.load(vokenizer_path)


@pytest.fixture(scope="session")
def tagged_examples() -> Callable[[Language], list[Example]]:
    """Sentences with persons and places; their tokens carry vokens."""

    def make(nlp: Language) -> list[Example]:
        sentences = [
            ("anna in paris !", ["B-PER", "O", "B-LOC", "O"]),
            ("we see anna .", ["O", "O", "B-PER", "O"]),
            ("the red dog", ["O", "O", "O"]),
            ("big paris see anna", ["B-LOC", "I-LOC", "O", "B-PER"]),
        ]
        examples = []
        for text, tags in sentences:
            reference = Doc(nlp.vocab, words=text.split(), ents=tags)
            reference._.visual_raw_tags = tags
            predicted = Doc(nlp.vocab, words=text.split())
            for token in predicted:
                token._.voken = "dog" if token.text == "dog" else None
            predicted._.voken_index = "test"
            examples.append(Example(predicted, reference))
        return examples

    return make


@pytest.fixture(scope="session")
def make_tagger(
    text_encoder: str, pool: ImagePool, tagged_examples: Callable[[Language], list[Example]]
) -> Callable[..., Language]:
    """Make a pipeline of transformer and tagger, trained for some steps."""

    def make(
        fusion: str = "GatedFusion",
        *,
        steps: int = 0,
        into: Language | None = None,
        voken_dropout: float = 0.1,
    ) -> Language:
        nlp = spacy.blank(LANG) if into is None else into
        nlp.add_pipe(
            "transformer",
            config={
                "model": {
                    "@architectures": "spacy-vokens.TransformerModel.v1",
                    **transformer_config(text_encoder),
                }
            },
        )
        nlp.add_pipe(
            "visual_ner",
            config={
                "model": {
                    "@architectures": "spacy-vokens.VisualTagger.v1",
                    "voken_dropout": voken_dropout,
                    "fusion": {
                        "@voken_fusions": fusion if "." in fusion else f"spacy-vokens.{fusion}.v1"
                    },
                }
            },
        )
        if fusion != "NoFusion":
            nlp.config["initialize"]["components"]["visual_ner"] = {"pool": str(pool.path)}
        examples = tagged_examples(nlp)
        fix_random_seed(0)
        others = [name for name in nlp.pipe_names if name not in ("transformer", "visual_ner")]
        with nlp.select_pipes(disable=others):
            optimizer = nlp.initialize(lambda: examples)
            optimizer.learn_rate = 0.005
            for _ in range(steps):
                nlp.update(examples, sgd=optimizer)
        return nlp

    return make


@pytest.fixture(scope="session")
def train_configs(
    pool: ImagePool,
    text_encoder: str,
    tagged_examples: Callable[[Language], list[Example]],
) -> Callable[..., None]:
    """Train both configs with `spacy train`, one after the other, as the project does.

    The folder gets `pairs.spacy`, `ner.spacy`, `vokenizer` and `tagger`.
    """

    def make(
        path: Path,
        *,
        use_gpu: int = -1,
        vokenizer: dict | None = None,
        tagger: dict | None = None,
    ) -> None:
        nlp = spacy.blank(LANG)
        save_docs([example.reference for example in captions(nlp)], path / "pairs.spacy")
        save_docs([example.reference for example in tagged_examples(nlp)], path / "ner.spacy")
        for config, corpus, output, overrides in (
            (
                "vokenizer.cfg",
                "pairs.spacy",
                "vokenizer",
                {
                    LEARN_RATE: 0.01,
                    "training.dropout": 0.0,
                    # The tagged sentences have words that the captions lack.
                    "components.voken_retriever.min_images": 0,
                }
                | (vokenizer or {}),
            ),
            ("visual_ner.cfg", "ner.spacy", "tagger", {LEARN_RATE: 0.005} | (tagger or {})),
        ):
            shared = {
                "paths.pool": str(pool.path),
                "nlp.lang": LANG,
                "paths.text_encoder": text_encoder,
                "paths.train": str(path / corpus),
                "paths.dev": str(path / corpus),
                "training.max_steps": 60,
                "training.eval_frequency": 20,
            }
            if output == "tagger":
                shared["paths.vokenizer"] = str(path / "vokenizer" / "model-best")
            train(CONFIGS / config, path / output, use_gpu=use_gpu, overrides=shared | overrides)

    return make


SENTENCES = [
    TaggedSentence(("anna", "see", "a", "cat", "!"), ("I-PER", "O", "O", "O", "O"), "17_06_1.jpg"),
    TaggedSentence(("the dog", "in", "paris"), ("O", "O", "B-LOC")),
]


@pytest.fixture
def tagged_corpus(tmp_path: Path) -> Path:
    """A corpus of two tagged sentences and an empty document."""
    path = tmp_path / "in.spacy"
    save_docs([tagged_doc(sentence, Vocab()) for sentence in SENTENCES] + [Doc(Vocab())], path)
    return path


@pytest.fixture
def write_report(tmp_path: Path) -> Callable[[str, object], Path]:
    """Write a report as `spacy vokens evaluate` does."""

    def write(name: str, report: object) -> Path:
        path = tmp_path / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report))
        return path

    return write


@pytest.fixture
def tweets(tmp_path: Path) -> Path:
    """A CoNLL file."""
    path = tmp_path / "tweets.txt"
    path.write_text(TWEETS, encoding="utf-8")
    return path


@pytest.fixture
def captions_table(tmp_path: Path) -> Path:
    path = tmp_path / "captions.tsv"
    path.write_text(CAPTIONS, encoding="utf-8")
    return path


# Each of these is in five images, whose features are alike.
KINDS = ("cat", "dog", "fish")
KIND_IMAGES = tuple(f"{kind}-{number}" for kind in KINDS for number in range(5))


@pytest.fixture(scope="session")
def make_kind_pool(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ImagePool]:
    """Make a pool of five images of each kind, with these texts by image id."""

    def make(texts: Mapping[str, tuple[str, ...]] | None = None) -> ImagePool:
        texts = texts or {}
        root = tmp_path_factory.mktemp("kinds")
        random = np.random.default_rng(0)
        centers = np.repeat(2 * random.normal(size=(len(KINDS), DIMENSION)), 5, axis=0)
        features = centers + random.normal(size=centers.shape) / 2
        records = [
            ImageRecord(i, f"{i}.png", "0" * 64, 8, 8, texts=texts.get(i, ())) for i in KIND_IMAGES
        ]
        content = PoolContent(records, features, EncoderId("tiny", "1" * 64), root)
        return ImagePool.write(root / "pool", content)

    return make


@pytest.fixture(scope="session")
def kind_pool(make_kind_pool: Callable[..., ImagePool]) -> ImagePool:
    """A pool without texts."""
    return make_kind_pool()


@pytest.fixture(scope="session")
def word_retriever_config(text_encoder: str) -> dict:
    """Config of a `voken_retriever` by form, with the vectors of the tiny encoder's pieces."""
    return {
        "model": {
            "@architectures": "spacy-vokens.WordMatching.v1",
            "hidden_width": 16,
            "width": 8,
            "words": {"@architectures": "spacy-vokens.PieceVectors.v1", "name": text_encoder},
            "loss": {"@voken_losses": "spacy-vokens.WordPositives.v1"},
        },
        # The texts that it is trained on have few words.
        "min_images": 0,
    }


def kind_captions(nlp: Language) -> list[Example]:
    """Three texts about each image: its kind, between words that any image may have."""
    return [
        caption(nlp, template.format(image.partition("-")[0]), image)
        for image in KIND_IMAGES
        for template in ("a {} !", "the {} in paris", "we see the big {} .")
    ]


@pytest.fixture(scope="session")
def make_word_vokenizer(
    word_retriever_config: dict, kind_pool: ImagePool
) -> Callable[..., Language]:
    """Make a pipeline with a retriever by form, trained for some steps and indexed."""

    def make(
        lang: str = LANG,
        *,
        steps: int = 0,
        indexed: bool = True,
        examples: Callable[[Language], list[Example]] = kind_captions,
        **settings: object,
    ) -> Language:
        nlp = spacy.blank(lang)
        retriever = nlp.add_pipe("voken_retriever", config=word_retriever_config | settings)
        pairs = examples(nlp)
        fix_random_seed(0)
        nlp.config["initialize"]["components"]["voken_retriever"] = {"pool": str(kind_pool.path)}
        optimizer = nlp.initialize(lambda: pairs)
        optimizer.learn_rate = 0.01
        for _ in range(steps):
            nlp.update(pairs, sgd=optimizer)
        if indexed:
            retriever.set_pool(kind_pool)
        return nlp

    return make


@pytest.fixture(scope="session")
def word_vokenizer_path(
    make_word_vokenizer: Callable[..., Language], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Folder of a vokenizer by form that knows what its images show."""
    path = tmp_path_factory.mktemp("models") / "word_vokenizer"
    make_word_vokenizer(steps=40).to_disk(path)
    return path


@pytest.fixture
def word_vokenizer(word_vokenizer_path: Path) -> Language:
    return spacy.load(word_vokenizer_path)


@pytest.fixture(scope="session")
def word_tagger_path(
    word_vokenizer_path: Path,
    make_tagger: Callable[..., Language],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Folder of transformer, retriever by form and tagger, in this order."""
    path = tmp_path_factory.mktemp("models") / "word_tagger"
    nlp = make_tagger("NoFusion")
    nlp.add_pipe("voken_retriever", source=spacy.load(word_vokenizer_path), after="transformer")
    nlp.to_disk(path)
    return path


@pytest.fixture(scope="session")
def kind_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of the texts about the images of each kind."""
    path = tmp_path_factory.mktemp("corpora") / "kinds.spacy"
    save_docs([example.reference for example in kind_captions(spacy.blank(LANG))], path)
    return path
