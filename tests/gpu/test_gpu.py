"""Training, retrieval and tagging on a GPU; deselected unless asked for with `-m gpu`."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from PIL import Image
from spacy.language import Language
from spacy.tokens import Doc
from torch import nn
from typer.testing import CliRunner

from spacy_vokens.attributes import DOC_EXTENSIONS, TOKEN_EXTENSIONS, get_token_values
from spacy_vokens.cli import app
from spacy_vokens.corpus.docbin import load_docs, save_docs
from spacy_vokens.identity import EncoderId, PoolId
from spacy_vokens.images.embed import EmbedOptions, embed_images
from spacy_vokens.images.encoders import ImageEncoder
from spacy_vokens.images.pool import ImageRecord
from spacy_vokens.index import VokenIndex
from spacy_vokens.models.crf import crf_loss
from spacy_vokens.models.torch.crf import tag_set
from spacy_vokens.scoring.ner import bio_tags
from tests.conftest import WORDS

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device"),
]
GPU_ID = 0
TEXTS = ["anna in paris !", "we see anna .", "", "the red dog"]
# Below it two scores count as tied: half precision has three digits.
TIE = 0.02
PLAIN = (str, int, float, bool, type(None))


@pytest.fixture(autouse=True)
def leave_the_gpu() -> Iterator[None]:
    yield
    spacy.require_cpu()


@pytest.fixture(scope="module", params=[False, True], ids=["single", "mixed"])
def trained(
    request: pytest.FixtureRequest,
    train_configs: Callable[..., None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Folder of a pipeline whose two models were trained on the GPU, in either precision."""
    path = tmp_path_factory.mktemp("trained")
    train_configs(
        path,
        use_gpu=GPU_ID,
        vokenizer={
            "components.voken_retriever.model.tok2vec.tok2vec.mixed_precision": request.param
        },
        tagger={
            "components.transformer.model.mixed_precision": request.param,
            "components.visual_ner.model.mixed_precision": request.param,
        },
    )
    return path / "tagger" / "model-best"


def load_on_gpu(path: Path) -> Language:
    spacy.require_gpu(GPU_ID)
    return spacy.load(path)


def load_on_cpu(path: Path) -> Language:
    spacy.require_cpu()
    return spacy.load(path)


def random_texts(n: int) -> list[str]:
    rng = random.Random(0)
    return [" ".join(rng.choices(WORDS, k=rng.randint(1, 30))) for _ in range(n)]


def test_what_was_learned_on_the_gpu(trained: Path) -> None:
    docs = list(load_on_gpu(trained).pipe(TEXTS))
    assert bio_tags(docs[0]) == ["B-PER", "O", "B-LOC", "O"]
    assert get_token_values(docs[3], "voken")[2] == "dog"


def test_vokens_and_entities_are_the_cpus_but_for_ties(trained: Path) -> None:
    texts = TEXTS + random_texts(100)
    on_gpu = list(load_on_gpu(trained).pipe(texts))
    nlp = load_on_cpu(trained)
    nlp.get_pipe("voken_retriever").top_k = 2
    on_cpu = list(nlp.pipe(texts))
    n_ties = 0
    for theirs, ours in zip(on_gpu, on_cpu, strict=True):
        scores = get_token_values(ours, "voken_score")
        assert get_token_values(theirs, "voken_score") == pytest.approx(scores, abs=TIE)
        vokens, best = get_token_values(theirs, "voken"), get_token_values(ours, "vokens")
        for voken, ranked in zip(vokens, best, strict=True):
            if ranked is None or voken == ranked[0][0]:
                assert (voken is None) == (ranked is None)
            else:
                n_ties += 1
                assert voken == ranked[1][0]
                assert ranked[0][1] - ranked[1][1] < TIE
        if (found := bio_tags(theirs)) != bio_tags(ours):
            n_ties += 1
            assert is_tie(nlp, ours, found)
    # Else this compares nothing.
    assert n_ties < len(texts) / 10


def is_tie(nlp: Language, doc: Doc, tags: list[str]) -> bool:
    """Whether other tags than the document's own are as likely."""
    tagger = nlp.get_pipe("visual_ner")
    numbers = {tag: number for number, tag in enumerate(tag_set(tagger.labels))}
    (tagged,) = tagger.predict([doc])
    crf = tagger.model.get_ref("crf")
    own, other = (
        crf_loss(crf, [tagged.emissions], [[numbers[tag] for tag in sequence]])[0]
        for sequence in (bio_tags(doc), tags)
    )
    return abs(own - other) < TIE * len(doc)


def test_our_values_on_documents_are_plain(trained: Path) -> None:
    ours = {*TOKEN_EXTENSIONS, *DOC_EXTENSIONS}
    for doc in load_on_gpu(trained).pipe(TEXTS):
        values = [value for key, value in doc.user_data.items() if key[1] in ours]
        assert len(values) >= 3 * len(doc)
        assert all(type(value) in PLAIN for value in values)


def test_doc_cleaner_takes_the_transformers_arrays_off_the_documents(trained: Path) -> None:
    nlp = load_on_gpu(trained)
    assert any(device_arrays(doc) for doc in nlp.pipe(TEXTS))
    nlp.add_pipe("doc_cleaner")
    docs = list(nlp.pipe(TEXTS))
    assert bio_tags(docs[0]) == ["B-PER", "O", "B-LOC", "O"]
    assert [device_arrays(doc) for doc in docs] == [[]] * len(docs)


def device_arrays(doc: Doc) -> list[Any]:
    """The arrays of CuPy's and the tensors of torch's on a GPU that a document holds."""
    found: list[Any] = []
    seen: set[int] = set()

    def visit(value: Any) -> None:
        if id(value) in seen or isinstance(value, (*PLAIN, np.ndarray)):
            return
        seen.add(id(value))
        if hasattr(value, "__cuda_array_interface__") or (
            isinstance(value, torch.Tensor) and value.is_cuda
        ):
            found.append(value)
        elif isinstance(value, dict):
            for part in value.values():
                visit(part)
        elif isinstance(value, (list, tuple)):
            for part in value:
                visit(part)
        elif hasattr(value, "__dict__"):
            visit(vars(value))

    visit([doc.user_data, doc.tensor])
    return found


def test_documents_do_not_fill_the_gpu(trained: Path) -> None:
    nlp = load_on_gpu(trained)
    nlp.add_pipe("doc_cleaner")
    docs = list(nlp.pipe(random_texts(200)))
    before = torch.cuda.memory_allocated(GPU_ID)
    docs += nlp.pipe(random_texts(400))
    assert torch.cuda.memory_allocated(GPU_ID) <= before + 2**20
    assert len(docs) == 600


def test_vokenize_gives_what_it_gives_on_the_cpu(trained: Path, tmp_path: Path) -> None:
    nlp = load_on_cpu(trained)
    save_docs([nlp.make_doc(text) for text in TEXTS], tmp_path / "in.spacy")
    scores = []
    for gpu_id in (-1, GPU_ID):
        output = tmp_path / f"{gpu_id}.spacy"
        arguments = ["vokenize", trained, tmp_path / "in.spacy", output, "--gpu-id", gpu_id]
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
        docs = load_docs(output, nlp.vocab)
        scores.append([score for doc in docs for score in get_token_values(doc, "voken_score")])
        spacy.require_cpu()
    assert len([score for score in scores[0] if score is not None]) >= 8
    assert scores[1] == pytest.approx(scores[0], abs=TIE)


def test_images_have_the_same_features(tmp_path: Path) -> None:
    def transform(image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.asarray(image, np.float32)).permute(2, 0, 1) / 255

    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for number in range(5):
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number}.png")
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()).eval().requires_grad_(False)
    encoder = ImageEncoder(EncoderId("random", "0" * 64), module, transform, 144)
    on_cpu, on_gpu = (
        embed_images(
            tmp_path / "pictures", tmp_path / device[:4], encoder, EmbedOptions(device=device)
        ).pool
        for device in ("cpu", f"cuda:{GPU_ID}")
    )
    assert on_gpu.ids == on_cpu.ids
    np.testing.assert_allclose(on_gpu.features, on_cpu.features, atol=5e-3)


def test_faiss_finds_the_same_images_on_the_gpu() -> None:
    import faiss

    if not hasattr(faiss, "StandardGpuResources") or not faiss.get_num_gpus():
        pytest.skip("FAISS is installed without GPU support")
    rng = np.random.default_rng(0)
    keys, queries = rng.normal(size=(5000, 64)), rng.normal(size=(500, 64))
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    records = [ImageRecord(f"{row:04}", f"{row}.png", "0" * 64, 1, 1) for row in range(len(keys))]
    names = {"pool": PoolId("ab" * 32), "encoder": EncoderId("tiny", "1" * 64)}
    index = VokenIndex(keys, records, {}, **names, image_root=".")
    ids, scores = index.search(queries, 2)
    on_gpu = faiss.index_cpu_to_gpu(
        faiss.StandardGpuResources(), GPU_ID, faiss.IndexFlatIP(keys.shape[1])
    )
    on_gpu.add(index.keys)
    found_scores, rows = on_gpu.search(queries.astype(np.float32), 1)
    untied = scores[:, 0] - scores[:, 1] > TIE
    assert untied.mean() > 0.5
    assert [index.ids[row] for row in rows[untied, 0]] == ids[untied, 0].tolist()
    np.testing.assert_allclose(found_scores[:, 0], scores[:, 0], atol=TIE)
