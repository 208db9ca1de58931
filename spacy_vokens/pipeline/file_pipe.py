"""A trainable component that is stored as a few files, in a folder or in bytes alike."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, ClassVar

import srsly
from spacy.pipeline import TrainablePipe
from spacy.training import Example
from spacy.util import ensure_path

from ..files import file_written_aside

FORMAT_VERSION = 1
# Of a layer; what a file claims is bounded before anything is made of it.
MAX_WIDTH = 1 << 16
MANIFEST = "manifest.json"


class FilePipe(TrainablePipe):
    """Subclasses say what their files are; this class carries and verifies them.

    `manifest.json` has the SHA-256 of every file, and is written last: what was damaged, exchanged
    or half written is noticed on loading. Each file is in memory while it is read or written, and
    none is mapped: a pipeline can be saved over the folder it was loaded from.
    """

    # Files that the component has at some times only.
    OPTIONAL_FILES: ClassVar[tuple[str, ...]] = ()

    def to_files(self) -> dict[str, bytes]:
        """Everything the component needs, by file name."""
        return {"cfg.json": srsly.json_dumps(self.cfg).encode(), "model": self.model.to_bytes()}

    def from_files(self, files: dict[str, bytes], exclude: Collection[str] = ()) -> None:
        """Restore what `to_files` gave; `build_layers` comes between settings and weights."""
        if "cfg" not in exclude:
            cfg = srsly.json_loads(files["cfg.json"])
            if not isinstance(cfg, dict):
                raise ValueError("cfg.json must hold settings by name.")
            self.cfg = cfg
            self.build_layers()
        if "model" not in exclude:
            self.model.from_bytes(files["model"])

    def build_layers(self) -> None:
        """Make the layers whose widths `self.cfg` tells; none before `initialize`.

        raises ValueError: where `self.cfg` cannot be a component's settings.
        """

    def rehearse(self, examples: Iterable[Example], **config: Any) -> None:
        """Warn that the component does not rehearse, and leave it as it is."""
        warnings.warn(
            f"{self.name} does not rehearse: to keep it from forgetting, freeze it, or mix "
            "examples of the old kind into those of nlp.update.",
            stacklevel=2,
        )

    def get_width(self, name: str) -> int:
        """A width among the settings.

        raises ValueError: where it is none, or above `MAX_WIDTH`.
        """
        width = self.cfg.get(name)
        if not isinstance(width, int) or not 0 <= width <= MAX_WIDTH:
            raise ValueError(f"cfg.json: {name} must be 0 to {MAX_WIDTH}, found {width!r}.")
        return width

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Store the component in bytes.

        exclude: names of files, without their extensions, to leave out.
        """
        return srsly.msgpack_dumps(self._files_and_manifest(list(exclude)))

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> FilePipe:
        """Load what `to_bytes` stored.

        exclude: names of files, without their extensions, to pass over.
        raises ValueError: when a file is missing, damaged, or none of this component's.
        """
        try:
            files = srsly.msgpack_loads(bytes_data)
            self._restore(files, files[MANIFEST], list(exclude))
        except Exception as error:
            raise ValueError(f"{self.name}: {_reason(error)}") from error
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Store the component in a folder; each file replaces its older self at once.

        Of what was stored there before nothing is left, but foreign files are.

        exclude: as for `to_bytes`.
        """
        folder = ensure_path(path)
        files = self._files_and_manifest(list(exclude))
        for name, data in files.items():
            with file_written_aside(folder / name) as aside:
                aside.write_bytes(data)
        for name in set(self.OPTIONAL_FILES) - set(files):
            (folder / name).unlink(missing_ok=True)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> FilePipe:
        """Load what `to_disk` stored.

        exclude: as for `from_bytes`.
        raises ValueError: naming the folder, when a file is missing, damaged, or none of this
            component's.
        """
        folder, exclude = ensure_path(path), list(exclude)
        files = {p.name: p for p in folder.iterdir() if p.is_file()} if folder.is_dir() else {}
        try:
            manifest = files[MANIFEST].read_bytes()
            wanted = _without(_hashes(manifest), exclude)
            # By the names in the folder, so that no name in a manifest leads out of it.
            read = {name: file.read_bytes() for name, file in files.items() if name in wanted}
            self._restore(read, manifest, exclude)
        except Exception as error:
            raise ValueError(f"{self.name}: {folder}: {_reason(error)}") from error
        return self

    def _files_and_manifest(self, exclude: Collection[str]) -> dict[str, bytes]:
        files = _without(self.to_files(), exclude)
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        manifest = {"version": FORMAT_VERSION, "sha256": hashes}
        return {**files, MANIFEST: json.dumps(manifest, indent=1).encode()}

    def _restore(self, files: dict[str, bytes], manifest: bytes, exclude: Collection[str]) -> None:
        """Load the files of a manifest, once each is found to be what it says."""
        wanted = _without(_hashes(manifest), exclude)
        for name, expected in wanted.items():
            if name not in files or hashlib.sha256(files[name]).hexdigest() != expected:
                raise ValueError(
                    f"{name} is missing or damaged (its sha256 is not the one in {MANIFEST}): "
                    "restore it."
                )
        self.from_files({name: files[name] for name in wanted}, exclude)


def _hashes(manifest: bytes) -> dict[str, str]:
    """The SHA-256 of every file, by its name."""
    content: Any = json.loads(manifest)
    version = content["version"]
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{MANIFEST} is of format {version!r}, and this version of spacy-vokens reads format "
            f"{FORMAT_VERSION}: upgrade spacy-vokens, or store the pipeline anew with this version."
        )
    return content["sha256"]


def _reason(error: Exception) -> str:
    """What stands behind an error of the parsers, whatever its kind."""
    if isinstance(error, KeyError):
        return f"it has no {error}: restore it."
    if isinstance(error, ValueError):
        return str(error)
    return f"it cannot be read ({type(error).__name__}: {error}): restore it."


def _without(files: dict[str, Any], exclude: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in files.items() if name.split(".")[0] not in exclude}
