"""The pictures and vokens that a corpus names, against each other and against an image pool."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spacy.tokens import Doc
from tqdm import tqdm

from ..extensions import GIVEN, get_token_values, index_pool
from ..images.decode import PictureError, open_picture, read_picture
from ..images.pool import ImagePool, ImageRecord
from ..images.scan import follow_links
from .sections import Cell, Message, Row, Section, count_of, listed, share, shown, table
from .splits import Split

# As much of a pool's hash as the id of an index holds.
HASH_LENGTH = 16
PATIENCE_SECONDS = 3.0


def describe_pictures(splits: Sequence[Split], pool: ImagePool | None = None) -> Section:
    """The pictures that came with the documents, and which of these a pool has."""
    rows: list[Row] = []
    messages = []
    all_absent: list[str] = []
    for split in splits:
        ids = [doc._.image_id for doc in split.docs if doc._.image_id is not None]
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
        text = "No document came with a picture"
        return Section("Pictures", (), (Message("info", text),))
    header = ["Part", "With a picture", "Without", "Distinct pictures"]
    if pool is not None:
        header += ["In the pool", "Not in it"]
        text = f"The pool lacks the pictures of {count_of(len(all_absent), 'document')}"
        why = (
            f"{_ids(all_absent)}. A matching model cannot learn from these documents; a tagger "
            "needs the vokens' pictures only."
        )
        messages.append(
            Message("info", text, why)
            if all_absent
            else Message("good", "The pool has the pictures of all documents")
        )
    return Section("Pictures", (table(header, rows),), tuple(messages))


@dataclass
class _Vokens:
    """What a part's vokens are like.

    tokens, docs: that there are; documents without tokens are left out.
    counts: tokens by their voken.
    indexes: documents by the index of their vokens.
    bare: documents that were never given vokens.
    unknown: tokens by their voken, where the pool does not have it and should.
    not_given: the same of vokens by `given_image`, which may be in no pool.
    pools: documents by the pool of their vokens, where an index says it.
    """

    tokens: int = 0
    docs: int = 0
    bare: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    indexes: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    not_given: Counter[str] = field(default_factory=Counter)
    pools: Counter[str] = field(default_factory=Counter)


def describe_vokens(splits: Sequence[Split], pool: ImagePool | None = None) -> Section:
    """The tokens' vokens: how many have one, and whether the tagger can look it up.

    A failure is what the tagger refuses: vokens that are not in the pool, or of another pool.
    """
    found = {split.name: _read_vokens(split.docs, pool) for split in splits}
    if not any(vokens.indexes or vokens.counts for vokens in found.values()):
        why = "A pipeline's retriever finds them in training, or `spacy vokens vokenize` once."
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
    header = ["Part", "Vokenized", "Tokens", "With a voken", "Distinct pictures"]
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
        if (source := index_pool(doc)) is not None:
            found.pools[source] += 1
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
            "refuses them: vokenize the corpus from this pool, or name the one that it was "
            "vokenized from."
        )
        messages.append(Message("fail", text, why))
    if pool is not None and (others := vokens.pools - Counter({_half(pool): vokens.docs})):
        text = f"{name}: {count_of(others.total(), 'document')} vokenized from another pool"
        why = f"{_ids(others)}; this pool is {_half(pool)}. Vokenize the corpus from it."
        messages.append(Message("fail", text, why))
    if vokens.not_given:
        text = f"{name}: {count_of(len(vokens.not_given), 'given picture')} not in the pool"
        why = f"{_ids(vokens.not_given)}. These documents are tagged without a picture."
        messages.append(Message("warn", text, why))
    if 0 < vokens.bare < vokens.docs:
        text = f"{name}: {vokens.bare:,} of {count_of(vokens.docs, 'document')} without vokens"
        messages.append(Message("warn", text, "The others have some: vokenize all of them."))
    return messages


def _pool_messages(found: dict[str, _Vokens], pool: ImagePool | None) -> list[Message]:
    """What the parts together give away."""
    pools = {source for vokens in found.values() for source in vokens.pools}
    indexes = {index for vokens in found.values() for index in vokens.indexes}
    if pool is None and len(pools) > 1:
        why = f"{_ids(sorted(pools))}. A tagger has the features of one: vokenize all from one."
        return [Message("fail", f"The vokens come from {len(pools)} pools", why)]
    messages = []
    if len(indexes) > 1:
        why = "One model with one setting should ground all parts: vokenize them together."
        messages.append(Message("warn", f"The vokens come from {len(indexes)} indexes", why))
    bare = [name for name, vokens in found.items() if vokens.docs and vokens.bare == vokens.docs]
    if bare:
        why = "Others have some: vokenize all, or none."
        messages.append(Message("warn", f"No document of {', '.join(bare)} has vokens", why))
    return messages


def describe_files(splits: Sequence[Split], pool: ImagePool) -> Section:
    """Whether the files of the pictures that the corpus names are there and can be opened.

    Training reads features and no files, so that a missing one is no fault. A file is decoded only
    where its hash is the pool's, since a pool may be from another machine; a bar shows the progress
    where that takes more than `PATIENCE_SECONDS`.
    """
    named = {doc._.image_id for split in splits for doc in split.docs}
    named |= {v for split in splits for doc in split.docs for v in get_token_values(doc, "voken")}
    records = [record for record in pool.records if record.id in named]
    title, root = "Picture files", pool.picture_root
    if not records:
        text = "The corpus names no picture of the pool"
        return Section(title, (), (Message("info", text),))
    if not root.is_dir():
        why = "The pool's meta.json names it. Training needs features only; pages show thumbnails."
        return Section(title, (), (Message("info", "The pictures' folder is not here", why),))
    problems: dict[str, list[str]] = {"missing": [], "changed": [], "unreadable": []}
    for record in tqdm(
        records, "Opening", unit=" pictures", delay=PATIENCE_SECONDS, disable=None, leave=False
    ):
        if problem := _problem(record, root):
            problems[problem].append(record.id)
    n_good = len(records) - sum(map(len, problems.values()))
    counts = (len(records), n_good, *map(len, problems.values()))
    header = ("Named", "Can be opened", "Missing", "Changed", "Unreadable")
    tables = (table(("Pictures", "Count"), zip(header, counts, strict=True)),)
    why = "Training reads their features only; pages show a thumbnail, or none."
    messages = [
        Message(
            "warn" if problem == "unreadable" else "info",
            f"{count_of(len(ids), 'picture file')} {problem}",
            f"{_ids(ids)}. {why}",
        )
        for problem, ids in problems.items()
        if ids
    ]
    if not messages:
        messages.append(Message("good", "All pictures that the corpus names can be opened"))
    return Section(title, tables, tuple(messages))


def _problem(record: ImageRecord, root: Path) -> str | None:
    """ "missing", "changed" (not the file that was embedded), "unreadable", or None.

    root: the pool's picture folder, resolved.
    """
    file = root / record.path
    if not file.exists():
        return "missing"
    try:
        data = read_picture(follow_links(file, root))
        if hashlib.sha256(data).hexdigest() != record.sha256:
            return "changed"
        open_picture(data)
    except PictureError:
        return "unreadable"
    return None


def _half(pool: ImagePool) -> str:
    return pool.hash[:HASH_LENGTH]


def _ids(ids: Iterable[str]) -> str:
    return listed(map(shown, dict.fromkeys(ids)))
