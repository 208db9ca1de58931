"""A trainable component that is stored as a few files, in a folder or in bytes alike."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import ClassVar

import srsly
from spacy.pipeline import TrainablePipe
from spacy.util import ensure_path

from ..files import file_written_aside


class FilePipe(TrainablePipe):
    """Subclasses say what their files are; this class carries them.

    Each file is in memory while it is read or written, and none is mapped: a pipeline can be saved
    over the folder it was loaded from.
    """

    # Files that the component has at some times only.
    OPTIONAL_FILES: ClassVar[tuple[str, ...]] = ()

    def to_files(self) -> dict[str, bytes]:
        """Everything the component needs, by file name."""
        return {"cfg.json": srsly.json_dumps(self.cfg).encode(), "model": self.model.to_bytes()}

    def from_files(self, files: dict[str, bytes], exclude: Collection[str] = ()) -> None:
        """Restore what `to_files` gave; `build_layers` comes between settings and weights."""
        if "cfg" not in exclude:
            self.cfg = srsly.json_loads(files["cfg.json"])
            self.build_layers()
        if "model" not in exclude:
            self.model.from_bytes(files["model"])

    def build_layers(self) -> None:
        """Make the layers whose widths `self.cfg` tells; none before `initialize`."""

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Store the component in bytes.

        exclude: names of files, without their extensions, to leave out.
        """
        return srsly.msgpack_dumps(_without(self.to_files(), list(exclude)))

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> FilePipe:
        """Load what `to_bytes` stored.

        exclude: names of files, without their extensions, to pass over.
        """
        exclude = list(exclude)
        self.from_files(_without(srsly.msgpack_loads(bytes_data), exclude), exclude)
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Store the component in a folder; each file replaces its older self at once.

        Of what was stored there before nothing is left, but foreign files are.

        exclude: as for `to_bytes`.
        """
        folder = ensure_path(path)
        files = _without(self.to_files(), list(exclude))
        for name, data in files.items():
            with file_written_aside(folder / name) as aside:
                aside.write_bytes(data)
        for name in set(self.OPTIONAL_FILES) - set(files):
            (folder / name).unlink(missing_ok=True)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> FilePipe:
        """Load what `to_disk` stored.

        exclude: as for `from_bytes`.
        raises ValueError: naming the folder, when a file is missing or damaged.
        """
        folder, exclude = ensure_path(path), list(exclude)
        files: dict[str, bytes] = {}
        if folder.is_dir():
            files = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
        try:
            self.from_files(_without(files, exclude), exclude)
        except KeyError as error:
            raise ValueError(f"{self.name}: {folder} has no file {error}: restore it.") from error
        except ValueError as error:
            raise ValueError(f"{self.name}: {folder}: {error}") from error
        return self


def _without(files: dict[str, bytes], exclude: Collection[str]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if name.split(".")[0] not in exclude}
