"""The splits of a corpus: one `.spacy` file each, named by its stem."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spacy.tokens import Doc
from spacy.vocab import Vocab

from ..corpus.docbin import corpus_files, load_docs
from ..files import VokensError

TRAINING = "train"
# Other names follow, sorted.
ORDER = (TRAINING, "dev", "valid", "validation", "test")


@dataclass(frozen=True)
class Split:
    """One split of a corpus.

    Attributes:
        name: The stem of its file; "train" is what a model learns from.
        docs: Its documents, empty ones too.
    """

    name: str
    docs: list[Doc]

    @property
    def is_training(self) -> bool:
        """Whether a model learns from it."""
        return self.name == TRAINING


def read_splits(path: Path, vocab: Vocab) -> list[Split]:
    """Read the splits of a corpus, "train" first.

    Args:
        path: A `.spacy` file, or a folder of them.
        vocab: The vocabulary that the documents share.

    Raises:
        FileNotFoundError: If there is no such file, or no `.spacy` file in the folder.
        VokensError: If a file is not a `.spacy` corpus or is damaged, or two files have the same
            stem.
    """
    files: dict[str, Path] = {}
    for file in corpus_files(path):
        first = files.setdefault(file.stem, file)
        if first is not file:
            raise VokensError(
                f"{first} and {file} are both called {file.stem}: name a folder with one corpus."
            )
    names = sorted(files, key=_place)
    return [Split(name, load_docs(files[name], vocab)) for name in names]


def _place(name: str) -> tuple[int, str]:
    return ORDER.index(name) if name in ORDER else len(ORDER), name
