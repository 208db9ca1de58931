"""Write an HTML page that shows an image pool: its numbers, a map of its images, and its hubs.

The page contains images of the pool and words of the corpora.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..files import file_written_aside
from ..identity import SHORT_HASH_DIGITS
from ..images.pool import ImagePool
from ..index import VokenImage
from ..messages import count_of
from ..scoring.retrieval import chance_skewness, spread
from .page import frame_page
from .thumbnails import Thumbnails
from .voken_usage import VokenUsage, read_usage

TITLE = "A map of an image pool"
N_HUBS = 50
# Images per sheet, and words per hub.
N_ON_SHEET = 24
N_WORDS = 5
N_SOURCES = 10
# A map of at most this many images has room for large tiles.
MAX_LARGE_TILES = 150
N_COMPONENTS = 50
# Nearest neighbors that t-SNE considers, if there are enough images.
PERPLEXITY = 30.0
MIN_FOR_TSNE = 10

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
.sheet .image { width: 6rem; height: 6rem; margin-top: 0; }
.sheet b, .sheet li > span:not(.image) { display: block; }
.sheet b { color: var(--ink); font-size: .85rem; }
.words { color: var(--ink); }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: .75rem;
  margin: 1rem 0 0; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr 1fr; --number: 1.05rem; } }
dl div { padding: .7rem .9rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .9rem; }
dt, .note { color: var(--quiet); font-size: .8rem; line-height: 1.4; }
dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.number { font-size: var(--number, 1.25rem); font-weight: 600; line-height: 1.3; }
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
<div class="map" role="region" aria-label="Map of the images" tabindex="0">
<div class="canvas{few}" style="{shape}">
{places}
</div>
</div>
</section>
{sheets}
</main>
{footer}"""


def map_pool(
    pool: Path,
    output: Path,
    *,
    corpora: Sequence[Path] = (),
    limit: int = 1000,
    seed: int = 0,
    title: str = TITLE,
) -> int:
    """Write an HTML page that shows a pool's images, with similar ones near each other.

    Args:
        pool: Folder of the image pool.
        output: Path of the page. An existing file is replaced.
        corpora: `.spacy` corpora with vokens of this pool, or folders of them. With them, the page
            also shows how often the images are retrieved, and for which words.
        limit: Maximum number of images on the map, at least 1.
        seed: Seed of the random choices and of the map.
        title: Heading of the page.

    Returns:
        Number of images on the map.

    Raises:
        ImportError: If scikit-learn is not installed.
        OSError: If the pool, a thumbnail of it or a corpus is missing.
        VokensError: If the pool or a corpus is damaged, or if a corpus has no vokens of the pool.
    """
    opened = ImagePool.open(pool)
    usage = read_usage(corpora, opened) if corpora else None
    page = render_pool_map(opened, usage, title=title, limit=limit, seed=seed)
    with file_written_aside(output) as aside:
        aside.write_text(page, encoding="utf-8")
    return min(limit, len(opened))


def render_pool_map(
    pool: ImagePool,
    usage: VokenUsage | None = None,
    *,
    title: str = TITLE,
    limit: int = 1000,
    seed: int = 0,
) -> str:
    """Render a pool as an HTML page that needs no network.

    An image is embedded once however often it is shown. All texts are escaped. The same arguments
    give the same page.

    Args:
        pool: The pool. Images without a thumbnail are read from their files; those whose file is
            missing are dots.
        usage: How often the pool's images are retrieved. None leaves out hubs and counts.
        title: Heading of the page.
        limit: Maximum number of images on the map, at least 1: the hubs, then random ones.
        seed: Seed of the random choices and of the map.

    Returns:
        The page.

    Raises:
        ImportError: If scikit-learn is not installed.
        OSError: If a thumbnail of the pool is missing.
    """
    rng = np.random.default_rng(seed)
    hubs = [] if usage is None else usage.most_frequent(N_HUBS)
    mapped = choose_images(pool.ids, hubs, limit, rng)
    unseen = pool.ids if usage is None else [id for id in pool.ids if id not in usage.counts]
    sample = choose_images(unseen, [], N_ON_SHEET, rng)

    thumbnails = Thumbnails(lambda id: _image(pool, id))
    points = project(pool.features[pool.rows(mapped)], seed=seed)
    for id in tqdm(mapped, unit=" images", disable=None, leave=False):
        thumbnails.css_class(id)
    n_hubs = len(set(hubs) & set(mapped))
    sheets = [
        "" if usage is None else _hub_sheet(hubs[:N_ON_SHEET], usage, thumbnails),
        _sample_sheet(sample, len(unseen), usage is not None, seed, thumbnails),
    ]
    body = BODY.format(
        title=escape(title),
        sources=_sources(pool),
        facts=_facts(pool, usage),
        shown=_describe_map(pool, mapped, n_hubs, seed, thumbnails),
        few=" few" if len(mapped) <= MAX_LARGE_TILES else "",
        shape=_shape(points),
        places="\n".join(_places(mapped, points, n_hubs, usage, thumbnails)),
        sheets="\n".join(sheets),
        footer=thumbnails.attribution(),
    )
    return frame_page(title, STYLE + thumbnails.style(), body)


def choose_images(
    ids: Sequence[str], first: Sequence[str], limit: int, rng: np.random.Generator
) -> list[str]:
    """Choose at most `limit` images: those of `first` in their order, then random ones."""
    first = first[:limit]
    others = sorted(set(ids) - set(first))
    drawn = rng.permutation(len(others))[: limit - len(first)]
    return [*first, *(others[row] for row in drawn)]


def project(features: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Project image features to the plane, with similar ones near each other.

    Each dimension is standardized and reduced to at most 50 principal components. t-SNE (van der
    Maaten and Hinton 2008) then starts from the first two; for fewer than 10 vectors, these two are
    the result.

    Args:
        features: Shape (n, dimension), any float type; n may be 0.
        seed: Seed of PCA and t-SNE. The same features and seed give the same points.

    Returns:
        Float32, shape (n, 2), without a unit; zeros if all vectors are equal.

    Raises:
        ImportError: If scikit-learn is not installed.
    """
    try:
        from sklearn.decomposition import PCA
        from sklearn.manifold import TSNE
        from sklearn.preprocessing import StandardScaler
        from threadpoolctl import threadpool_limits
    except ImportError:
        raise ImportError(
            "The map of a pool needs scikit-learn: install 'spacy-vokens[visualize]'."
        ) from None

    points = np.zeros((len(features), 2), dtype=np.float32)
    # PCA divides by the variance.
    if len(features) == 0 or not np.ptp(features, axis=0).any():
        return points
    # One thread, so that sums are computed in the same order whatever the number of cores. It also
    # avoids t-SNE's busy waiting, which is ten times as slow if other processes use the cores.
    with threadpool_limits(1):
        scaled = StandardScaler().fit_transform(features.astype(np.float32))
        n_components = min(N_COMPONENTS, *scaled.shape)
        reduced = PCA(n_components, random_state=seed).fit_transform(scaled)
        points[:, :n_components] = reduced[:, :2]
        scale = points[:, 0].std()
        # With a scale of zero, t-SNE would compute with NaN and crash.
        if len(features) < MIN_FOR_TSNE or scale == 0:
            return points
        perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
        # Not `init="pca"`, which fails for one-dimensional features.
        start = points / scale * 1e-4
        tsne = TSNE(perplexity=perplexity, init=start, random_state=seed)
        return tsne.fit_transform(reduced)


def _image(pool: ImagePool, id: str) -> VokenImage:
    (row,) = pool.rows([id])
    return VokenImage.from_record(pool.records[row], pool.image_root, pool.thumbnail(id))


def _sources(pool: ImagePool) -> str:
    """Sources and licenses of the pool's images with their number, most frequent first."""
    counts = Counter((record.source, record.license) for record in pool.records)
    items = [
        f"{escape(source or 'source not stated')}, {escape(license or 'license not stated')} "
        f"({count:,})"
        for (source, license), count in counts.most_common(N_SOURCES)
    ]
    n_more = len(counts) - len(items)
    more = f" · {count_of(n_more, 'more source')}" if n_more else ""
    return f"Images: {' · '.join(items)}{more}"


def _facts(pool: ImagePool, usage: VokenUsage | None) -> str:
    """The pool's numbers, each with a name and a note, as an HTML list."""
    width, height = (
        float(np.median([getattr(record, side) for record in pool.records]))
        for side in ("width", "height")
    )
    facts = [
        ("Images", f"{len(pool):,}", f"median size {width:g} × {height:g} pixels"),
        (
            "Encoder",
            escape(pool.encoder.name),
            f"weights {escape(pool.encoder.sha256[:SHORT_HASH_DIGITS])}",
        ),
        (
            "Features",
            f"{pool.dimension:,} dimensions",
            f"{pool.features.nbytes / 1000:,.0f} kB",
        ),
    ]
    if usage is not None:
        facts += _usage_facts(len(pool), usage)
    items = (
        f'<div><dt>{name}</dt><dd class="number">{number}</dd><dd class="note">{note}</dd></div>'
        for name, number, note in facts
    )
    return "<dl>\n" + "\n".join(items) + "\n</dl>"


def _usage_facts(n_images: int, usage: VokenUsage) -> list[tuple[str, str, str]]:
    numbers = spread(list(usage.counts.values()), n_images)
    n_found, n_vokens = len(usage.counts), usage.n_vokens
    n_never = n_images - n_found
    n_top = max(1, round(n_images / 100))
    hubness = "not defined"
    note = (
        "skewness of the number of tokens per image (N₁ of Radovanović, Nanopoulos and Ivanović "
        "2010, <i>Hubs in space</i>)"
    )
    if math.isnan(numbers["skewness"]):
        note += "; all images are retrieved equally often"
    else:
        hubness = f"{numbers['skewness']:.2f}"
        note += f"; {chance_skewness(n_vokens, n_images):.2f} if images were drawn at random"
    return [
        (
            "Tokens with a voken",
            f"{n_vokens / usage.n_tokens:.1%}",
            f"{n_vokens:,} of {usage.n_tokens:,}",
        ),
        (
            "Distinct vokens",
            f"{n_found:,}",
            f"pool coverage: {numbers['coverage']:.1%} of the images",
        ),
        ("Never retrieved", f"{n_never:,}", f"{n_never / n_images:.1%} of the images"),
        (
            "Share of the most frequent 1%",
            f"{numbers['top_1_percent']:.1%}",
            f"of the tokens with a voken have one of the {count_of(n_top, 'most frequent image')}",
        ),
        ("Hubness", hubness, note),
    ]


def _describe_map(
    pool: ImagePool, mapped: list[str], n_hubs: int, seed: int, thumbnails: Thumbnails
) -> str:
    """Say what the map shows, and how it was made."""
    if len(mapped) == len(pool):
        shown = f"Shown: all {count_of(len(pool), 'image')}."
    else:
        hubs = f"the {n_hubs} most frequent and " if n_hubs else ""
        shown = (
            f"Shown: {len(mapped):,} of {len(pool):,} images, {hubs}{len(mapped) - n_hubs:,} drawn "
            f"at random (seed {seed})."
        )
    n_components = min(N_COMPONENTS, len(mapped), pool.dimension)
    how = f"{n_components} principal components, then t-SNE"
    if len(mapped) < MIN_FOR_TSNE:
        how = "the first two principal components"
    shown += (
        f" Images are near each other if their features are similar ({how}, of standardized "
        "features). Distances between images that are far apart mean little. Point at an image to "
        "enlarge it and to read its id."
    )
    if n_hubs:
        shown += (
            f" A ring marks the {count_of(n_hubs, 'hub')}, the images retrieved most often; the "
            "wider the ring, the more tokens retrieve the image."
        )
    n_missing = sum(thumbnails.css_class(id) is None for id in mapped)
    if n_missing:
        shown += f" Dots stand for {count_of(n_missing, 'image')} not available."
    return shown


def _shape(points: np.ndarray) -> str:
    """CSS for the map's aspect ratio, as that of the points, and its minimum width."""
    width, height = np.ptp(points, axis=0)
    ratio = float(np.clip(width / height, 0.75, 3)) if width and height else 2.0
    # So wide that an image covers about half of its neighbors.
    columns = 0.8 * math.sqrt(len(points) * ratio)
    return f"aspect-ratio: {ratio:.3f}; --columns: {columns:.1f}"


def _places(
    mapped: list[str],
    points: np.ndarray,
    n_hubs: int,
    usage: VokenUsage | None,
    thumbnails: Thumbnails,
) -> list[str]:
    """The images of the map, the hubs last, so that they are above the others."""
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    # The span is zero for a single image, or for images in a line.
    percent = 100 * np.where(span > 0, (points - low) / np.where(span > 0, span, 1), 0.5)
    places = []
    for number, (id, (x, y)) in enumerate(zip(mapped, percent, strict=True)):
        label = escape(id)
        css_class = thumbnails.css_class(id)
        style = f"left: {x:.2f}%; top: {y:.2f}%"
        classes = f"place {css_class or 'dot'}"
        if usage is not None:
            label += f": {count_of(usage.counts[id], 'token')}"
            if number < n_hubs:
                share = usage.counts[id] / usage.counts[mapped[0]]
                classes += " hub"
                style += f"; --ring: {0.04 + 0.24 * math.sqrt(share):.3f}"
        missing = "" if css_class else ", not available"
        places.append(
            f'<span class="{classes}" role="img" aria-label="image {label}{missing}" '
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
    caption = (
        f"The {count_of(len(hubs), 'most frequent image')}, each with its number of tokens, their "
        f"share of all tokens with a voken, and its {N_WORDS} most frequent words."
    )
    return _sheet("Hubs", caption, items)


def _sample_sheet(
    sample: list[str], n_all: int, has_usage: bool, seed: int, thumbnails: Thumbnails
) -> str:
    name = "Never retrieved" if has_usage else "A sample"
    if not sample:
        return _sheet(name, "Every image is the voken of a token.", [])
    of = "the images that no token retrieves" if has_usage else "the images"
    caption = f"{len(sample)} of {of}, {n_all:,} in total, drawn at random (seed {seed})."
    items = [f"<li>{thumbnails.tile(id)}<span>{escape(id)}</span></li>" for id in sample]
    return _sheet(name, caption, items)


def _sheet(name: str, caption: str, items: list[str]) -> str:
    rows = "\n".join(items)
    images = f'\n<ol class="sheet">\n{rows}\n</ol>' if items else ""
    return f"<section>\n<h2>{name}</h2>\n<p>{caption}</p>{images}\n</section>"
