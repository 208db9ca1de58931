"""A trainable component that is stored as a few files, in a folder or in bytes alike."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import srsly
from spacy.pipeline import TrainablePipe
from spacy.util import ensure_path


class FilePipe(TrainablePipe):
    """Subclasses say what their files are; this class carries them.

    Each file is in memory while it is read or written, and none is mapped: a pipeline can be saved
    over the folder it was loaded from.
    """

    def to_files(self) -> dict[str, bytes]:
        """Everything the component needs, by file name."""
        return {"cfg.json": srsly.json_dumps(self.cfg).encode(), "model": self.model.to_bytes()}

    def from_files(self, files: dict[str, bytes]) -> None:
        """Restore what `to_files` gave; `build_layers` comes between settings and weights."""
        self.cfg = srsly.json_loads(files["cfg.json"])
        self.build_layers()
        self.model.from_bytes(files["model"])

    def build_layers(self) -> None:
        """Make the layers whose widths `self.cfg` tells; none before `initialize`."""

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Store the component in bytes."""
        files = self.to_files().items()
        return srsly.msgpack_dumps({name: data for name, data in files if name not in exclude})

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> FilePipe:
        """Load what `to_bytes` stored."""
        self.from_files(srsly.msgpack_loads(bytes_data))
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Store the component in a folder; each file replaces its older self at once."""
        folder = ensure_path(path)
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in self.to_files().items():
            if name not in exclude:
                aside = folder / f"{name}.new"
                aside.write_bytes(data)
                os.replace(aside, folder / name)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> FilePipe:
        """Load what `to_disk` stored.

        raises ValueError: naming the folder, when a file is missing or damaged.
        """
        folder = ensure_path(path)
        files: dict[str, bytes] = {}
        if folder.is_dir():
            files = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
        try:
            self.from_files(files)
        except KeyError as error:
            raise ValueError(f"{self.name}: {folder} has no file {error}: restore it.") from error
        except ValueError as error:
            raise ValueError(f"{self.name}: {folder}: {error}") from error
        return self
