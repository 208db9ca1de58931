"""Check the images and vokens that a corpus names: do they fit each other and an image pool?"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spacy.tokens import Doc
from tqdm import tqdm

from ..attributes import GIVEN, get_token_values
from ..identity import IndexMark, describe_lookalike
from ..images.decode import ImageError, open_image, read_image
from ..images.pool import ImagePool, ImageRecord
from ..messages import count_of, listed, shown
from .report import Cell, Message, Row, Section, share, table
from .splits import Split

PATIENCE_SECONDS = 3.0


def check_images(splits: Sequence[Split], pool: ImagePool | None = None) -> Section:
    """Count the images that came with the documents, and those that a pool has."""
    rows: list[Row] = []
    messages = []
    all_absent: list[str] = []
    for split in splits:
        ids = [doc._.visual_image_id for doc in split.docs if doc._.visual_image_id is not None]
        row: list[Cell | str | int] = [
            split.name,
            len(ids),
            len(split.docs) - len(ids),
            len({*ids}),
        ]
        if pool is not None:
            absent = [id for id in ids if id not in pool]
            row += [len(ids) - len(absent), len(absent)]
            all_absent += absent
        rows.append(row)
    if not any(row[1] for row in rows):
        text = "No document came with an image"
        return Section("Images", (), (Message("info", text),))
    header = ["Split", "With an image", "Without", "Distinct images"]
    if pool is not None:
        header += ["In the pool", "Not in it"]
        text = f"The pool does not have the images of {count_of(len(all_absent), 'document')}"
        lookalike = describe_lookalike(all_absent, pool.ids)
        why = (
            f"{_ids(all_absent)}. A matching model cannot learn from these documents. A tagger "
            f"only needs the images of the vokens.{lookalike}"
        )
        messages.append(
            Message("warn" if lookalike else "info", text, why)
            if all_absent
            else Message("good", "The pool has the images of all documents")
        )
    return Section("Images", (table(header, rows),), tuple(messages))


@dataclass
class _Vokens:
    """What was found of a split's vokens.

    Attributes:
        tokens: Number of tokens.
        docs: Number of documents that have tokens.
        bare: Number of documents without vokens.
        counts: Number of tokens by voken.
        indexes: Number of documents by the index of their vokens.
        unknown: Number of tokens by voken, for retrieved vokens that are not in the pool.
        not_given: The same for vokens set by `given_image`, which need not be in a pool.
        pools: Number of documents by the pool of their vokens, if they come from an index.
    """

    tokens: int = 0
    docs: int = 0
    bare: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    indexes: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    not_given: Counter[str] = field(default_factory=Counter)
    pools: Counter[str] = field(default_factory=Counter)


def check_vokens(splits: Sequence[Split], pool: ImagePool | None = None) -> Section:
    """Count the tokens that have a voken, and check that the tagger can look it up.

    A tagger refuses vokens that are not in its pool, or come from another one: these fail.
    """
    found = {split.name: _read_vokens(split.docs, pool) for split in splits}
    if not any(vokens.indexes or vokens.counts for vokens in found.values()):
        why = "A pipeline's retriever sets them during training, or `spacy vokens vokenize` once."
        return Section("Vokens", (), (Message("info", "No document has vokens", why),))
    rows: list[Row] = [
        (
            name,
            vokens.docs - vokens.bare,
            vokens.tokens,
            share(vokens.counts.total(), vokens.tokens, with_bar=True),
            len(vokens.counts),
            *(() if pool is None else ((vokens.unknown + vokens.not_given).total(),)),
        )
        for name, vokens in found.items()
    ]
    header = ["Split", "Vokenized", "Tokens", "With a voken", "Distinct images"]
    if pool is not None:
        header.append("Not in the pool")
    tables = [table(header, rows)]
    indexes = sorted({index for vokens in found.values() for index in vokens.indexes})
    if indexes:
        index_rows: list[Row] = [
            (shown(i), *(v.indexes[i] for v in found.values())) for i in indexes
        ]
        tables.append(table(("Documents by index", *found), index_rows))
    messages = [m for name, vokens in found.items() for m in _voken_messages(name, vokens, pool)]
    messages += _pool_messages(found, pool)
    if pool is not None and not any(message.level == "fail" for message in messages):
        messages.append(Message("good", "The tagger can look up the vokens in the pool"))
    return Section("Vokens", tuple(tables), tuple(messages))


def _read_vokens(docs: Iterable[Doc], pool: ImagePool | None) -> _Vokens:
    found = _Vokens()
    for doc in docs:
        if not len(doc):
            continue
        found.docs += 1
        found.tokens += len(doc)
        counts = Counter(voken for voken in get_token_values(doc, "voken") if voken is not None)
        found.counts += counts
        found.bare += doc._.voken_index is None and not counts
        if doc._.voken_index is not None:
            found.indexes[doc._.voken_index] += 1
        if (mark := IndexMark.parse(doc._.voken_index)) is not None:
            found.pools[mark.pool] += 1
        if pool is not None:
            missing = found.not_given if doc._.voken_index == GIVEN else found.unknown
            missing.update({voken: n for voken, n in counts.items() if voken not in pool})
    return found


def _voken_messages(name: str, vokens: _Vokens, pool: ImagePool | None) -> list[Message]:
    messages = []
    if vokens.unknown:
        text = f"{name}: {count_of(len(vokens.unknown), 'voken')} not in the pool"
        why = (
            f"{_ids(vokens.unknown)}, of {count_of(vokens.unknown.total(), 'token')}. The tagger "
            "refuses them: vokenize the corpus with this pool, or name the pool that it was "
            "vokenized with."
        )
        messages.append(Message("fail", text, why))
    if pool is not None and (others := vokens.pools - Counter({pool.id.short: vokens.docs})):
        text = f"{name}: {count_of(others.total(), 'document')} vokenized with another pool"
        why = f"{_ids(others)}; this pool is {pool.id.short}. Vokenize the corpus with it."
        messages.append(Message("fail", text, why))
    if vokens.not_given:
        text = f"{name}: {count_of(len(vokens.not_given), 'given image')} not in the pool"
        known = () if pool is None else pool.ids
        why = (
            f"{_ids(vokens.not_given)}. These documents are tagged without an image."
            + describe_lookalike(vokens.not_given, known)
        )
        messages.append(Message("warn", text, why))
    if 0 < vokens.bare < vokens.docs:
        text = f"{name}: {vokens.bare:,} of {count_of(vokens.docs, 'document')} without vokens"
        messages.append(Message("warn", text, "Others have some: vokenize all of them."))
    return messages


def _pool_messages(found: dict[str, _Vokens], pool: ImagePool | None) -> list[Message]:
    """Compare the vokens of all splits."""
    pools = {source for vokens in found.values() for source in vokens.pools}
    indexes = {index for vokens in found.values() for index in vokens.indexes}
    if pool is None and len(pools) > 1:
        why = f"{_ids(sorted(pools))}. A tagger uses one pool: vokenize all splits with it."
        return [Message("fail", f"The vokens come from {len(pools)} pools", why)]
    messages = []
    if len(indexes) > 1:
        why = "Use one model with the same settings for all splits: vokenize them together."
        messages.append(Message("warn", f"The vokens come from {len(indexes)} indexes", why))
    bare = [name for name, vokens in found.items() if vokens.docs and vokens.bare == vokens.docs]
    if bare:
        why = "Other splits have some: vokenize all of them, or none."
        messages.append(Message("warn", f"No document of {', '.join(bare)} has vokens", why))
    return messages


def check_files(splits: Sequence[Split], pool: ImagePool) -> Section:
    """Check that the image files that the corpus names exist and can be opened.

    Training reads features, not files, so a missing file is not an error. A file is decoded only if
    its hash is the one in the pool, because a pool may come from another machine. If that takes
    more than `PATIENCE_SECONDS`, a progress bar appears.
    """
    named = {doc._.visual_image_id for split in splits for doc in split.docs}
    named |= {v for split in splits for doc in split.docs for v in get_token_values(doc, "voken")}
    records = [record for record in pool.records if record.id in named]
    title, root = "Image files", pool.image_root
    if not records:
        text = "The corpus names no image of the pool"
        return Section(title, (), (Message("info", text),))
    if not root.is_dir():
        why = "The pool's meta.json names it. Training only needs the pool's features."
        return Section(title, (), (Message("info", "The folder of the images is missing", why),))
    problems: dict[str, list[str]] = {"missing": [], "changed": [], "unreadable": []}
    for record in tqdm(
        records, "Opening", unit=" images", delay=PATIENCE_SECONDS, disable=None, leave=False
    ):
        if problem := _problem(record, root):
            problems[problem].append(record.id)
    n_good = len(records) - sum(map(len, problems.values()))
    counts = (len(records), n_good, *map(len, problems.values()))
    header = ("Named", "Can be opened", "Missing", "Changed", "Unreadable")
    tables = (table(("Images", "Count"), zip(header, counts, strict=True)),)
    why = "Training only needs their features. HTML pages show their thumbnails, if there are any."
    messages = [
        Message(
            "warn" if problem == "unreadable" else "info",
            f"{count_of(len(ids), 'image file')} {problem}",
            f"{_ids(ids)}. {why}",
        )
        for problem, ids in problems.items()
        if ids
    ]
    if not messages:
        messages.append(Message("good", "All images that the corpus names can be opened"))
    return Section(title, tables, tuple(messages))


def _problem(record: ImageRecord, root: Path) -> str | None:
    """Return "missing", "changed" (not the file that was embedded), "unreadable" or None.

    Args:
        record: The image.
        root: The pool's image folder, resolved.
    """
    file = root / record.path
    if not file.exists():
        return "missing"
    try:
        data = read_image(file, root=root)
        if hashlib.sha256(data).hexdigest() != record.sha256:
            return "changed"
        open_image(data)
    except ImageError:
        return "unreadable"
    return None


def _ids(ids: Iterable[str]) -> str:
    return listed(map(shown, dict.fromkeys(ids)))
