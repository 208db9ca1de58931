"""`spacy vokens convert`: captions tables and CoNLL files to `.spacy` corpora."""

from __future__ import annotations

from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from wasabi import msg

if TYPE_CHECKING:
    from spacy.tokens import Doc


class Format(str, Enum):
    """What the input is; `auto` goes by its file name."""

    auto = "auto"
    conll = "conll"
    captions = "captions"


SUFFIXES = {".tsv": Format.captions, ".txt": Format.conll, ".conll": Format.conll}


def convert(
    input_path: Annotated[
        Path,
        typer.Argument(
            metavar="IN",
            help="CoNLL file with IMGID: lines, a folder of such files, or a table of image, "
            "split and caption",
            exists=True,
        ),
    ],
    output_path: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="For one CoNLL file the .spacy file to write; else a folder for NAME.spacy or "
            "SPLIT.spacy",
        ),
    ],
    file_format: Annotated[
        Format,
        typer.Option("--format", help="auto: .tsv is captions; .txt, .conll and folders are CoNLL"),
    ] = Format.auto,
    rename: Annotated[
        list[str] | None,
        typer.Option(metavar="OLD=NEW", help="CoNLL: rename an entity type. May be repeated"),
    ] = None,
    lang: Annotated[str, typer.Option(help="Captions: the language of the tokeniser")] = "en",
    max_captions: Annotated[
        int | None, typer.Option(min=1, help="Captions: the first so many of every image")
    ] = None,
) -> None:
    """Convert captions or CoNLL files to .spacy corpora.

    A caption becomes a document with its image's id, for training a vokenizer. A CoNLL sentence
    becomes a document with its entities, its image's id and its tags as the file has them.
    """
    from ..files import sole_writer

    file_format = _resolve_format(file_format, input_path)
    try:
        with sole_writer(output_path):
            if file_format is Format.conll:
                corpora = _read_conll(input_path, output_path, rename or [])
            else:
                if rename:
                    raise typer.BadParameter("--rename is about entity types: captions have none.")
                corpora = _read_captions(input_path, output_path, lang, max_captions)
            _write(corpora)
    except (ImportError, OSError, ValueError) as error:
        msg.fail(f"Could not convert {input_path}", str(error), exits=1)


def _resolve_format(file_format: Format, path: Path) -> Format:
    if file_format is not Format.auto:
        return file_format
    if path.is_dir():
        return Format.conll
    try:
        return SUFFIXES[path.suffix]
    except KeyError:
        known = ", ".join(SUFFIXES)
        raise typer.BadParameter(
            f"{path} ends in none of {known}: say what it is with --format."
        ) from None


def _read_conll(input_path: Path, output_path: Path, rename: list[str]) -> dict[Path, list[Doc]]:
    from spacy.vocab import Vocab

    from ..corpus.conll import read_conll
    from ..corpus.convert import tagged_doc

    if input_path.is_dir():
        files = [path for path in sorted(input_path.iterdir()) if path.suffix in (".txt", ".conll")]
        paths = {path: output_path / f"{path.stem}.spacy" for path in files}
        if not paths:
            raise ValueError(f"{input_path} holds no .txt and no .conll file.")
        for path, other in pairwise(files):
            if path.stem == other.stem:
                raise ValueError(f"{path} and {other} would both become {paths[path]}: rename one.")
    elif output_path.suffix == ".spacy":
        paths = {input_path: output_path}
    else:
        raise typer.BadParameter(f"{output_path}: a CoNLL file becomes one file, name it *.spacy.")
    labels = {}
    for pair in rename:
        old, separator, new = pair.partition("=")
        if not (old and separator and new):
            raise typer.BadParameter(f"--rename expects OLD=NEW, found {pair!r}.")
        labels[old] = new
    vocab = Vocab()
    return {
        output: [tagged_doc(sentence, vocab) for sentence in read_conll(path, rename=labels)]
        for path, output in paths.items()
    }


def _read_captions(
    input_path: Path, output_path: Path, lang: str, max_captions: int | None
) -> dict[Path, list[Doc]]:
    import spacy
    from tqdm import tqdm

    from ..corpus.captions import read_captions
    from ..corpus.convert import caption_doc

    if output_path.suffix == ".spacy" or output_path.is_file():
        raise typer.BadParameter(f"{output_path}: captions become one file a split, name a folder.")
    nlp = spacy.blank(lang)
    corpora: dict[Path, list[Doc]] = {}
    captions = read_captions(input_path, max_captions=max_captions)
    for caption in tqdm(captions, unit=" captions", disable=None, leave=False):
        path = output_path / f"{caption.split}.spacy"
        corpora.setdefault(path, []).append(caption_doc(caption, nlp))
    return corpora


def _write(corpora: dict[Path, list[Doc]]) -> None:
    from ..corpus.convert import summarize
    from ..corpus.docbin import save_docs

    summaries = {path: summarize(docs) for path, docs in corpora.items()}
    for path, docs in corpora.items():
        save_docs(docs, path)
    labels = sorted({label for summary in summaries.values() for label in summary.entities})
    rows = [
        (path, s.docs, s.tokens, s.images, s.repaired, *(s.entities.get(x, 0) for x in labels))
        for path, s in summaries.items()
    ]
    header = ("Corpus", "Docs", "Tokens", "Images", "Tags repaired", *labels)
    msg.table(rows, header=header, divider=True, aligns=("l", *"r" * (len(header) - 1)))
