"""An explanation as HTML: each entity with its pictures, without, and with other ones."""

from __future__ import annotations

from html import escape

from ..extensions import get_token_values
from .explanation import Evidence, Explanation, Reading
from .frame import frame_page
from .render import PictureOf, enclose, loaded_pictures
from .thumbnails import Thumbnails

TITLE = "Why: the entities, and their pictures exchanged"
STYLE = """
--bar: #3d6fd9; color: var(--ink);
@media (prefers-color-scheme: dark) { --bar: #86a9f5; }
section { margin: 1.25rem 0 0; padding: 1rem clamp(.7rem, 3vw, 1.25rem); background: var(--card);
  border: 1px solid var(--line); border-radius: .9rem; }
h2 { margin: 0; font-size: 1.1rem; overflow-wrap: anywhere; }
h2 b { font-size: .75em; color: var(--quiet); }
.verdict { margin: .2rem 0 .6rem; }
.text { color: var(--quiet); overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .85rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .5rem; border-top: 1px solid var(--line); text-align: start; }
th { color: var(--quiet); font-weight: 600; border: 0; }
td .picture { display: inline-grid; width: 3rem; height: 3rem; margin: 0 .3rem 0 0;
  font-size: .55rem; vertical-align: middle; }
.probability { display: inline-block; width: 6rem; height: .5rem; margin-inline-end: .5rem;
  border-radius: .25rem; background: linear-gradient(var(--bar), var(--bar)) 0 /
  var(--weight) 100% no-repeat, var(--line); }
"""


def render_explanation(explanation: Explanation, pictures: PictureOf | None = None) -> str:
    """A whole page of an explanation.

    pictures: as for `to_html`.
    """
    style = "body { max-width: 60rem; } h1 { font-size: 1.5rem; line-height: 1.2; margin: 0; }"
    return frame_page(TITLE, style, f"<h1>{TITLE}</h1>\n{evidence_html(explanation, pictures)}")


def evidence_html(explanation: Explanation, pictures: PictureOf | None = None) -> str:
    """An explanation for any page: of each entity a table, and in a few words what it says.

    pictures: as for `to_html`.
    """
    thumbnails = Thumbnails(pictures or loaded_pictures([explanation.doc]))
    sections = [_section(explanation, each, thumbnails) for each in explanation.evidence]
    if not sections:
        sections = ["<section>No entity is found, with pictures or without.</section>"]
    text = f'<p class="text">{escape(explanation.doc.text)}</p>\n'
    return enclose(text + "\n".join(sections), STYLE, thumbnails)


def _section(explanation: Explanation, evidence: Evidence, thumbnails: Thumbnails) -> str:
    doc = explanation.doc
    start, end, label = evidence.span
    own = get_token_values(doc, "voken")[start:end]
    tiles = "".join(thumbnails.tile(voken) for voken in own if voken is not None)
    rows = [
        _row(tiles + "its pictures", evidence, evidence.with_pictures, explanation),
        _row("no pictures", evidence, evidence.without, explanation),
    ]
    if evidence.random:
        values = [reading.probability for reading in evidence.random]
        n_found = sum(evidence.span in reading.found for reading in evidence.random)
        mean = sum(values) / len(values)
        span = f"{_bar(mean)} ({min(values):.2f} to {max(values):.2f})"
        rows.append(_cells(f"random pictures, {len(values)} draws", span, f"found in {n_found}"))
    for other in evidence.alternatives:
        name = (
            f"{thumbnails.tile(other.voken)}{escape(doc[other.token].text)}: "
            f"{escape(other.voken)}, r {other.score:.2f}"
        )
        rows.append(_row(name, evidence, other.reading, explanation))
    return (
        f"<section>\n<h2>{escape(doc[start:end].text)} <b>{escape(label)}</b></h2>\n"
        f'<p class="verdict">{escape(evidence.verdict.capitalize())}.</p>\n'
        '<div class="wide"><table>\n<tr><th>With</th><th>Probability</th><th>Found</th></tr>\n'
        + "\n".join(rows)
        + "\n</table></div>\n</section>"
    )


def _row(name: str, evidence: Evidence, reading: Reading, explanation: Explanation) -> str:
    return _cells(name, _bar(reading.probability), escape(describe(reading, evidence, explanation)))


def describe(reading: Reading, evidence: Evidence, explanation: Explanation) -> str:
    """What is found at an entity's place, in words."""
    if reading.found == (evidence.span,):
        return "the same"
    return (
        ", ".join(f"{explanation.doc[a:b].text} {label}" for a, b, label in reading.found)
        or "nothing"
    )


def _cells(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _bar(probability: float) -> str:
    return f'<span class="probability" style="--weight: {probability:.0%}"></span>{probability:.2f}'
