"""Convert CoNLL files and caption tables to `.spacy` corpora."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.vocab import Vocab
from tqdm import tqdm

from .. import attributes  # noqa: F401  # registers the attributes set below
from ..files import VokensError, sole_writer
from ..identity import image_id_of
from ..scoring.ner import bio_tags, repair_bio
from .captions import Caption, read_captions
from .conll import ConllOptions, Scheme, TaggedSentence, read_conll
from .docbin import save_docs

Format = Literal["auto", "conll", "captions"]
SUFFIXES: dict[str, Format] = {
    ".tsv": "captions",
    ".csv": "captions",
    ".txt": "conll",
    ".conll": "conll",
}


@dataclass(frozen=True)
class Summary:
    """What a converted corpus contains.

    Attributes:
        docs: Number of documents.
        tokens: Number of tokens.
        entities: Mentions per entity type.
        repaired: Ill-formed `I-` tags that became `B-` for training.
        images: Number of different images named.
        scheme: The scheme that the tags of CoNLL files were converted from; None of captions.
    """

    docs: int
    tokens: int
    entities: dict[str, int]
    repaired: int
    images: int
    scheme: Scheme | None = None


def convert(
    input_path: Path,
    output_path: Path,
    *,
    file_format: Format = "auto",
    conll: ConllOptions | None = None,
    lang: str | None = None,
    max_captions: int | None = None,
) -> dict[Path, Summary]:
    """Convert captions or CoNLL files to `.spacy` corpora.

    A caption becomes a document with its image's id, for training a vokenizer. A CoNLL sentence
    becomes a document with its entities, its image's id and its tags as written in the file.

    Args:
        input_path: A CoNLL file, a folder of `.txt` and `.conll` files, or a caption table.
        output_path: The `.spacy` file to write for a single CoNLL file; otherwise the folder to
            write `NAME.spacy` or `SPLIT.spacy` to.
        file_format: "auto" goes by the file name: `.tsv` and `.csv` are captions; `.txt`, `.conll`
            and folders are CoNLL.
        conll: CoNLL only: columns, tag scheme and types to rename.
        lang: Captions only: language of the tokenizer; English if None.
        max_captions: Captions only: keep only the first captions of every image, up to this number.

    Returns:
        The files that were written, each with a summary.

    Raises:
        VokensError: If an argument does not fit the format, or an input file is malformed. Nothing
            is written then.
        OSError: If a file cannot be read or written.
        ImportError: If spaCy does not know the language.
    """
    is_captions = _find_format(file_format, input_path) == "captions"
    if is_captions and conll is not None and conll != ConllOptions():
        raise VokensError(
            f"{input_path} has captions, but columns, tags, comments and types to rename are "
            "options of CoNLL files."
        )
    if not is_captions and (lang is not None or max_captions is not None):
        raise VokensError(f"--lang and --max-captions are for captions, but {input_path} is CoNLL.")
    scheme: Scheme | None = None
    with sole_writer(output_path):
        if is_captions:
            corpora = _convert_captions(input_path, output_path, lang or "en", max_captions)
        else:
            corpora, scheme = _convert_conll(input_path, output_path, conll or ConllOptions())
        for path, docs in corpora.items():
            save_docs(docs, path)
    return {path: replace(summarize(docs), scheme=scheme) for path, docs in corpora.items()}


def _find_format(file_format: Format, path: Path) -> Format:
    if file_format != "auto":
        return file_format
    if path.is_dir():
        return "conll"
    if path.suffix not in SUFFIXES:
        raise VokensError(
            f"{path} does not end in {', '.join(SUFFIXES)}: say what it is with --format."
        )
    return SUFFIXES[path.suffix]


def _convert_conll(
    input_path: Path, output_path: Path, options: ConllOptions
) -> tuple[dict[Path, list[Doc]], Scheme]:
    if input_path.is_dir():
        files = [path for path in sorted(input_path.iterdir()) if path.suffix in (".txt", ".conll")]
        paths = {path: output_path / f"{path.stem}.spacy" for path in files}
        if not paths:
            raise VokensError(f"{input_path} holds no .txt or .conll files.")
        by_stem: dict[str, Path] = {}
        for path in files:
            if (other := by_stem.setdefault(path.stem, path)) is not path:
                raise VokensError(
                    f"{other} and {path} would both become {paths[path]}: rename one of them."
                )
    elif output_path.suffix == ".spacy":
        paths = {input_path: output_path}
    else:
        raise VokensError(
            f"{output_path}: a CoNLL file becomes one file. Give a path that ends in .spacy."
        )
    vocab = Vocab()
    read = read_conll(list(paths), options)
    docs = {
        paths[path]: [tagged_doc(sentence, vocab) for sentence in sentences]
        for path, sentences in read.sentences.items()
    }
    return docs, read.scheme


def _convert_captions(
    input_path: Path, output_path: Path, lang: str, max_captions: int | None
) -> dict[Path, list[Doc]]:
    if output_path.suffix == ".spacy" or output_path.is_file():
        raise VokensError(f"{output_path}: captions become one file per split. Give a folder.")
    nlp = spacy.blank(lang)
    corpora: dict[Path, list[Doc]] = {}
    captions = read_captions(input_path, max_captions=max_captions)
    for caption in tqdm(captions, unit=" captions", disable=None, leave=False):
        path = output_path / f"{caption.split}.spacy"
        corpora.setdefault(path, []).append(caption_doc(caption, nlp))
    return corpora


def tagged_doc(sentence: TaggedSentence, vocab: Vocab) -> Doc:
    """Make a document of a sentence's words, joined by spaces, and its entities.

    A document's entities must be well-formed, so an `I-` tag that continues nothing begins an
    entity. `Doc._.visual_raw_tags` keeps the BIO tags before this repair, and
    `Doc._.visual_image_id` the image's id. Words keep the white space inside them.

    Args:
        sentence: The sentence.
        vocab: The vocabulary that the document gets.

    Returns:
        The document.
    """
    spaces = [True] * (len(sentence.words) - 1) + [False]
    words, tags = list(sentence.words), list(sentence.tags)
    doc = Doc(vocab, words=words, spaces=spaces, ents=repair_bio(tags))
    doc._.visual_raw_tags = tags
    if sentence.image_id is not None:
        doc._.visual_image_id = image_id_of(sentence.image_id)
    return doc


def caption_doc(caption: Caption, nlp: Language) -> Doc:
    """Make a document of a caption, with its `Doc._.visual_image_id`.

    Args:
        caption: The caption.
        nlp: The pipeline that tokenizes it.

    Returns:
        The document.
    """
    doc = nlp.make_doc(caption.text)
    doc._.visual_image_id = image_id_of(caption.image)
    return doc


def summarize(docs: Iterable[Doc]) -> Summary:
    """Count what converted documents contain."""
    n_docs = n_tokens = n_repaired = 0
    entities: Counter[str] = Counter()
    images: set[str] = set()
    for doc in docs:
        n_docs += 1
        n_tokens += len(doc)
        entities.update(ent.label_ for ent in doc.ents)
        if (tags := doc._.visual_raw_tags) is not None:
            n_repaired += sum(map(str.__ne__, tags, bio_tags(doc)))
        if (image_id := doc._.visual_image_id) is not None:
            images.add(image_id)
    return Summary(n_docs, n_tokens, dict(sorted(entities.items())), n_repaired, len(images))
