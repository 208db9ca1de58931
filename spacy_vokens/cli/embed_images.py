"""`spacy vokens embed-images`: a folder of pictures becomes an image pool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg


def embed_images(
    source_folder: Annotated[
        Path,
        typer.Argument(
            metavar="SRC",
            help="Folder of JPEG, PNG and WebP pictures, searched with its subfolders",
            exists=True,
            file_okay=False,
        ),
    ],
    pool: Annotated[Path, typer.Argument(metavar="POOL", help="Folder to write the pool to")],
    encoder: Annotated[
        str,
        typer.Option(
            help="efficientnet_lite0, torchvision:NAME (such as torchvision:resnet152), timm:NAME, "
            "or another registered image encoder"
        ),
    ] = "efficientnet_lite0",
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Weights of the encoder, .safetensors or .pth. Without it efficientnet_lite0 "
            "takes its package's, torchvision and timm download the model's own",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(help="Pictures encoded at a time; give a GPU 64 or more", min=1)
    ] = 16,
    workers: Annotated[int, typer.Option(help="Threads that read and decode", min=1)] = 2,
    thumbnails: Annotated[bool, typer.Option(help="Store a small picture of each")] = True,
    source: Annotated[str, typer.Option(help="Where the pictures come from, for credit")] = "",
    licence: Annotated[str, typer.Option(help="Licence of the pictures")] = "",
    max_rejects: Annotated[
        float,
        typer.Option(help="Share of pictures that may be rejected before it fails", min=0, max=1),
    ] = 0.05,
    overwrite: Annotated[bool, typer.Option(help="Replace a pool that is there")] = False,
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU, or -1 for the CPU")] = -1,
) -> None:
    """Embed a folder of pictures into an image pool.

    An interrupted run goes on where it stopped when the same command is given again. Pictures that
    cannot be used are listed, with the reason, in POOL/rejects.jsonl; where they are too many, in
    POOL.partial/rejects.jsonl.
    """
    from ..images.embed import embed_pictures
    from ..images.encoders import load_encoder
    from .device import torch_device

    device = torch_device(gpu_id)
    try:
        loaded = load_encoder(encoder, weights)
        report = embed_pictures(
            source_folder,
            pool,
            loaded,
            batch_size=batch_size,
            workers=workers,
            thumbnails=thumbnails,
            source=source,
            licence=licence,
            max_rejects=max_rejects,
            overwrite=overwrite,
            device=device,
            progress=True,
        )
    except (OSError, ValueError) as error:
        msg.fail(f"Could not embed {source_folder}", str(error), exits=1)

    size = sum(file.stat().st_size for file in pool.rglob("*") if file.is_file())
    rows = {
        "Images": f"{len(report.pool):,}",
        "Rejected": f"{report.n_rejected:,}",
        "Other files": f"{report.n_other:,}",
        "Dimension": f"{report.pool.meta['dimension']:,}",
        "Encoder": report.pool.meta["encoder"],
        "Images/s": f"{report.images_per_second:,.1f}" if report.images_per_second else "-",
        "Size": f"{size / 1e6:,.1f} MB",
    }
    msg.table(rows)
    if report.n_rejected:
        msg.warn(f"{report.n_rejected:,} pictures were rejected: see {pool / 'rejects.jsonl'}")
    msg.good(f"Image pool written to {pool}")
