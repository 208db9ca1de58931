"""Embed a folder of pictures into an image pool: read and decode in threads, encode in batches.

A job keeps each finished batch in a work folder beside the pool, under a name that follows from its
pictures, so that an interrupted job goes on where it stopped, and one whose pictures were mended
goes on with the batches that these are in. Batches are cut from the sorted list of pictures and
from nothing else, so the pool is the same, byte for byte, whether the job was interrupted or not.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import srsly
import torch
from PIL import Image
from tqdm import tqdm

from ..files import check_replaceable, file_written_aside, remove_folder, sole_writer
from .decode import EXTENSIONS, PictureError, open_picture, read_picture, thumbnail
from .encoders import ImageEncoder
from .pool import META_FILE, REJECTS_FILE, ImagePool, ImageRecord, Reject
from .scan import FoundPicture, follow_links, scan_pictures

JOB_FILE = "job.json"
BATCHES_AHEAD = 2


@dataclass(frozen=True)
class EmbedReport:
    """What an embedding job did.

    pool: the pool it wrote.
    n_rejected: pictures left out, listed in the pool's `rejects.jsonl`.
    n_other: files that do not carry a picture's extension.
    images_per_second: pictures read, decoded and encoded a second by this run; 0 where an earlier
        run had done them all.
    """

    pool: ImagePool
    n_rejected: int
    n_other: int
    images_per_second: float


@dataclass(frozen=True)
class _Loaded:
    record: ImageRecord
    tensor: torch.Tensor
    thumbnail: bytes | None


def embed_pictures(
    pictures: Path,
    pool: Path,
    encoder: ImageEncoder,
    *,
    batch_size: int = 16,
    workers: int = 2,
    thumbnails: bool = True,
    source: str = "",
    licence: str = "",
    max_rejects: float = 0.05,
    overwrite: bool = False,
    device: str = "cpu",
    progress: bool = False,
) -> EmbedReport:
    """Embed every JPEG, PNG and WebP file under a folder.

    A picture's id is its relative path without the extension. Hidden files are passed over; linked
    folders, and linked files that lie outside the folder, are rejected. So are pictures that the
    encoder's transform cannot take, and all but one of those whose ids are the same where case and
    Unicode form do not count, as on Windows and macOS. What the encoder itself raises ends the job,
    which goes on at that batch when it is run again, and so do too many rejects: finished batches
    whose pictures are still the same are not done again.

    pictures: the folder. Whether it is absolute or relative is kept, see `ImagePool.write`.
    pool: where the pool is to be, outside `pictures`.
    encoder: see `load_encoder`; its module is moved to `device`.
    batch_size: pictures in one pass of the encoder. On a CPU small ones are the faster, 64 or more
        serve a GPU.
    workers: threads that read and decode.
    thumbnails: store a small picture of each.
    source, licence: written into every record.
    max_rejects: the largest share of pictures that may be rejected, 0 to 1.
    overwrite: replace a pool that is there.
    device: a torch device, "cpu" or "cuda:0".
    progress: show a bar with images/s, on a terminal.
    raises FileExistsError: where `pool` may not be replaced, or `pool.partial` is no work folder.
    raises BlockingIOError: where another process is writing it.
    raises ValueError: where there is no picture, a folder cannot be read, too many are rejected, or
        the work folder belongs to another job.
    """
    check_replaceable(pool, marker=META_FILE, overwrite=overwrite)
    root = pictures.resolve()
    if pool.resolve().is_relative_to(root):
        raise ValueError(f"The pool {pool} lies among its own pictures: put it outside {pictures}.")
    items, rejects, n_other = scan_pictures(root)
    if not items:
        raise ValueError(f"{pictures} holds no picture ({', '.join(EXTENSIONS)}).")

    cuts = [items[i : i + batch_size] for i in range(0, len(items), batch_size)]
    batches = {_name_batch(batch): batch for batch in cuts}
    work = _WorkFolder(pool.with_name(f"{pool.name}.partial"))
    with sole_writer(pool), sole_writer(work.path):
        work.claim(
            {
                "encoder": encoder.name,
                "weights_sha256": encoder.weights_sha256,
                "device": device,
                "batch_size": batch_size,
                "thumbnails": thumbnails,
                "source": source,
                "licence": licence,
            }
        )
        load = partial(
            _load,
            root,
            transform=encoder.transform,
            thumbnails=thumbnails,
            source=source,
            licence=licence,
        )
        missing = {name: batch for name, batch in batches.items() if not work.has(name)}
        n_embedded = sum(map(len, missing.values()))
        encoder.module.to(device)
        started = time.perf_counter()
        with (
            tqdm(
                desc="Embedding",
                unit=" images",
                initial=len(items) - n_embedded,
                total=len(items),
                disable=None if progress else True,
            ) as bar,
            ThreadPoolExecutor(max_workers=workers) as executor,
        ):
            for name, outcomes in _load_ahead(executor, load, missing):
                work.write(name, outcomes, _encode(encoder, outcomes, device))
                bar.update(len(outcomes))
        seconds = time.perf_counter() - started

        records, features, unusable = work.collect(batches, encoder.dimension)
        rejects = sorted(rejects + unusable, key=lambda reject: reject.path)
        n_pictures = len(records) + len(rejects)
        if not records or len(rejects) / n_pictures > max_rejects:
            listed = work.path / REJECTS_FILE
            srsly.write_jsonl(listed, [asdict(reject) for reject in rejects])
            raise ValueError(
                f"{len(rejects)} of {n_pictures} pictures were rejected, allowed are "
                f"{max_rejects:.1%}: see {listed}; mend or remove them, or allow more with "
                "--max-rejects. What is done is kept for the next run."
            )
        written = ImagePool.write(
            pool,
            records,
            features,
            encoder=encoder.name,
            weights_sha256=encoder.weights_sha256,
            picture_root=pictures,
            thumbnails=map(work.read_thumbnail, records) if thumbnails else None,
            rejects=rejects,
            overwrite=overwrite,
        )
        remove_folder(work.path)
        return EmbedReport(written, len(rejects), n_other, n_embedded / seconds)


class _WorkFolder:
    """The finished batches of an unfinished job: features, records or rejects, thumbnails."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def claim(self, job: dict[str, Any]) -> None:
        """Make the folder, or go on in it where an equal job left it.

        job: all that decides the result, but for the pictures.
        raises ValueError: naming what differs, where the folder belongs to another job.
        raises FileExistsError: where the folder holds something else, since it is removed at last.
        """
        file = self.path / JOB_FILE
        if file.is_file():
            left = srsly.read_json(file)
            differing = [name for name, value in job.items() if left.get(name) != value]
            if differing:
                raise ValueError(
                    f"{self.path} holds an unfinished job that differs in {', '.join(differing)}: "
                    "finish that one with its own arguments, or delete the folder."
                )
            return
        self.path.mkdir(parents=True, exist_ok=True)
        # Hidden is what a job leaves that is killed right here.
        if any(not entry.name.startswith(".") for entry in self.path.iterdir()):
            raise FileExistsError(
                f"{self.path}, where unfinished work goes, holds something else (no {JOB_FILE}): "
                "move it, or give the pool another name."
            )
        with file_written_aside(file) as aside:
            srsly.write_json(aside, job)

    def has(self, name: str) -> bool:
        return self._records_file(name).is_file()

    def write(self, name: str, outcomes: Sequence[_Loaded | Reject], features: np.ndarray) -> None:
        """Store a batch; features: (loaded pictures in the batch, D) float16."""
        finite = np.isfinite(features).all(axis=1)
        rows = iter(finite)
        lines: list[ImageRecord | Reject] = []
        for outcome in outcomes:
            if isinstance(outcome, Reject):
                lines.append(outcome)
            elif not next(rows):
                path = outcome.record.path
                lines.append(Reject(path, "its features are not finite in float16"))
            else:
                lines.append(outcome.record)
                if outcome.thumbnail is not None:
                    self._thumbnail_file(outcome.record).write_bytes(outcome.thumbnail)
        np.save(self._features_file(name), features[finite], allow_pickle=False)
        # Last, since this file says that the batch is whole.
        with file_written_aside(self._records_file(name)) as aside:
            srsly.write_jsonl(aside, [asdict(line) for line in lines])

    def collect(
        self, names: Collection[str], dimension: int
    ) -> tuple[list[ImageRecord], np.ndarray, list[Reject]]:
        """The batches joined: n records, (n, D) float16 on disk, and the rejects."""
        records: list[ImageRecord] = []
        rejects: list[Reject] = []
        for name in names:
            for line in srsly.read_jsonl(self._records_file(name)):
                if "reason" in line:
                    rejects.append(Reject(**line))
                else:
                    records.append(ImageRecord(**line))
        parts = (np.load(self._features_file(name), allow_pickle=False) for name in names)
        shape = (len(records), dimension)
        if not records:
            return records, np.empty(shape, np.float16), rejects
        joined = self.path / "features.npy"
        # Not through a map: on a full disk that would be a SIGBUS in the place of an error.
        with joined.open("wb") as file:
            header = {"descr": "<f2", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for part in parts:
                file.write(part.astype("<f2", copy=False).tobytes())
        return records, np.load(joined, mmap_mode="r", allow_pickle=False), rejects

    def read_thumbnail(self, record: ImageRecord) -> bytes:
        return self._thumbnail_file(record).read_bytes()

    def _records_file(self, name: str) -> Path:
        return self.path / f"{name}.jsonl"

    def _features_file(self, name: str) -> Path:
        return self.path / f"{name}.npy"

    def _thumbnail_file(self, record: ImageRecord) -> Path:
        return self.path / f"{record.sha256}.webp"


def _name_batch(batch: Sequence[FoundPicture]) -> str:
    digest = hashlib.sha256()
    for id, path, size, modified_ns in batch:
        digest.update(f"{id}\0{path}\0{size}\0{modified_ns}\n".encode())
    return f"batch-{digest.hexdigest()}"


def _load(
    root: Path,
    item: FoundPicture,
    *,
    transform: Callable[[Image.Image], torch.Tensor],
    thumbnails: bool,
    source: str,
    licence: str,
) -> _Loaded | Reject:
    try:
        data = read_picture(follow_links(root / item.path, root))
        image = open_picture(data)
    except PictureError as error:
        return Reject(item.path, str(error))
    try:
        tensor = transform(image)
    # One picture of a million must not end the job, whatever an encoder's transform makes of it.
    except Exception as error:
        return Reject(item.path, f"cannot be transformed: {str(error) or type(error).__name__}")
    record = ImageRecord(
        id=item.id,
        path=item.path,
        sha256=hashlib.sha256(data).hexdigest(),
        width=image.width,
        height=image.height,
        source=source,
        licence=licence,
    )
    return _Loaded(record, tensor, thumbnail(image) if thumbnails else None)


def _load_ahead(
    executor: ThreadPoolExecutor,
    load: Callable[[FoundPicture], _Loaded | Reject],
    batches: Mapping[str, Sequence[FoundPicture]],
) -> Iterator[tuple[str, list[_Loaded | Reject]]]:
    """Yield the batches, loaded, by name, while the threads load the next ones."""
    waiting: deque[tuple[str, Iterator[_Loaded | Reject]]] = deque()
    for name, batch in batches.items():
        waiting.append((name, executor.map(load, batch)))
        if len(waiting) > BATCHES_AHEAD:
            ready, outcomes = waiting.popleft()
            yield ready, list(outcomes)
    for ready, outcomes in waiting:
        yield ready, list(outcomes)


def _encode(encoder: ImageEncoder, outcomes: Sequence[_Loaded | Reject], device: str) -> np.ndarray:
    tensors = [outcome.tensor for outcome in outcomes if isinstance(outcome, _Loaded)]
    if not tensors:
        return np.empty((0, encoder.dimension), np.float16)
    with torch.inference_mode():
        return encoder.module(torch.stack(tensors).to(device)).to(torch.float16).cpu().numpy()
