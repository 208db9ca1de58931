"""Components stored as a few verified files, and pipelines saved completely or not at all."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import spacy
import srsly
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.training import Example
from spacy.util import ensure_path
from spacy_transformers.layers.hf_shim import HFShim
from thinc.api import Model, PyTorchShim

from ..files import VokensError, folder_written_aside, sole_writer
from ..models.torch_layer import TorchShim

ShimT = TypeVar("ShimT", bound=PyTorchShim)

FORMAT_VERSION = 1
# Bounds the width of a layer that a file can ask for.
MAX_WIDTH = 1 << 16
MANIFEST = "manifest.json"


class FilePipe(TrainablePipe):
    """A component that is stored as verified files.

    The settings in `cfg.json` and the weights in `model` are stored here; subclasses return their
    further files from `to_files` and restore them in `from_files`. The file `manifest.json` has the
    SHA-256 of every other file and is written last, so that a damaged, exchanged or half-written
    file is noticed on loading. No file is memory-mapped: a pipeline can be saved over the folder
    that it was loaded from.

    Attributes:
        OPTIONAL_FILES: Names of the further files. The component does not always have them.
        WIDTHS: Names of the settings that are widths of layers.
    """

    OPTIONAL_FILES: ClassVar[tuple[str, ...]] = ()
    WIDTHS: ClassVar[tuple[str, ...]] = ()

    def to_files(self) -> dict[str, bytes]:
        """Return the further files that the component has now.

        Returns:
            The content of each file, by name.
        """
        return {}

    def from_files(self, files: dict[str, bytes], exclude: Collection[str] = ()) -> None:
        """Restore what is in the further files.

        Args:
            files: All files of the component, by name.
            exclude: Names of files to ignore, without extensions.

        Raises:
            VokensError: If a file cannot be used.
        """

    def build_layers(self) -> None:
        """Make the layers. `self.cfg` may lack the widths before `initialize`.

        Raises:
            VokensError: If `self.cfg` does not hold this component's settings.
        """

    def rehearse(self, examples: Iterable[Example], **config: Any) -> None:
        """Warn that the component does not rehearse, and do nothing."""
        warnings.warn(
            f"{self.name} does not rehearse. To keep it from forgetting, freeze it, or mix "
            "examples of the old kind into those of nlp.update.",
            stacklevel=2,
        )

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Serialize the component to bytes.

        Args:
            exclude: Names of files to leave out, without extensions.

        Returns:
            The component, for `from_bytes`.
        """
        return srsly.msgpack_dumps(self._files_and_manifest(set(exclude)))

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> FilePipe:
        """Load the component from bytes.

        Args:
            bytes_data: What `to_bytes` returned.
            exclude: Names of files to ignore, without extensions.

        Returns:
            The component itself.

        Raises:
            VokensError: If a file is missing, damaged or of another component.
        """
        try:
            files = srsly.msgpack_loads(bytes_data)
            self._restore(files.__getitem__, set(exclude))
        except Exception as error:
            raise VokensError(f"{self.name}: {_explain(error)}") from error
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Save the component to a folder.

        Its older files in the folder are replaced or removed. Other files stay.

        Args:
            path: The folder. It is made if it does not exist.
            exclude: Names of files to leave out, without extensions.
        """
        folder = ensure_path(path)
        files = self._files_and_manifest(set(exclude))
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
        for name in set(self.OPTIONAL_FILES) - set(files):
            (folder / name).unlink(missing_ok=True)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> FilePipe:
        """Load the component from a folder.

        Args:
            path: The folder.
            exclude: Names of files to ignore, without extensions.

        Returns:
            The component itself.

        Raises:
            VokensError: If a file is missing, damaged or of another component. The message names
                the folder.
        """
        folder = ensure_path(path)
        # Only files that are really in the folder are read, whatever names a manifest has.
        paths = {p.name: p for p in folder.iterdir() if p.is_file()} if folder.is_dir() else {}
        try:
            self._restore(lambda name: paths[name].read_bytes(), set(exclude))
        except Exception as error:
            raise VokensError(f"{self.name}: {folder}: {_explain(error)}") from error
        return self

    def _files_and_manifest(self, exclude: Collection[str]) -> dict[str, bytes]:
        """Return the files, without those to exclude, and last the manifest."""
        files = {
            "cfg.json": srsly.json_dumps(self.cfg).encode(),
            "model": self.model.to_bytes(),
            **self.to_files(),
        }
        files = {name: data for name, data in files.items() if name.split(".")[0] not in exclude}
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        manifest = {"version": FORMAT_VERSION, "sha256": hashes}
        return {**files, MANIFEST: json.dumps(manifest, indent=1).encode()}

    def _restore(self, read: Callable[[str], bytes], exclude: Collection[str]) -> None:
        """Verify the files of a manifest and restore the component from them.

        Args:
            read: Returns a file's content by its name, and raises KeyError if there is no such
                file.
            exclude: Names of files to ignore, without extensions.
        """
        manifest = json.loads(read(MANIFEST))
        version = manifest["version"]
        if version != FORMAT_VERSION:
            raise VokensError(
                f"{MANIFEST} has format {version!r}, but this version of spacy-vokens reads format "
                f"{FORMAT_VERSION}: upgrade spacy-vokens, or save the pipeline with this version."
            )
        files = {}
        for name, sha256 in manifest["sha256"].items():
            if name.split(".")[0] in exclude:
                continue
            try:
                data = read(name)
            except KeyError:
                data = None
            if data is None or hashlib.sha256(data).hexdigest() != sha256:
                raise VokensError(
                    f"{name} is missing or damaged (its SHA-256 is not the one in {MANIFEST}): "
                    "restore it."
                )
            files[name] = data
        if "cfg" not in exclude:
            cfg = srsly.json_loads(files["cfg.json"])
            if not isinstance(cfg, dict):
                raise VokensError("cfg.json must hold settings by name.")
            for name in self.WIDTHS:
                # A component that has labels but is not initialized has no widths yet.
                width = cfg.get(name, 0)
                if not isinstance(width, int) or not 0 <= width <= MAX_WIDTH:
                    raise VokensError(
                        f"cfg.json: {name} must be 0 to {MAX_WIDTH}, found {width!r}."
                    )
            self.cfg = cfg
            self.build_layers()
        if "model" not in exclude:
            self.model.from_bytes(files["model"])
        self.from_files(files, exclude)


def _explain(error: Exception) -> str:
    """Say why files cannot be read. Parsers raise errors of any kind."""
    if isinstance(error, KeyError):
        return f"{error} is missing: restore it."
    if isinstance(error, VokensError):
        return str(error)
    return f"it cannot be read ({type(error).__name__}: {error}): restore it."


@dataclass(frozen=True)
class ShrinkReport:
    """What `shrink` did.

    Attributes:
        n_transformers: How many transformers were halved.
        n_bytes: Size of the saved pipeline.
    """

    n_transformers: int
    n_bytes: int


def shrink(model: str | Path, output: Path) -> ShrinkReport:
    """Save a pipeline with its networks in half precision, at half their size on disk.

    The word embeddings of transformers take 8 bits per value. All are loaded in single precision
    again, so speed and memory do not change.

    Args:
        model: Name of an installed pipeline, or its folder.
        output: Folder for the smaller pipeline. It may be the same folder.

    Returns:
        How many transformers were halved, and the size of what was saved.

    Raises:
        OSError: If there is no such pipeline.
        FileExistsError: If `output` holds anything other than a pipeline.
        BlockingIOError: If another process is writing `output`.
    """
    with sole_writer(output):
        nlp = spacy.load(model)
        shims = list(_transformers(nlp))
        for shim in [*shims, *_shims(nlp, TorchShim)]:
            shim._model.half()
        save_pipeline(nlp, output)
    n_bytes = sum(file.stat().st_size for file in output.rglob("*") if file.is_file())
    return ShrinkReport(len(shims), n_bytes)


def save_pipeline(nlp: Language, path: Path) -> None:
    """Write a pipeline aside and move it into place, replacing an older pipeline.

    The saved files do not tell which folders the transformers were loaded from, so that equal
    pipelines are stored as equal bytes.

    Args:
        nlp: The pipeline.
        path: Its folder.

    Raises:
        FileExistsError: If `path` holds anything other than a pipeline.
        BlockingIOError: If another process is writing `path`.
    """
    configs = [shim._model.config for shim in _transformers(nlp)]
    names = [config._name_or_path for config in configs]
    try:
        for config in configs:
            config._name_or_path = ""
        with folder_written_aside(path, marker="meta.json", overwrite=True) as aside:
            nlp.to_disk(aside)
    finally:
        for config, name in zip(configs, names, strict=True):
            config._name_or_path = name


def _transformers(nlp: Language) -> Iterator[HFShim]:
    return _shims(nlp, HFShim)


def _shims(nlp: Language, kind: type[ShimT]) -> Iterator[ShimT]:
    for _, pipe in nlp.pipeline:
        model = getattr(pipe, "model", None)
        for node in model.walk() if isinstance(model, Model) else ():
            yield from (shim for shim in node.shims if isinstance(shim, kind))
