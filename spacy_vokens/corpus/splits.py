"""The parts of a corpus: one `.spacy` file each, named by its stem."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spacy.tokens import Doc
from spacy.vocab import Vocab

from .docbin import corpus_files, load_docs

TRAINING = "train"
# In the order in which they are used; others follow by their names.
ORDER = (TRAINING, "dev", "valid", "validation", "test")


@dataclass(frozen=True)
class Split:
    """One part of a corpus.

    name: its file's stem; the part called "train" is what a model learns from.
    docs: its documents, empty ones too.
    """

    name: str
    docs: list[Doc]

    @property
    def is_training(self) -> bool:
        return self.name == TRAINING


def read_splits(path: Path, vocab: Vocab) -> list[Split]:
    """The parts of a corpus, "train" first.

    path: a `.spacy` file, or a folder of them.
    vocab: the vocabulary that the documents share.
    raises FileNotFoundError: as `corpus_files` does.
    raises ValueError: as `load_docs` does, or where two files have the same stem.
    """
    files: dict[str, Path] = {}
    for file in corpus_files(path):
        first = files.setdefault(file.stem, file)
        if first is not file:
            raise ValueError(
                f"{first} and {file} are both called {file.stem}: name a folder that holds one "
                "corpus."
            )
    names = sorted(files, key=_place)
    return [Split(name, load_docs(files[name], vocab)) for name in names]


def _place(name: str) -> tuple[int, str]:
    return ORDER.index(name) if name in ORDER else len(ORDER), name
