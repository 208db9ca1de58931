"""displaCy for pictures: texts, their entities, and the picture behind each word."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from typing import Any

from spacy import displacy
from spacy.tokens import Doc, Span, Token
from spacy.training import biluo_tags_to_spans, iob_to_biluo
from spacy.util import is_in_jupyter

from .. import extensions  # noqa: F401  (registers the attributes that are read here)
from ..corpus.sections import count_of
from ..metrics.ner import strict_spans
from ..retrieval.index import find_index
from ..retrieval.picture import Picture
from .frame import DARK, LIGHT, frame_page
from .thumbnails import Thumbnails

PictureOf = Callable[[str], Picture | None]
STYLES = ("ent", "vokens")
OPTIONS = ("colors", "ents", "title")

NO_PICTURE = '<span class="picture none">no picture</span>'

PAGE_STYLE = """
body { max-width: 66rem; }
h1 { margin: 0; font-size: 1.6rem; line-height: 1.2; letter-spacing: -.01em; }
header p { margin: .35rem 0 0; color: var(--quiet); max-width: 46rem; }
header .counts { color: var(--ink); font-weight: 600; }
"""
# Nested, so that in a notebook it touches nothing but what stands here.
STYLE = """
--gate: #3d6fd9; color: var(--ink);
@media (prefers-color-scheme: dark) { --gate: #86a9f5; }
* { box-sizing: border-box; }
figure { margin: 1.25rem 0 0; padding: 1rem clamp(.7rem, 3vw, 1.25rem) 1.25rem;
  background: var(--card); border: 1px solid var(--line); border-radius: .9rem; }
figcaption, .gold, .empty { color: var(--quiet); font-size: .8rem; }
figcaption, .gold, .word { overflow-wrap: anywhere; }
.entities { font-size: 1.1rem; overflow-wrap: anywhere; }
.entities mark { display: inline-block; max-width: 100%; color: #1c1b1a; }
.gold { margin: .1rem 0 0; }
.gold span { margin-inline-start: .6em; unicode-bidi: isolate; }
.gold b { padding: .1em .4em; border-radius: .3em; background: var(--entity); color: #1c1b1a;
  font-size: .85em; }
.gold .wrong { color: var(--ink); font-weight: 600; }
.words { display: flex; flex-wrap: wrap; row-gap: 1rem; list-style: none; padding: 0;
  margin: .9rem -.3rem 0; }
.words > li { position: relative; display: flex; flex-direction: column; align-items: center;
  min-width: 4.75rem; max-width: 8rem; margin: 0; padding: 0 .3rem; font-size: .75rem;
  line-height: 1.35; color: var(--quiet); font-variant-numeric: tabular-nums; }
.word { align-self: stretch; padding: .15em .4em; border-radius: .35em; text-align: center;
  font-size: .9rem; color: var(--ink); white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; unicode-bidi: isolate; }
.entity > .word { background: var(--entity); color: #1c1b1a; font-weight: 600; }
.inside > .word { margin-inline-start: -.3rem; border-start-start-radius: 0;
  border-end-start-radius: 0; }
li:has(+ .inside) > .word { margin-inline-end: -.3rem; border-start-end-radius: 0;
  border-end-end-radius: 0; }
.gate { margin-top: auto; }
.bar { width: 4.25rem; height: .3rem; margin-top: .15rem; border-radius: .15rem;
  background: linear-gradient(var(--gate), var(--gate)) 0 / var(--weight) 100% no-repeat,
  var(--line); -webkit-print-color-adjust: exact; print-color-adjust: exact; }
.more { display: none; position: absolute; z-index: 1; top: 1.9rem; width: 16.5rem;
  max-width: 80vw; padding: .5rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .6rem; box-shadow: 0 .3rem 1rem #0004; }
.more ol { display: grid; grid-template-columns: repeat(3, 1fr); gap: .3rem; list-style: none;
  margin: 0; padding: 0; }
.more p { margin: .4rem 0 .2rem; }
.more li { overflow-wrap: anywhere; text-align: center; margin: 0; }
.more .picture { margin: 0 auto .2rem; }
.words > li:hover > .more, .words > li:focus > .more { display: block; }
.words > li:focus { outline: 2px solid var(--gate); border-radius: .35rem; }
@media (max-width: 48rem) {
  .words { position: relative; }
  .words > li { position: static; }
  .more { inset-inline: 0; top: auto; width: auto; max-width: none; margin-top: 1.9rem; }
}
.aloud { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
"""

FRAGMENT = """<div class="vokens">
<style>{style}</style>
{html}
{footer}
</div>"""

HEADER = """<header>
<h1>{title}</h1>
<p class="counts">{counts}</p>
{legend}</header>
"""
LEGEND = """Under each word stands the picture retrieved for it, its voken. r is the relevance \
score, how well word and picture match; the bar is the gate λ, the weight of the picture in the \
word when entities are recognised, from 0 to 1. Beside a label stands how probable the entity is. \
Hover over a word, or tap it, for its next best pictures."""


def render(
    docs: Doc | Iterable[Doc],
    style: str = "vokens",
    *,
    pictures: PictureOf | None = None,
    page: bool = False,
    jupyter: bool | None = None,
    options: dict[str, Any] | None = None,
) -> str | None:
    """Show documents in a notebook, or give their HTML: the counterpart of `displacy.render`.

    jupyter: whether to display it and return nothing; None finds out whether this is a notebook.

    The other arguments are those of `to_html`.
    """
    html = to_html(docs, style, pictures=pictures, page=page, options=options)
    if jupyter or (jupyter is None and is_in_jupyter()):
        from IPython.display import HTML, display

        display(HTML(html))
        return None
    return html


def to_html(
    docs: Doc | Iterable[Doc],
    style: str = "vokens",
    *,
    pictures: PictureOf | None = None,
    page: bool = False,
    options: dict[str, Any] | None = None,
) -> str:
    """Documents with their entities and, under each word, its picture.

    Each document shows its entities as displaCy marks with their confidence, and the gold entities
    of `Doc._.raw_tags`, where it has them: those missed and those wrongly found are told. In the
    style "vokens" each word stands over its picture, relevance score and gate; hovering or focusing
    a word shows all of `Token._.vokens` and of `Token._.visual_attention`. A picture is embedded
    once however often it is shown, and what is shown needs no network. Nothing of the documents or
    the pictures reaches the HTML unescaped.

    docs: annotated documents; those without vokens, gates or tokens are shown as such. A
        document's title is read from `doc.user_data["title"]`, as displaCy does.
    style: "ent" or "vokens".
    pictures: gives the picture of a voken, or None where it is not at hand. By default those of the
        loaded index that the documents' vokens come from.
    page: whether to wrap it as a whole HTML page.
    options: `ents`, the labels to show (all by default); `colors`, by label; `title`, the heading
        of a page.
    raises ValueError: for another style or option, or where the vokens come from several indexes
        and `pictures` is not given.
    """
    if style not in STYLES:
        raise ValueError(f"The style must be one of {', '.join(STYLES)}, found {style!r}.")
    options = options or {}
    if unknown := options.keys() - set(OPTIONS):
        raise ValueError(f"options must be of {', '.join(OPTIONS)}, found {min(unknown)!r}.")
    docs = [docs] if isinstance(docs, Doc) else list(docs)
    thumbnails = Thumbnails(pictures or loaded_pictures(docs))
    renderer = displacy.EntityRenderer({"colors": options.get("colors", {})})
    figures = [
        _Figure(doc, thumbnails, renderer, options.get("ents")).html(
            style, f"Text {number}" if len(docs) > 1 else ""
        )
        for number, doc in enumerate(docs, start=1)
    ]
    html = enclose("\n".join(figures), STYLE, thumbnails)
    if not page:
        return html
    title = str(options.get("title", "Words and their pictures"))
    header = HEADER.format(
        title=escape(title),
        counts=_counts(docs),
        legend=f"<p>{LEGEND}</p>\n" if style == "vokens" else "",
    )
    return frame_page(title, PAGE_STYLE, header + html)


def enclose(html: str, style: str, thumbnails: Thumbnails) -> str:
    """HTML with its style and its pictures, which may stand in any page and touches nothing else.

    style: CSS, of which every rule will hold inside alone.
    """
    dark = f"@media (prefers-color-scheme: dark) {{ {DARK} }}"
    nested = f".vokens {{ {LIGHT}\n{dark}\n{style}{thumbnails.style()}}}"
    return FRAGMENT.format(style=nested, html=html, footer=thumbnails.attribution())


def loaded_pictures(docs: list[Doc]) -> PictureOf:
    """Look vokens up in the loaded index that these documents' vokens come from.

    raises ValueError: where they come from several.
    """
    marks = {doc._.voken_index for doc in docs} - {None}
    indexes = {index.id: index for mark in marks if (index := find_index(mark)) is not None}
    if len(indexes) > 1:
        raise ValueError(
            f"The documents' vokens come from {len(indexes)} indexes: render those of each by "
            "themselves, or give 'pictures'."
        )
    index = next(iter(indexes.values()), None)

    def picture(voken: str) -> Picture | None:
        return index.picture(voken) if index is not None and voken in index else None

    return picture


def _counts(docs: list[Doc]) -> str:
    words = [token for doc in docs for token in doc if not token.is_space]
    vokens = [token._.voken for token in words if token._.voken is not None]
    return (
        f"{count_of(len(docs), 'text')} · {count_of(len(words), 'word')}, {len(vokens)} of them "
        f"with a voken · {count_of(len(set(vokens)), 'distinct voken')}"
    )


class _Figure:
    """One document.

    shown: the labels of the entities to show; None for all.
    """

    def __init__(
        self,
        doc: Doc,
        thumbnails: Thumbnails,
        renderer: displacy.EntityRenderer,
        shown: Iterable[str] | None,
    ) -> None:
        self.doc = doc
        self.thumbnails = thumbnails
        self.renderer = renderer
        self.labels = None if shown is None else set(shown)
        self.ents = [ent for ent in doc.ents if self._is_shown(ent.label_)]

    def _is_shown(self, label: str) -> bool:
        return self.labels is None or label in self.labels

    def html(self, style: str, name: str) -> str:
        doc = self.doc
        settings = displacy.get_doc_settings(doc)
        captions = [
            name,
            # Where displaCy looks for a title too.
            escape(str(doc.user_data.get("title") or "")),
            f"came with picture {escape(doc._.image_id)}" if doc._.image_id is not None else "",
        ]
        content = '<p class="empty">empty document</p>'
        if doc.text.strip():
            content = self._marks() + self._gold()
            if style == "vokens":
                words = "\n".join(self._word(token) for token in doc if not token.is_space)
                content += f'\n<ol class="words">\n{words}\n</ol>'
        return (
            f'<figure lang="{escape(settings["lang"])}" dir="{escape(settings["direction"])}">\n'
            f"<figcaption>{' · '.join(filter(None, captions))}</figcaption>\n{content}\n</figure>"
        )

    def _marks(self) -> str:
        # displaCy escapes the text but not the labels; `params` replace what it would print.
        ents = []
        for ent in self.ents:
            label = escape(ent.label_)
            if ent._.confidence is not None:
                label += f" {ent._.confidence:.2f}"
            ents.append(
                {
                    "start": ent.start_char,
                    "end": ent.end_char,
                    "label": ent.label_,
                    "params": {"label": label},
                }
            )
        settings = displacy.get_doc_settings(self.doc)
        return self.renderer.render(
            [{"text": self.doc.text, "ents": ents, "settings": settings}]
        ).strip()

    def _gold(self) -> str:
        """The corpus's entities, and how those found differ from them by the strict reading."""
        tags = self.doc._.raw_tags
        # As the scorer does, it passes over tags of other tokens.
        if tags is None or len(tags) != len(self.doc):
            return ""
        found = {(ent.start, ent.end, ent.label_) for ent in self.ents}
        strict = set(strict_spans(tags))
        items = []
        for ent in biluo_tags_to_spans(self.doc, iob_to_biluo(list(tags))):
            if not self._is_shown(ent.label_):
                continue
            span = (ent.start, ent.end, ent.label_)
            missed = " missed" if span in strict - found else ""
            items.append(self._labelled(ent, missed))
        html = f'\n<p class="gold">Gold:{"".join(items) or " no entity"}</p>'
        wrong = [
            self._labelled(Span(self.doc, start, end, label=label), "")
            for start, end, label in sorted(found - strict)
        ]
        return html + (f'\n<p class="gold">Wrongly found:{"".join(wrong)}</p>' if wrong else "")

    def _labelled(self, ent: Span, remark: str) -> str:
        # Of the same words elsewhere in the text it is told apart by the number of its first word.
        is_twice = self.doc.text.count(ent.text) > 1
        place = f" (word {ent.start + 1})" if is_twice else ""
        return (
            f'<span style="--entity: {self._color(ent.label_)}">{escape(ent.text)}{place} '
            f"<b>{escape(ent.label_)}</b>"
            + (f'<i class="wrong">{remark}</i>' if remark else "")
            + "</span>"
        )

    def _word(self, token: Token) -> str:
        word = escape(token.text)
        content = f'<span class="word" title="{word}">{word}</span>{self._voken(token)}'
        if token._.visual_gate is not None:
            weight = f"{token._.visual_gate:.2f}"
            content += (
                f'<span class="gate">λ {weight}</span><span class="bar" style="--weight: '
                f'{token._.visual_gate:.0%}"></span>'
            )
        more = self._more(token)
        focus = ' tabindex="0"' if more else ""
        ent = next((ent for ent in self.ents if ent.start <= token.i < ent.end), None)
        if ent is None:
            return f"<li{focus}>{content}{more}</li>"
        inside = " inside" if token.i > ent.start else ""
        label = f'<span class="aloud">{escape(ent.label_)}</span>'
        style = f'style="--entity: {self._color(ent.label_)}"'
        return f'<li class="entity{inside}" {style}{focus}>{content}{label}{more}</li>'

    def _voken(self, token: Token) -> str:
        if token._.voken is None:
            return NO_PICTURE
        tile = self.thumbnails.tile(token._.voken)
        score = token._.voken_score
        return tile if score is None else f"{tile}<span>r {score:.2f}</span>"

    def _more(self, token: Token) -> str:
        """A word's best pictures, and those it attends to, for who hovers over it or focuses it."""
        best = [
            f"<li>{self.thumbnails.tile(voken)}{escape(voken)}<br>r {score:.2f}</li>"
            for voken, score in token._.vokens or ()
        ]
        attended = [
            f"<li>{NO_PICTURE if voken is None else self.thumbnails.tile(voken)}{weight:.2f}</li>"
            for voken, weight in token._.visual_attention or ()
        ]
        html = f"<ol>{''.join(best)}</ol>" if best else ""
        if attended:
            html += f"<p>attends to</p><ol>{''.join(attended)}</ol>"
        return f'<div class="more">{html}</div>' if html else ""

    def _color(self, label: str) -> str:
        return escape(self.renderer.colors.get(label.upper(), self.renderer.default_color))
