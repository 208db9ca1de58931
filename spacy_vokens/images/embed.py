"""Embed a folder of images into an image pool: read and decode in threads, encode in batches.

Each finished batch is stored in a work folder next to the pool. The name of a batch follows from
its images, so an interrupted job continues with the batches that it has not finished. If images
were repaired or removed in the meantime, only their batches are encoded again. Batches are
consecutive parts of the sorted list of images, so an interrupted job writes the same pool, byte for
byte, as an undisturbed one. Texts are added when all batches are finished, so another run can
continue with other texts.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import srsly
import torch
from PIL import Image
from tqdm import tqdm

from ..files import (
    VokensError,
    check_replaceable,
    file_written_aside,
    remove_folder,
    sole_writer,
)
from .decode import EXTENSIONS, ImageError, open_image, read_image, thumbnail
from .describe import TextReport, check_captions, check_sources, describe_images
from .encoders import ImageEncoder
from .pool import (
    META_FILE,
    REJECTS_FILE,
    ImagePool,
    ImageRecord,
    PoolContent,
    Reject,
)
from .scan import FoundImage, scan_images

JOB_FILE = "job.json"
BATCHES_AHEAD = 2


@dataclass(frozen=True)
class EmbedOptions:
    """Options of `embed_images`.

    Attributes:
        batch_size: Number of images that are encoded together. Small batches are faster on a CPU; a
            GPU needs 64 or more.
        workers: Number of threads that read and decode.
        thumbnails: Store a small copy of each image.
        source: Where the images come from; stored in every record.
        license: Their license; stored in every record.
        captions: Captions by image id, which become texts of the images.
        texts: What else becomes texts: "names" for the words of the file names, "iptc" and "xmp"
            for captions, titles and keywords in the files' metadata.
        max_rejects: The largest allowed share of rejected images, from 0 to 1.
        overwrite: Replace an existing pool.
        device: The torch device of the encoder, such as "cpu" or "cuda:0".
        progress: Show a progress bar if the output is a terminal.
    """

    batch_size: int = 16
    workers: int = 2
    thumbnails: bool = True
    source: str = ""
    license: str = ""
    captions: Mapping[str, Sequence[str]] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    max_rejects: float = 0.05
    overwrite: bool = False
    device: str = "cpu"
    progress: bool = False


@dataclass(frozen=True)
class EmbedReport:
    """The result of `embed_images`.

    Attributes:
        pool: The pool, opened.
        n_rejected: Number of images that were left out. They are listed in the pool's
            `rejects.jsonl`.
        n_other: Number of files without the extension of an image.
        images_per_second: Images that were read, decoded and encoded per second by this run; 0 if
            an earlier run had finished all of them.
        texts: Which images have texts, and which texts were left out.
    """

    pool: ImagePool
    n_rejected: int
    n_other: int
    images_per_second: float
    texts: TextReport


@dataclass(frozen=True)
class _Loaded:
    record: ImageRecord
    tensor: torch.Tensor
    thumbnail: bytes | None


def embed_images(
    images: Path, pool: Path, encoder: ImageEncoder, options: EmbedOptions = EmbedOptions()
) -> EmbedReport:
    """Embed all JPEG, PNG and WebP files in a folder and its subfolders.

    An image's id is its relative path without the extension. Hidden files are ignored. Linked
    folders, linked files outside the folder, files that cannot be decoded or transformed, images
    whose features are not finite, and all but one of the images whose ids differ only in case or
    Unicode normalization are rejected. An error in the encoder itself ends the job, and so do too
    many rejects. The next run continues with the batches that are not finished.

    Args:
        images: The folder of images. The pool stores an absolute path as it is, and a relative path
            relative to itself.
        pool: The folder to write the pool to; outside `images`.
        encoder: The image encoder. Its module is moved to `options.device`.
        options: The options.

    Returns:
        The pool, and what was left out.

    Raises:
        FileExistsError: If `pool` may not be replaced, or the work folder `POOL.partial` contains
            something else.
        BlockingIOError: If another process is writing the pool.
        VokensError: If there are no images, a folder cannot be read, too many images are rejected,
            no caption belongs to an image, there are no such texts, or the work folder belongs to
            a job with other options.
        ImportError: If a package that reads texts is missing.
    """
    check_sources(options.texts)
    check_replaceable(pool, marker=META_FILE, overwrite=options.overwrite)
    root = images.resolve()
    if pool.resolve().is_relative_to(root):
        raise VokensError(f"The pool {pool} is inside its own images: put it outside {images}.")
    found, rejects, n_other = scan_images(root)
    if not found:
        raise VokensError(f"{images} has no images ({', '.join(EXTENSIONS)}).")
    check_captions(options.captions, {image.id for image in found}, images)

    size = options.batch_size
    cuts = [found[start : start + size] for start in range(0, len(found), size)]
    hashes = [hashlib.sha256(repr(batch).encode()).hexdigest() for batch in cuts]
    batches = {f"batch-{sha256}": batch for sha256, batch in zip(hashes, cuts, strict=True)}
    work = pool.with_name(f"{pool.name}.partial")
    with sole_writer(pool), sole_writer(work):
        _claim_work_folder(work, encoder, options)
        missing = {
            name: batch for name, batch in batches.items() if not (work / f"{name}.json").is_file()
        }
        n_embedded = sum(map(len, missing.values()))
        # Convolutions are a quarter faster on a CPU with channels last.
        encoder.module.to(options.device).to(memory_format=torch.channels_last)
        load = partial(_load, root, transform=encoder.transform, options=options)
        started = time.perf_counter()
        with (
            tqdm(
                desc="Embedding",
                unit=" images",
                initial=len(found) - n_embedded,
                total=len(found),
                disable=None if options.progress else True,
            ) as bar,
            ThreadPoolExecutor(max_workers=options.workers) as executor,
        ):
            for name, outcomes in _load_ahead(executor, load, missing):
                _embed_batch(work, name, outcomes, encoder, options.device)
                bar.update(len(outcomes))
        seconds = time.perf_counter() - started

        records: list[ImageRecord] = []
        for name in batches:
            batch = srsly.read_json(work / f"{name}.json")
            records += [ImageRecord(**record) for record in batch["records"]]
            rejects += [Reject(**reject) for reject in batch["rejects"]]
        rejects.sort(key=lambda reject: reject.path)
        n_images = len(records) + len(rejects)
        if not records or len(rejects) / n_images > options.max_rejects:
            listed = work / REJECTS_FILE
            srsly.write_jsonl(listed, [asdict(reject) for reject in rejects])
            raise VokensError(
                f"{len(rejects)} of {n_images} images were rejected, but only "
                f"{options.max_rejects:.1%} may be: see {listed}. Repair or remove them, or allow "
                "more with --max-rejects. The next run continues where this one stopped."
            )
        records, texts = describe_images(
            records,
            root,
            captions=options.captions,
            sources=options.texts,
            workers=options.workers,
            progress=options.progress,
        )
        thumbnails = ((work / f"{record.sha256}.webp").read_bytes() for record in records)
        content = PoolContent(
            records,
            (np.load(work / f"{name}.npy", allow_pickle=False) for name in batches),
            encoder.id,
            images,
            thumbnails=thumbnails if options.thumbnails else None,
            rejects=rejects,
        )
        written = ImagePool.write(pool, content, overwrite=options.overwrite)
        remove_folder(work)
        return EmbedReport(written, len(rejects), n_other, n_embedded / seconds, texts)


def _claim_work_folder(work: Path, encoder: ImageEncoder, options: EmbedOptions) -> None:
    """Create the work folder, or check that the job that left it has the same options.

    Raises:
        VokensError: If it belongs to a job with other options.
        FileExistsError: If it contains something else. It would be deleted at the end.
    """
    # All that decides about the pool except the images and their texts.
    job: dict[str, Any] = {
        "encoder": str(encoder.id),
        "device": options.device,
        "batch_size": options.batch_size,
        "thumbnails": options.thumbnails,
        "source": options.source,
        "license": options.license,
    }
    file = work / JOB_FILE
    if file.is_file():
        unfinished = srsly.read_json(file)
        differing = [name for name, value in job.items() if unfinished.get(name) != value]
        if differing:
            raise VokensError(
                f"{work} holds an unfinished job that differs in {', '.join(differing)}: finish "
                "that job with its own options, or delete the folder."
            )
        return
    work.mkdir(parents=True, exist_ok=True)
    # A job that is killed before it writes the file leaves hidden files only.
    if any(not entry.name.startswith(".") for entry in work.iterdir()):
        raise FileExistsError(
            f"{work}, the folder for unfinished work, holds something else (no {JOB_FILE}): move "
            "it, or give the pool another name."
        )
    with file_written_aside(file) as aside:
        srsly.write_json(aside, job)


def _load(
    root: Path,
    image: FoundImage,
    *,
    transform: Callable[[Image.Image], torch.Tensor],
    options: EmbedOptions,
) -> _Loaded | Reject:
    try:
        data = read_image(root / image.path, root=root)
        decoded = open_image(data)
    except ImageError as error:
        return Reject(image.path, str(error))
    try:
        tensor = transform(decoded)
    # One image in a million must not end the job, whatever the transform raises.
    except Exception as error:
        return Reject(image.path, f"cannot be transformed: {str(error) or type(error).__name__}")
    record = ImageRecord(
        id=image.id,
        path=image.path,
        sha256=hashlib.sha256(data).hexdigest(),
        width=decoded.width,
        height=decoded.height,
        source=options.source,
        license=options.license,
    )
    return _Loaded(record, tensor, thumbnail(decoded) if options.thumbnails else None)


def _load_ahead(
    executor: ThreadPoolExecutor,
    load: Callable[[FoundImage], _Loaded | Reject],
    batches: Mapping[str, Sequence[FoundImage]],
) -> Iterator[tuple[str, list[_Loaded | Reject]]]:
    """Yield the names of batches and their loaded images, while threads load the next ones."""
    waiting: deque[tuple[str, Iterator[_Loaded | Reject]]] = deque()
    for name, batch in batches.items():
        waiting.append((name, executor.map(load, batch)))
        if len(waiting) > BATCHES_AHEAD:
            ready, outcomes = waiting.popleft()
            yield ready, list(outcomes)
    for ready, outcomes in waiting:
        yield ready, list(outcomes)


def _embed_batch(
    work: Path,
    name: str,
    outcomes: Sequence[_Loaded | Reject],
    encoder: ImageEncoder,
    device: str,
) -> None:
    """Encode a batch, and store its features, thumbnails, records and rejects.

    Args:
        work: The work folder.
        name: The batch's name.
        outcomes: The loaded and the rejected images of the batch.
        encoder: The encoder.
        device: The torch device that it is on.
    """
    loaded = [outcome for outcome in outcomes if isinstance(outcome, _Loaded)]
    rejects = [outcome for outcome in outcomes if isinstance(outcome, Reject)]
    features: np.ndarray = np.empty((0, encoder.dimension), np.float16)
    if loaded:
        tensors = torch.stack([image.tensor for image in loaded])
        tensors = tensors.to(device, memory_format=torch.channels_last)
        with torch.inference_mode():
            features = encoder.module(tensors).to(torch.float16).cpu().numpy()
    records = []
    # The only check of the features on their way into the pool: they are not changed any more.
    finite = np.isfinite(features).all(axis=1)
    for image, is_finite in zip(loaded, finite, strict=True):
        if not is_finite:
            reason = "its features are not finite in float16"
            rejects.append(Reject(image.record.path, reason))
            continue
        records.append(image.record)
        if image.thumbnail is not None:
            # Equal images have equal thumbnails.
            (work / f"{image.record.sha256}.webp").write_bytes(image.thumbnail)
    np.save(work / f"{name}.npy", features[finite], allow_pickle=False)
    # Last, since this file marks the batch as complete.
    with file_written_aside(work / f"{name}.json") as aside:
        batch = {
            "records": [asdict(record) for record in records],
            "rejects": [asdict(reject) for reject in rejects],
        }
        srsly.write_json(aside, batch)
