"""An explanation to look at: of each entity a row a reading, and a page of them."""

from __future__ import annotations

from dataclasses import dataclass
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
    rows = [
        f"<tr><td>{''.join(map(thumbnails.tile, row.vokens))}{escape(row.name)}</td>"
        f'<td><span class="probability" style="--weight: {row.probability:.0%}"></span>'
        f"{row.probability:.2f}{row.spread}</td><td>{escape(row.found)}</td></tr>"
        for row in evidence_rows(evidence, explanation)
    ]
    return (
        f"<section>\n<h2>{escape(doc[start:end].text)} <b>{escape(label)}</b></h2>\n"
        f"<p>{escape(describe_labels(evidence))}</p>\n"
        f'<p class="verdict">{escape(evidence.verdict.capitalize())}.</p>\n'
        '<div class="wide"><table>\n<tr><th>With</th><th>Probability</th><th>Found</th></tr>\n'
        + "\n".join(rows)
        + "\n</table></div>\n</section>"
    )


@dataclass(frozen=True)
class Row:
    """A reading of an entity's place, or the mean of several, to be shown.

    name: of the pictures it was read with.
    vokens: the ids of those that are worth showing.
    probability: 0 to 1.
    spread: the least and the greatest of several; "" of one.
    found: what is found there, in words.
    """

    name: str
    vokens: tuple[str, ...]
    probability: float
    spread: str
    found: str


def evidence_rows(evidence: Evidence, explanation: Explanation) -> list[Row]:
    """The readings of an entity's place, one a row."""
    start, end, _ = evidence.span
    all_vokens = get_token_values(explanation.doc, "voken")
    own = tuple(voken for voken in all_vokens[start:end] if voken is not None)
    name = "the text's pictures" if any(all_vokens) else "the text has no pictures"
    if any(all_vokens) and not own:
        name += ", of which these words have none"
    rows = [
        _row(name, own, evidence.with_pictures, evidence, explanation),
        _row("no pictures", (), evidence.without, evidence, explanation),
    ]
    if evidence.random:
        values = [reading.probability for reading in evidence.random]
        n_found = sum(evidence.span in reading.found for reading in evidence.random)
        rows.append(
            Row(
                f"random pictures for all words, {len(values)} draws",
                (),
                sum(values) / len(values),
                f" ({min(values):.2f} to {max(values):.2f})",
                f"found in {n_found} of {len(values)}",
            )
        )
    for other in evidence.alternatives:
        name = f"{explanation.doc[other.token].text}: {other.voken}, r {other.score:.2f}"
        rows.append(_row(name, (other.voken,), other.reading, evidence, explanation))
    return rows


def describe_labels(evidence: Evidence) -> str:
    """How likely the words are to be each type of entity, in words."""
    rest = max(0.0, 1.0 - sum(evidence.labels.values()))
    labels = ", ".join(f"{label} {value:.2f}" for label, value in evidence.labels.items())
    return f"Just these words: {labels}; other words or no entity {rest:.2f}."


def describe(reading: Reading, evidence: Evidence, explanation: Explanation) -> str:
    """What is found at an entity's place, in words."""
    if reading.found == (evidence.span,):
        return "the same"
    return (
        ", ".join(f"{explanation.doc[a:b].text} {label}" for a, b, label in reading.found)
        or "nothing"
    )


def _row(
    name: str,
    vokens: tuple[str, ...],
    reading: Reading,
    evidence: Evidence,
    explanation: Explanation,
) -> Row:
    return Row(name, vokens, reading.probability, "", describe(reading, evidence, explanation))
