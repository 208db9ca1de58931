"""Show an explanation: a table per entity, and an HTML page of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from ..attributes import get_token_values
from .explain import EntitySpan, Evidence, Explanation, Outcome
from .page import frame_page
from .render import FindImage, enclose, images_of
from .thumbnails import Thumbnails

TITLE = "Did the images matter?"
PAGE_STYLE = "body { max-width: 60rem; } h1 { font-size: 1.5rem; line-height: 1.2; margin: 0; }"
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
td .image { display: inline-grid; width: 3rem; height: 3rem; margin: 0 .3rem 0 0;
  font-size: .55rem; vertical-align: middle; }
.probability { display: inline-block; width: 6rem; height: .5rem; margin-inline-end: .5rem;
  border-radius: .25rem; background: linear-gradient(var(--bar), var(--bar)) 0 /
  var(--weight) 100% no-repeat, var(--line); }
"""


def render_explanation(explanation: Explanation, images: FindImage | None = None) -> str:
    """Render an explanation as a complete HTML page.

    Args:
        explanation: The explanation.
        images: Returns the image with an id, or None if it is not available. By default, images
            come from the index of the retriever that set the document's vokens.

    Returns:
        The page. It needs no network.
    """
    body = f"<h1>{TITLE}</h1>\n{explanation_html(explanation, images)}"
    return frame_page(TITLE, PAGE_STYLE, body)


def explanation_html(explanation: Explanation, images: FindImage | None = None) -> str:
    """Render an explanation as an HTML fragment, with a table and a verdict per entity.

    Args:
        explanation: The explanation.
        images: Returns the image with an id, or None if it is not available. By default, images
            come from the index of the retriever that set the document's vokens.

    Returns:
        The fragment. Its style does not affect the page around it.
    """
    thumbnails = Thumbnails(images or images_of([explanation.doc]))
    sections = [_section(explanation, each, thumbnails) for each in explanation.evidence]
    if not sections:
        sections = ["<section>No entity is found, with or without images.</section>"]
    text = f'<p class="text">{escape(explanation.doc.text)}</p>\n'
    return enclose(text + "\n".join(sections), STYLE, thumbnails)


@dataclass(frozen=True)
class EvidenceRow:
    """A row of an entity's table: one outcome, or the mean of several.

    Attributes:
        name: Which images the tagger was given.
        vokens: Ids of the images to show.
        probability: Probability of the entity, 0 to 1.
        spread: Least and greatest probability if the row is a mean, otherwise "".
        found: What is found, in words.
    """

    name: str
    vokens: tuple[str, ...]
    probability: float
    spread: str
    found: str


def evidence_rows(evidence: Evidence, explanation: Explanation) -> list[EvidenceRow]:
    """Return the table of an entity, one row per outcome and one for all random draws.

    Args:
        evidence: The entity's evidence.
        explanation: The explanation it belongs to.
    """
    doc = explanation.doc

    def row(name: str, vokens: tuple[str, ...], outcome: Outcome) -> EvidenceRow:
        found = describe_found(outcome, evidence.span, explanation)
        return EvidenceRow(name, vokens, outcome.probability, "", found)

    start, end, _ = evidence.span
    all_vokens = get_token_values(doc, "voken")
    own = tuple(voken for voken in all_vokens[start:end] if voken is not None)
    name = "the text's images" if any(all_vokens) else "the text has no images"
    if any(all_vokens) and not own:
        name += " (these words have none)"
    rows = [
        row(name, own, evidence.with_images),
        row("no images", (), evidence.without_images),
    ]
    if evidence.with_random:
        values = [draw.probability for draw in evidence.with_random]
        n_found = sum(evidence.span in draw.found for draw in evidence.with_random)
        rows.append(
            EvidenceRow(
                f"random images for all words, {len(values)} draws",
                (),
                sum(values) / len(values),
                f" ({min(values):.2f} to {max(values):.2f})",
                f"found in {n_found} of {len(values)}",
            )
        )
    for other in evidence.alternatives:
        name = f"{doc[other.token].text}: {other.voken}, r {other.score:.2f}"
        rows.append(row(name, (other.voken,), other.outcome))
    return rows


def describe_label_probabilities(evidence: Evidence) -> str:
    """Say how likely the entity's words are to be an entity of each label."""
    rest = max(0.0, 1.0 - sum(evidence.labels.values()))
    labels = ", ".join(f"{label} {value:.2f}" for label, value in evidence.labels.items())
    return f"Exactly these words: {labels}; other words or no entity: {rest:.2f}."


def describe_found(outcome: Outcome, span: EntitySpan, explanation: Explanation) -> str:
    """Say what is found in the place of an entity: "the same", "nothing" or other entities."""
    if outcome.found == (span,):
        return "the same"
    return (
        ", ".join(f"{explanation.doc[a:b].text} {label}" for a, b, label in outcome.found)
        or "nothing"
    )


def _section(explanation: Explanation, evidence: Evidence, thumbnails: Thumbnails) -> str:
    start, end, label = evidence.span
    rows = [
        f"<tr><td>{''.join(map(thumbnails.tile, row.vokens))}{escape(row.name)}</td>"
        f'<td><span class="probability" style="--weight: {row.probability:.0%}"></span>'
        f"{row.probability:.2f}{row.spread}</td><td>{escape(row.found)}</td></tr>"
        for row in evidence_rows(evidence, explanation)
    ]
    return (
        f"<section>\n<h2>{escape(explanation.doc[start:end].text)} <b>{escape(label)}</b></h2>\n"
        f"<p>{escape(describe_label_probabilities(evidence))}</p>\n"
        f'<p class="verdict">{escape(evidence.verdict.capitalize())}.</p>\n'
        '<div class="wide"><table>\n'
        "<tr><th>Images</th><th>Probability</th><th>Found</th></tr>\n"
        + "\n".join(rows)
        + "\n</table></div>\n</section>"
    )
