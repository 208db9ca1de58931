from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import srsly
from spacy.language import Language

from spacy_vokens.files import array_to_bytes
from spacy_vokens.pipeline.serialize import _transformers, save_pipeline

FILES = [
    *(f"voken_retriever/{name}" for name in ("cfg.json", "model", "manifest.json")),
    *(f"voken_retriever/{name}" for name in ("keys.npy", "images.jsonl", "meta.json")),
    "voken_retriever/thumbnails.msgpack",
    *(f"visual_ner/{name}" for name in ("cfg.json", "model", "images", "manifest.json")),
]


@pytest.fixture(scope="module")
def saved(
    make_tagger: Callable[..., Language],
    vokenizer_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Folder of a pipeline of retriever, transformer and tagger."""
    path = tmp_path_factory.mktemp("saved") / "pipeline"
    make_tagger("GatedFusion", into=spacy.load(vokenizer_path)).to_disk(path)
    return path


@pytest.fixture(scope="module")
def loaded(saved: Path) -> Language:
    return spacy.load(saved)


@pytest.fixture
def pipeline(saved: Path, tmp_path: Path) -> Path:
    """A copy, to be damaged."""
    return shutil.copytree(saved, tmp_path / "pipeline")


def truncate(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize("damage", [truncate, flip, lambda data: b"", None])
@pytest.mark.parametrize("name", FILES)
def test_damage_is_named(
    loaded: Language,
    saved: Path,
    tmp_path: Path,
    name: str,
    damage: Callable[[bytes], bytes] | None,
) -> None:
    component, _, inner = name.partition("/")
    folder = shutil.copytree(saved / component, tmp_path / component)
    file = folder / inner
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=component) as error:
        loaded.get_pipe(component).from_disk(folder)
    assert str(folder) in str(error.value)
    if inner != "manifest.json":
        assert f"{inner} is missing or damaged" in str(error.value)


def test_damage_ends_the_loading_of_a_pipeline(pipeline: Path) -> None:
    (pipeline / "voken_retriever" / "keys.npy").unlink()
    with pytest.raises(ValueError, match=r"voken_retriever.*keys\.npy is missing or damaged"):
        spacy.load(pipeline)


def test_files_of_two_pipelines_do_not_mix(
    pipeline: Path, make_vokenizer: Callable[..., Language], tmp_path: Path
) -> None:
    make_vokenizer(steps=3).to_disk(tmp_path / "other")
    shutil.copy(tmp_path / "other/voken_retriever/keys.npy", pipeline / "voken_retriever/keys.npy")
    with pytest.raises(ValueError, match=r"voken_retriever.*keys\.npy is missing or damaged"):
        spacy.load(pipeline)


def test_components_of_two_pools_do_not_mix(
    pipeline: Path, make_pool: Callable[..., Any], vokenizer: Language, tmp_path: Path
) -> None:
    vokenizer.get_pipe("voken_retriever").set_pool(make_pool(seed=3))
    vokenizer.to_disk(tmp_path / "other")
    shutil.rmtree(pipeline / "voken_retriever")
    shutil.copytree(tmp_path / "other/voken_retriever", pipeline / "voken_retriever")
    nlp = spacy.load(pipeline)
    with pytest.raises(ValueError, match="so that both use one pool"):
        nlp("a red cat")


def test_a_file_in_the_place_of_the_folder(pipeline: Path) -> None:
    shutil.rmtree(pipeline / "visual_ner")
    (pipeline / "visual_ner").write_text("no folder")
    with pytest.raises(ValueError, match=r"visual_ner: .*'manifest\.json' is missing: restore it"):
        spacy.load(pipeline)


def forge(folder: Path, **files: bytes) -> None:
    """Exchange files, and their hashes too; `a__b` stands for `a.b`."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for key, data in files.items():
        name = key.replace("__", ".")
        (folder / name).write_bytes(data)
        manifest["sha256"][name] = hashlib.sha256(data).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"version": 2}, "has format 2, but this version of spacy-vokens reads format 1"),
        ({"version": None}, "has format None"),
        ({"sha256": ["model"]}, "cannot be read"),
        ({"sha256": {"../config.cfg": "0" * 64}}, r"\.\./config\.cfg is missing or damaged"),
        ({"sha256": {}}, r"'cfg\.json' is missing"),
    ],
)
def test_a_manifest_of_something_else(pipeline: Path, changed: dict, message: str) -> None:
    file = pipeline / "visual_ner" / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))
    with pytest.raises(ValueError, match=message):
        spacy.load(pipeline)


@pytest.mark.parametrize(
    ("component", "changed", "message"),
    [
        ("visual_ner", {"width": 10**12}, "width must be 0 to 65536, found 1000000000000"),
        ("visual_ner", {"image_width": "6"}, "image_width must be 0 to 65536, found '6'"),
        ("visual_ner", {"labels": ["X"] * 1001}, "1001 labels are more than 1000"),
        ("visual_ner", {"labels": [1]}, "labels must be a list of strings"),
        ("visual_ner", {"width": 8}, "cannot be read"),
        ("voken_retriever", {"text_width": -1}, "text_width must be 0 to 65536"),
        ("voken_retriever", {"image_width": 7}, "cannot be read"),
    ],
)
def test_settings_are_bounded_before_anything_is_made(
    pipeline: Path, component: str, changed: dict, message: str
) -> None:
    folder = pipeline / component
    cfg = json.loads((folder / "cfg.json").read_bytes()) | changed
    forge(folder, cfg__json=json.dumps(cfg).encode())
    with pytest.raises(ValueError, match=rf"{component}.*{message}"):
        spacy.load(pipeline)


@pytest.mark.parametrize("cfg", [b"[]", b"[" * 100_000, b"\xff"])
def test_settings_that_are_none(pipeline: Path, cfg: bytes) -> None:
    forge(pipeline / "visual_ner", cfg__json=cfg)
    with pytest.raises(ValueError, match="visual_ner"):
        spacy.load(pipeline)


def test_a_size_that_is_only_claimed_is_not_allocated(pipeline: Path) -> None:
    shape, claimed = b"(6, 8), }" + b" " * 12, b"(9999999, 9999999), }"
    header = array_to_bytes(np.zeros((6, 8), np.float32))
    assert header.count(shape) == 1
    header = header.replace(shape, claimed)
    forge(pipeline / "voken_retriever", keys__npy=header)
    with pytest.raises(ValueError, match=r"192 bytes of values for an array of shape \(9999999"):
        spacy.load(pipeline)


def test_keys_that_are_not_finite(pipeline: Path) -> None:
    keys = np.full((6, 8), np.nan, np.float32)
    forge(pipeline / "voken_retriever", keys__npy=array_to_bytes(keys))
    with pytest.raises(ValueError, match="a key has no direction"):
        spacy.load(pipeline)


@pytest.mark.parametrize("data", [b"", b"\xc1", srsly.msgpack_dumps({"cfg.json": b"{}"})])
def test_bytes_of_something_else(saved: Path, data: bytes) -> None:
    with pytest.raises(ValueError, match="voken_retriever"):
        spacy.load(saved).get_pipe("voken_retriever").from_bytes(data)


def test_saving_tells_no_folder_and_leaves_the_live_pipeline_alone(
    saved: Path, tmp_path: Path
) -> None:
    nlp = spacy.load(saved)
    configs = [shim._model.config for shim in _transformers(nlp)]
    assert len(configs) == 2
    for number, config in enumerate(configs):
        config._name_or_path = f"/home/somebody/{number}"
    save_pipeline(nlp, tmp_path / "out")
    assert [config._name_or_path for config in configs] == ["/home/somebody/0", "/home/somebody/1"]
    stored = [shim._model.config for shim in _transformers(spacy.load(tmp_path / "out"))]
    assert not any("somebody" in config._name_or_path for config in stored)


def test_a_pipeline_moves(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "elsewhere")
    text = "a red cat in paris"
    before, after = spacy.load(saved)(text), spacy.load(tmp_path / "elsewhere")(text)
    assert [t._.voken for t in before] == [t._.voken for t in after]
    image = spacy.load(tmp_path / "elsewhere").get_pipe("voken_retriever").image("cat")
    assert image.open().size == (8, 8), "where the file is not found, the thumbnail is shown"
