"""Commands that make and check corpora and image pools."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from spacy.cli._util import import_code
from wasabi import msg

from ._util import (
    CodeOption,
    GpuOption,
    ModelArg,
    PageOption,
    PoolArg,
    expected_errors,
    keep_freed_memory,
    save_text,
    torch_device,
    use_gpu,
)

if TYPE_CHECKING:
    from ..checks.report import Section
    from ..images.embed import EmbedReport

CorpusFilesArg = Annotated[
    Path, typer.Argument(help="A .spacy file, or a folder of them", exists=True)
]
# Column width of debug-data's tables: an index's id should stay on one line.
MAX_WIDTH = 64


class Format(str, Enum):
    """Formats that `convert` reads; `auto` goes by the file's name."""

    auto = "auto"
    conll = "conll"
    captions = "captions"


class TagScheme(str, Enum):
    """Tag schemes that `convert` reads."""

    IOB2 = "IOB2"
    IOB1 = "IOB1"
    IOBES = "IOBES"


def convert_cli(
    input_path: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="CoNLL file with IMGID: lines, a folder of such files, or a caption table "
            "(tab-separated .tsv, or .csv) with the columns image, split and caption",
            exists=True,
        ),
    ],
    output_path: Annotated[
        Path,
        typer.Argument(
            metavar="OUTPUT",
            help="One CoNLL file: the .spacy file to write. Otherwise: a folder for the corpora",
        ),
    ],
    file_format: Annotated[
        Format,
        typer.Option(
            "--format", help="auto: .tsv and .csv are captions; .txt, .conll and folders are CoNLL"
        ),
    ] = Format.auto,
    word_column: Annotated[int, typer.Option(min=1, help="CoNLL: column of the words, from 1")] = 1,
    tag_column: Annotated[
        int | None, typer.Option(min=1, help="CoNLL: column of the tags. Default: the last one")
    ] = None,
    header: Annotated[
        bool, typer.Option("--header", help="CoNLL: the first line names the columns")
    ] = False,
    comment: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="CoNLL: skip lines that begin with this, such as '#'"),
    ] = None,
    scheme: Annotated[
        TagScheme | None,
        typer.Option(help="CoNLL: scheme of the tags. Default: find out", case_sensitive=False),
    ] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option(metavar="OLD=NEW", help="CoNLL: rename an entity type. Can be repeated"),
    ] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="CoNLL: --rename may make one type of two")
    ] = False,
    lang: Annotated[
        str | None, typer.Option(help="Captions: language of the tokenizer. Default: en")
    ] = None,
    max_captions: Annotated[
        int | None, typer.Option(min=1, help="Captions: keep the first N of each image")
    ] = None,
) -> None:
    """Convert captions or CoNLL files to .spacy corpora.

    A caption becomes a document with its image's id, to train a vokenizer on. A CoNLL sentence
    becomes a document with its entities, its image's id and its raw tags. Tags in the schemes IOB1
    and IOBES (BIOES, BILOU) are converted to BIO. Captions are written to one corpus per split.
    """
    from ..corpus.conll import ConllOptions
    from ..corpus.convert import convert

    options = ConllOptions(
        word_column=word_column,
        tag_column=tag_column,
        header=header,
        comment=comment,
        scheme=None if scheme is None else scheme.value,
        rename=dict(_parse_rename(pair) for pair in rename or ()),
        merge=merge,
    )
    with expected_errors(f"Could not convert {input_path}"):
        summaries = convert(
            input_path,
            output_path,
            file_format=file_format.value,
            conll=options,
            lang=lang,
            max_captions=max_captions,
        )
    (found,) = {summary.scheme for summary in summaries.values()}
    if found not in (None, "IOB2"):
        msg.info(f"The tags are {found}. They were converted to BIO.")
    labels = sorted({label for summary in summaries.values() for label in summary.entities})
    rows = [
        (path, s.docs, s.tokens, s.images, s.repaired, *(s.entities.get(x, 0) for x in labels))
        for path, s in summaries.items()
    ]
    columns = ("Corpus", "Docs", "Tokens", "Images", "Tags repaired", *labels)
    msg.table(rows, header=columns, divider=True, aligns=("l", *"r" * (len(columns) - 1)))


def _parse_rename(pair: str) -> tuple[str, str]:
    old, separator, new = pair.partition("=")
    if not (old and separator and new):
        raise typer.BadParameter(f"--rename expects OLD=NEW, found {pair!r}.")
    return old, new


def embed_images_cli(
    images: Annotated[
        Path,
        typer.Argument(
            help="Folder of JPEG, PNG and WebP files; subfolders are searched too",
            exists=True,
            file_okay=False,
        ),
    ],
    pool: Annotated[Path, typer.Argument(help="Folder to write the pool to")],
    encoder: Annotated[
        str,
        typer.Option(
            help="efficientnet_lite0, torchvision:NAME, timm:NAME, or another registered encoder"
        ),
    ] = "efficientnet_lite0",
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Weights of the encoder, .safetensors or .pth. Default: the installed package's "
            "for efficientnet_lite0, a download for torchvision and timm",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(help="Images per batch; use 64 or more on a GPU", min=1)
    ] = 16,
    workers: Annotated[int, typer.Option(help="Threads that read and decode", min=1)] = 2,
    thumbnails: Annotated[bool, typer.Option(help="Store a thumbnail of each image")] = True,
    source: Annotated[str, typer.Option(help="Where the images come from, for credit")] = "",
    license: Annotated[str, typer.Option(help="License of the images")] = "",
    captions: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE",
            help="Store these captions with the images: a table (tab-separated .tsv, or .csv) "
            "with the columns image and caption, or image, split and caption",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    texts: Annotated[
        str,
        typer.Option(
            metavar="KINDS",
            help="Store more texts with the images, separated by commas. names: the words of the "
            "file names; iptc, xmp: captions, titles and keywords in the files' metadata",
        ),
    ] = "",
    max_rejects: Annotated[
        float,
        typer.Option(help="Fail if a larger share of the images is rejected", min=0, max=1),
    ] = 0.05,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing pool")] = False,
    code: CodeOption = None,
    gpu_id: GpuOption = -1,
) -> None:
    """Embed a folder of images into an image pool.

    Run the same command again to resume an interrupted run. Images that cannot be used are listed
    with the reason in POOL/rejects.jsonl, or in POOL.partial/rejects.jsonl if there are too many.
    """
    from ..corpus.captions import read_captions_by_image
    from ..images.embed import EmbedOptions, embed_images
    from ..images.encoders import load_encoder

    import_code(code)
    keep_freed_memory()
    with expected_errors(f"Could not embed {images}"):
        options = EmbedOptions(
            batch_size=batch_size,
            workers=workers,
            thumbnails=thumbnails,
            source=source,
            license=license,
            captions={} if captions is None else read_captions_by_image(captions),
            texts=tuple(kind.strip() for kind in texts.split(",") if kind.strip()),
            max_rejects=max_rejects,
            overwrite=overwrite,
            device=torch_device(gpu_id),
            progress=True,
        )
        report = embed_images(images, pool, load_encoder(encoder, weights), options)
    size = sum(file.stat().st_size for file in pool.rglob("*") if file.is_file())
    rows = {
        "Images": f"{len(report.pool):,}",
        "With texts": f"{len(report.texts.described):,}",
        "Rejected": f"{report.n_rejected:,}",
        "Other files": f"{report.n_other:,}",
        "Dimension": f"{report.pool.dimension:,}",
        "Encoder": report.pool.encoder.name,
        "Images/s": f"{report.images_per_second:,.1f}" if report.images_per_second else "-",
        "Size": f"{size / 1e6:,.1f} MB",
    }
    msg.table(rows)
    if report.n_rejected:
        msg.warn(f"{report.n_rejected:,} images were rejected: see {pool / 'rejects.jsonl'}")
    _print_texts(report)
    msg.good(f"Wrote the image pool {pool}")


def _print_texts(report: EmbedReport) -> None:
    """Print which images have no texts, and which texts were left out."""
    from ..identity import describe_lookalike
    from ..images.texts import MAX_CHARACTERS, MAX_TEXTS
    from ..messages import listed, shown

    def say(text: str, ids: Sequence[str]) -> str:
        return f"{text}: {len(ids):,} ({listed(map(shown, ids))})"

    texts = report.texts
    if texts.uncaptioned:
        msg.info(say("Images without a caption", texts.uncaptioned))
    if texts.unknown:
        lookalike = describe_lookalike(texts.unknown, report.pool.ids).strip()
        msg.warn(say("Images with captions that are not in the pool", texts.unknown), lookalike)
    if texts.unreadable:
        msg.warn(say("Images whose metadata cannot be read", texts.unreadable))
    if texts.cut:
        kept = f"A pool keeps up to {MAX_TEXTS} texts of {MAX_CHARACTERS:,} characters per image."
        msg.warn(say("Images whose texts were cut", texts.cut), kept)


def select_images_cli(
    pool: PoolArg,
    corpus: CorpusFilesArg,
    output: Annotated[Path, typer.Argument(help="Folder for the smaller pool")],
    overwrite: Annotated[bool, typer.Option(help="Replace an existing pool")] = False,
) -> None:
    """Write a pool of only the images that a corpus names.

    The features are copied, so no image is embedded again.
    """
    from ..corpus.select import select_images

    with expected_errors(f"Could not select images of {pool}"):
        selection = select_images(pool, corpus, output, overwrite=overwrite)
    if n_missing := selection.n_named - selection.n_selected:
        msg.warn(f"{n_missing:,} images that {corpus} names are not in the pool")
    msg.good(f"Selected {selection.n_selected:,} of {selection.n_pool:,} images", output)


def vokenize_cli(
    model: ModelArg,
    corpus: CorpusFilesArg,
    output: Annotated[Path, typer.Argument(help="The .spacy file or folder to write")],
    code: CodeOption = None,
    gpu_id: GpuOption = -1,
) -> None:
    """Add vokens to a corpus; its tokens, entities, image ids and raw tags stay the same.

    "Own image" is the share of vokens that are the document's own image, among the documents whose
    image is in the index.
    """
    from ..corpus.vokenize import vokenize

    import_code(code)
    with expected_errors(f"Could not vokenize {corpus}"):
        use_gpu(gpu_id)
        corpora = vokenize(model, corpus, output)
    header = (
        "Corpus",
        "Docs",
        "Tokens",
        "With a voken",
        "Distinct images",
        "Own image",
        "Tokens/s",
    )
    rows = [
        (
            str(c.path),
            c.n_docs,
            c.n_tokens,
            f"{c.n_vokens / max(1, c.n_tokens):.1%}",
            c.n_images,
            "-" if c.own_image is None else f"{c.own_image:.1%}",
            f"{c.n_tokens / max(c.seconds, 1e-9):,.0f}",
        )
        for c in corpora
    ]
    msg.table(rows, header=header, divider=True, aligns=("l", *"r" * (len(header) - 1)))


def debug_data_cli(
    corpus: Annotated[
        Path,
        typer.Argument(
            help="A .spacy file, or a folder of them: train, dev or valid, test", exists=True
        ),
    ],
    pool: Annotated[
        Path | None,
        typer.Argument(help="Image pool that the vokens come from", exists=True, file_okay=False),
    ] = None,
    text_encoder: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER_OR_NAME",
            help="The tagger's text encoder, to count the word pieces of the words",
        ),
    ] = None,
    lang: Annotated[
        str | None,
        typer.Option(
            help="Language of the corpus, to compare words with the texts that the pool has of "
            "their images"
        ),
    ] = None,
    output: PageOption = None,
) -> None:
    """Check a corpus, its vokens and their pool before training on them.

    Counts documents, labels and images, and looks for ill-formed tags, duplicates, names and labels
    missing in training, vokens that the tagger would refuse, and words that its text encoder does
    not see whole. Exits with status 1 if training would fail or learn nothing.
    """
    from ..checks.corpus import debug_data
    from ..checks.report import count_levels
    from ..messages import count_of
    from ..visualize.checks_page import render_debug_page

    with expected_errors(f"Could not check {corpus}"):
        sections = debug_data(corpus, pool=pool, encoder=text_encoder, lang=lang)
    for section in sections:
        _print_section(section)
    msg.divider("Summary")
    if output is not None:
        names = {"pool": pool, "text encoder": text_encoder}
        used = [f"{kind} {Path(name).name}" for kind, name in names.items() if name]
        page = render_debug_page(
            sections,
            title=f"Corpus {corpus.resolve().name}",
            subtitle=f"Checked with {' and '.join(used) or 'no pool and no text encoder'}",
        )
        with expected_errors(f"Could not write {output}"):
            save_text(output, page)
        msg.good(f"Wrote {output}")
    counts = count_levels(sections)
    summary = f"{count_of(counts['warn'], 'warning')}, {count_of(counts['fail'], 'failure')}"
    if counts["fail"]:
        msg.fail(summary)
        raise typer.Exit(1)
    if counts["warn"]:
        msg.warn(summary)
    else:
        msg.good(summary)


def _print_section(section: Section) -> None:
    msg.divider(section.title)
    for table in section.tables:
        rows = [[cell.text for cell in row] for row in table.rows]
        aligns = ("l", *"r" * (len(table.header) - 1))
        msg.table(rows, header=table.header, divider=True, aligns=aligns, max_col=MAX_WIDTH)
    for message in section.messages:
        getattr(msg, message.level)(message.text, message.detail)
