"""What a pool map says of its pool in numbers, as HTML."""

from __future__ import annotations

import math
from collections import Counter
from html import escape

import numpy as np

from ..images.pool import ImagePool
from ..metrics.retrieval import chance_skewness, spread
from .voken_usage import VokenUsage

N_SOURCES = 10

STYLE = """
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: .75rem;
  margin: 1rem 0 0; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr 1fr; --number: 1.05rem; } }
dl div { padding: .7rem .9rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .9rem; }
dt, .note { color: var(--quiet); font-size: .8rem; line-height: 1.4; }
dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.number { font-size: var(--number, 1.25rem); font-weight: 600; line-height: 1.3; }
"""


def render_sources(pool: ImagePool) -> str:
    """Where the pool's pictures come from, under which licence, and how many; most first."""
    counts = Counter((record.source, record.licence) for record in pool.records)
    items = [
        f"{escape(source or 'source not stated')}, {escape(licence or 'licence not stated')} "
        f"({count:,})"
        for (source, licence), count in counts.most_common(N_SOURCES)
    ]
    more = len(counts) - len(items)
    return "Pictures: " + " · ".join(items) + (f" · {more:,} sources more" if more else "")


def render_facts(pool: ImagePool, usage: VokenUsage | None) -> str:
    """A list of a pool's numbers, each with what it is and what it means.

    usage: of the pool's pictures; None leaves out what follows from it.
    """
    width, height = (
        float(np.median([getattr(record, side) for record in pool.records]))
        for side in ("width", "height")
    )
    facts = [
        ("Pictures", f"{len(pool):,}", f"{width:g} × {height:g} pixels in the median"),
        (
            "Encoder",
            escape(pool.meta["encoder"]),
            f"weights {escape(pool.meta['weights_sha256'][:16])}",
        ),
        (
            "Features",
            f"{pool.meta['dimension']:,} dimensions",
            f"{pool.features.nbytes / 1000:,.0f} kB",
        ),
    ]
    if usage is not None:
        numbers = spread(list(usage.counts.values()), len(pool))
        n_found, n_vokens = len(usage.counts), usage.n_vokens
        never = len(pool) - n_found
        facts += [
            (
                "Tokens with a voken",
                f"{n_vokens / usage.n_tokens:.1%}",
                f"{n_vokens:,} of {usage.n_tokens:,}",
            ),
            (
                "Distinct vokens",
                f"{n_found:,}",
                f"pool coverage: {numbers['coverage']:.1%} of the pictures",
            ),
            ("Never retrieved", f"{never:,}", f"{never / len(pool):.1%} of the pictures"),
            (
                "Taken by the most frequent 1 %",
                f"{numbers['top_1_percent']:.1%}",
                f"of the tokens with a voken go to {max(1, round(len(pool) / 100)):,} of the "
                "pictures",
            ),
            ("Hubness", *_hubness(numbers["skewness"], n_vokens, len(pool))),
        ]
    items = (
        f'<div><dt>{name}</dt><dd class="number">{number}</dd><dd class="note">{note}</dd></div>'
        for name, number, note in facts
    )
    return "<dl>\n" + "\n".join(items) + "\n</dl>"


def _hubness(skewness: float, n_vokens: int, n_pictures: int) -> tuple[str, str]:
    note = (
        "skewness of N₁, how many tokens retrieve a picture (Radovanović, Nanopoulos "
        "and Ivanović 2010, <i>Hubs in space</i>)"
    )
    if math.isnan(skewness):
        return "not defined", f"{note}: all are retrieved as often"
    return f"{skewness:.2f}", f"{note}; drawn at random {chance_skewness(n_vokens, n_pictures):.2f}"
