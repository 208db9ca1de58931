"""One HTML page to look at an image pool: its numbers, a map of its pictures, its hubs.

The page holds pictures of the pool and words of the corpora.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np
from tqdm import tqdm

from ..corpus.sections import count_of
from ..images.pool import ImagePool
from ..retrieval.picture import Picture
from . import pool_facts
from .frame import frame_page
from .pool_facts import render_facts, render_sources
from .projection import MIN_FOR_TSNE, N_COMPONENTS, project
from .thumbnails import Thumbnails
from .voken_usage import VokenUsage

N_HUBS = 50
N_ON_SHEET = 24
N_WORDS = 5
# So many pictures have room to be shown large.
FEW = 150

STYLE = """
:root { --hub: #c2410c; --tile: 1.75rem; }
@media (prefers-color-scheme: dark) { :root { --hub: #ff8a4c; } }
@media (max-width: 40rem) { :root { --tile: 1.3rem; } }
body { max-width: 72rem; }
h1 { margin: 0; font-size: 1.6rem; line-height: 1.2; letter-spacing: -.01em; }
h2 { margin: 2rem 0 0; font-size: 1.15rem; line-height: 1.3; }
h1, h2, header p, li { overflow-wrap: anywhere; }
header p, section p { margin: .35rem 0 0; color: var(--quiet); max-width: 46rem; }
.map { margin-top: .75rem; overflow-x: auto; background: var(--card);
  border: 1px solid var(--line); border-radius: .9rem; }
.few { --tile: 3.5rem; }
.canvas { position: relative; margin: calc(1.5 * var(--tile));
  min-width: calc(var(--tile) * var(--columns)); }
.place { position: absolute; width: var(--tile); height: var(--tile); border-radius: .3rem;
  box-shadow: 0 0 0 1px var(--line);
  transform: translate(-50%, -50%); background: #fff center / contain no-repeat;
  -webkit-print-color-adjust: exact; print-color-adjust: exact; }
.place:hover { transform: translate(-50%, -50%) scale(3); z-index: 1; }
.dot { width: .6rem; height: .6rem; border-radius: 50%; background: var(--quiet); opacity: .6; }
.hub { box-shadow: 0 0 0 calc(var(--ring) * var(--tile)) var(--hub); opacity: 1; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(7.5rem, 1fr)); gap: 1rem;
  list-style: none; padding: 0; margin: .75rem 0 0; }
.sheet li { font-size: .75rem; line-height: 1.35; color: var(--quiet);
  font-variant-numeric: tabular-nums; }
.sheet .picture { width: 6rem; height: 6rem; margin-top: 0; }
.sheet b, .sheet li > span:not(.picture) { display: block; }
.sheet b { color: var(--ink); font-size: .85rem; }
.words { color: var(--ink); }
"""

BODY = """<header>
<h1>{title}</h1>
<p>{sources}</p>
</header>
<main>
{facts}
<section>
<h2>Map</h2>
<p>{shown}</p>
<div class="map" role="region" aria-label="Map of the pictures" tabindex="0">
<div class="canvas{few}" style="{shape}">
{places}
</div>
</div>
</section>
{sheets}
</main>
{footer}"""


def render_pool_map(
    pool: ImagePool,
    usage: VokenUsage | None = None,
    *,
    title: str = "A map of an image pool",
    limit: int = 1000,
    seed: int = 0,
) -> str:
    """Render a pool as one self-contained HTML page, readable without a network.

    A picture is embedded once however often it is shown. Nothing of the pool or the corpora reaches
    the page unescaped.

    pool: its thumbnails are shown, or its pictures' files where it has none; the others are dots.
    usage: how often the pool's pictures are retrieved, which makes hubs; None leaves that out.
    title: heading of the page.
    limit: how many pictures the map has, at least one: the hubs, then others at random.
    seed: of what is drawn and of the map. The same arguments give the same page.
    raises ImportError: where scikit-learn is missing.
    raises OSError: where a thumbnail of the pool is missing.
    """
    rng = np.random.default_rng(seed)
    hubs = [] if usage is None else usage.most_frequent(N_HUBS)
    mapped = choose_pictures(pool.ids, hubs, limit, rng)
    unseen = pool.ids if usage is None else [id for id in pool.ids if id not in usage.counts]
    sample = choose_pictures(unseen, [], N_ON_SHEET, rng)

    thumbnails = Thumbnails(lambda id: _picture(pool, id))
    points = project(pool.features[pool.rows(mapped)], seed=seed)
    for id in tqdm(mapped, unit=" pictures", disable=None, leave=False):
        thumbnails.css_class(id)
    n_hubs = len(set(hubs) & set(mapped))
    sheets = [
        "" if usage is None else _hub_sheet(hubs[:N_ON_SHEET], usage, thumbnails),
        _sample_sheet(sample, len(unseen), usage is not None, seed, thumbnails),
    ]
    body = BODY.format(
        title=escape(title),
        sources=render_sources(pool),
        facts=render_facts(pool, usage),
        shown=_explain(pool, mapped, n_hubs, seed, thumbnails),
        few=" few" if len(mapped) <= FEW else "",
        shape=_shape(points),
        places="\n".join(_places(mapped, points, n_hubs, usage, thumbnails)),
        sheets="\n".join(sheets),
        footer=thumbnails.attribution(),
    )
    return frame_page(title, STYLE + pool_facts.STYLE + thumbnails.style(), body)


def choose_pictures(
    ids: Sequence[str], first: Sequence[str], limit: int, rng: np.random.Generator
) -> list[str]:
    """At most `limit` pictures: those of `first` in their order, then others drawn at random."""
    first = first[:limit]
    others = sorted(set(ids) - set(first))
    drawn = rng.permutation(len(others))[: limit - len(first)]
    return [*first, *(others[row] for row in drawn)]


def _picture(pool: ImagePool, id: str) -> Picture:
    (row,) = pool.rows([id])
    return Picture.from_record(pool.records[row], pool.picture_root, pool.thumbnail(id))


def _explain(
    pool: ImagePool, mapped: list[str], n_hubs: int, seed: int, thumbnails: Thumbnails
) -> str:
    """What the map shows, and how it was made."""
    n_others = len(mapped) - n_hubs
    if len(mapped) == len(pool):
        shown = f"Shown: all {count_of(len(pool), 'picture')}."
    else:
        hubs = f"the {n_hubs} retrieved most and " if n_hubs else ""
        shown = (
            f"Shown: {len(mapped):,} of {len(pool):,} pictures, {hubs}{n_others:,} drawn at random "
            f"(seed {seed})."
        )
    n_components = min(N_COMPONENTS, len(mapped), pool.meta["dimension"])
    how = f"{n_components} principal components, then t-SNE"
    if len(mapped) < MIN_FOR_TSNE:
        how = "the first two principal components"
    shown += (
        f" Pictures stand near each other where their features are alike ({how}, of standardised "
        "features); how far apart distant ones are says little. Point at a picture to enlarge it "
        "and to read its id."
    )
    if n_hubs:
        shown += (
            f" A ring marks the {count_of(n_hubs, 'hub')}, the pictures retrieved most; the wider "
            "it is, the more tokens retrieve the picture."
        )
    absent = sum(thumbnails.css_class(id) is None for id in mapped)
    return shown + (f" {count_of(absent, 'picture')} not at hand: dots." if absent else "")


def _shape(points: np.ndarray) -> str:
    """The map's form and least size: as wide as high as the points are, with room for all."""
    width, height = np.ptp(points, axis=0)
    ratio = float(np.clip(width / height, 0.75, 3)) if width and height else 2.0
    # So that a picture covers others by half of its side or so.
    columns = 0.8 * math.sqrt(len(points) * ratio)
    return f"aspect-ratio: {ratio:.3f}; --columns: {columns:.1f}"


def _places(
    mapped: list[str],
    points: np.ndarray,
    n_hubs: int,
    usage: VokenUsage | None,
    thumbnails: Thumbnails,
) -> list[str]:
    """The map's pictures, the hubs last, so that they lie above the others."""
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    # A map of one picture, or of a line of them, has no extent to divide by.
    percent = 100 * np.where(span > 0, (points - low) / np.where(span > 0, span, 1), 0.5)
    places = []
    for number, (id, (x, y)) in enumerate(zip(mapped, percent, strict=True)):
        name = label = escape(id)
        css_class = thumbnails.css_class(id)
        style = f"left: {x:.2f}%; top: {y:.2f}%"
        classes = f"place {css_class or 'dot'}"
        if usage is not None:
            label = f"{name}: {count_of(usage.counts[id], 'token')}"
            if number < n_hubs:
                share = usage.counts[id] / usage.counts[mapped[0]]
                classes += " hub"
                style += f"; --ring: {0.04 + 0.24 * math.sqrt(share):.3f}"
        absent = "" if css_class else ", not at hand"
        places.append(
            f'<span class="{classes}" role="img" aria-label="picture {label}{absent}" '
            f'title="{label}" style="{style}"></span>'
        )
    return places[::-1]


def _hub_sheet(hubs: list[str], usage: VokenUsage, thumbnails: Thumbnails) -> str:
    items = []
    for id in hubs:
        count = usage.counts[id]
        words = ", ".join(
            f"<bdi>{escape(word)}</bdi> {n:,}" for word, n in usage.top_words(id, N_WORDS)
        )
        items.append(
            f"<li>{thumbnails.tile(id)}<b>{count:,} · {count / usage.n_vokens:.2%}</b>"
            f'<span class="words">{words}</span><span>{escape(id)}</span></li>'
        )
    what = (
        f"The {count_of(len(hubs), 'picture')} that most tokens retrieve: their number, their "
        f"share of all tokens with a voken, and the {N_WORDS} most frequent words among them."
    )
    return _sheet("Hubs", what, items)


def _sample_sheet(
    sample: list[str], n_all: int, by_usage: bool, seed: int, thumbnails: Thumbnails
) -> str:
    name = "Never retrieved" if by_usage else "A sample"
    if not sample:
        return _sheet(name, "Every picture is the voken of a token.", [])
    of = "the pictures that no token retrieves" if by_usage else "the pictures"
    what = f"{len(sample)} of {of}, {n_all:,} in all, drawn at random (seed {seed})."
    return _sheet(
        name, what, [f"<li>{thumbnails.tile(id)}<span>{escape(id)}</span></li>" for id in sample]
    )


def _sheet(name: str, what: str, items: list[str]) -> str:
    listed = "\n".join(items)
    pictures = f'\n<ol class="sheet">\n{listed}\n</ol>' if items else ""
    return f"<section>\n<h2>{name}</h2>\n<p>{what}</p>{pictures}\n</section>"
