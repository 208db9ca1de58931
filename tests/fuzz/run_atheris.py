"""Fuzz one target with atheris: `python -m tests.fuzz.run_atheris TARGET [libFuzzer's options]`."""

from __future__ import annotations

import contextlib
import sys

import atheris

with atheris.instrument_imports(include=["spacy_vokens"]):
    from tests.fuzz.targets import DOCUMENTED, TARGETS


def main() -> None:
    target = TARGETS[sys.argv.pop(1)]

    def read(data: bytes) -> None:
        with contextlib.suppress(*DOCUMENTED):
            target.read(data)

    atheris.Setup(sys.argv, read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
