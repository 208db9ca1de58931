"""Show annotated documents as HTML, with the image behind each word, as displaCy shows entities."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from typing import Any

from spacy import displacy
from spacy.tokens import Doc, Span, Token
from spacy.training import biluo_tags_to_spans, iob_to_biluo
from spacy.util import is_in_jupyter

from ..attributes import find_index, get_phrases
from ..files import VokensError
from ..index import VokenImage
from ..messages import count_of
from ..scoring.ner import strict_spans
from .page import DARK, LIGHT, frame_page
from .thumbnails import Thumbnails

# Returns the image with an id, or None if it is not available.
FindImage = Callable[[str], VokenImage | None]
STYLES = ("ent", "vokens")
OPTIONS = ("colors", "ents", "title", "summary")

NO_IMAGE = '<span class="image none">no image</span>'

PAGE_STYLE = """
body { max-width: 66rem; }
h1 { margin: 0; font-size: 1.6rem; line-height: 1.2; letter-spacing: -.01em; }
header p { margin: .35rem 0 0; color: var(--quiet); max-width: 46rem; }
header .counts { color: var(--ink); font-weight: 600; }
"""
# `enclose` nests it, so that it does not affect the rest of a notebook.
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
.gold .missed { color: var(--ink); font-weight: 600; }
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
.more .image { margin: 0 auto .2rem; }
.words > li:hover > .more, .words > li:focus > .more { display: block; }
.words > li:focus { outline: 2px solid var(--gate); border-radius: .35rem; }
@media (max-width: 48rem) {
  .words { position: relative; }
  .words > li { position: static; }
  .more { inset-inline: 0; top: auto; width: auto; max-width: none; margin-top: 1.9rem; }
}
.screen-reader-only { position: absolute; width: 1px; height: 1px; overflow: hidden;
  clip-path: inset(50%); white-space: nowrap; }
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
LEGEND = """Each word has its voken below it: the image retrieved for the word. r is the \
relevance score, which says how well word and image match. The bar shows the gate λ, the weight \
of the image in the word when entities are recognized, from 0 to 1. The number beside an entity \
label is the entity's probability. Hover over a word, or tap it, to see its best images and what \
it attends to."""
TITLE = "Words and their images"


def render(
    docs: Doc | Iterable[Doc],
    style: str = "vokens",
    *,
    images: FindImage | None = None,
    page: bool = False,
    jupyter: bool | None = None,
    options: dict[str, Any] | None = None,
) -> str | None:
    """Display documents in a notebook, or return their HTML, as `displacy.render` does.

    Args:
        docs: Annotated documents. Missing vokens, gates and tokens are allowed.
        style: "vokens" shows each word with its image, "ent" shows the entities only.
        images: Returns the image with an id, or None if it is not available. By default, images
            come from the index of the retriever that set the documents' vokens.
        page: Whether to return a complete HTML page, not a fragment.
        jupyter: Whether to display the HTML and return None. None detects a notebook.
        options: Any of `ents`, the labels to show (all by default); `colors`, a color per label;
            `title`, the heading of a page; `summary`, a text after the counts below it.

    Returns:
        The HTML, or None if it was displayed.

    Raises:
        VokensError: If the style or an option is unknown, or if the vokens come from several
            indexes and `images` is not given.
    """
    html = to_html(docs, style, images=images, page=page, options=options)
    if jupyter or (jupyter is None and is_in_jupyter()):
        from IPython.display import HTML, display

        display(HTML(html))
        return None
    return html


def to_html(
    docs: Doc | Iterable[Doc],
    style: str = "vokens",
    *,
    images: FindImage | None = None,
    page: bool = False,
    options: dict[str, Any] | None = None,
) -> str:
    """Return documents as HTML, with their entities and, below each word, its image.

    Entities are marked as in displaCy, with their confidence. If a document has gold tags
    (`Doc._.visual_raw_tags`), the gold entities follow, with those that were missed or wrongly
    found. The style "vokens" adds each word with its image, relevance score and gate; hover over a
    word to see all of `Token._.vokens` and `Token._.visual_attention`. Phrases with an image of
    their own (the setting `phrases` of the `voken_retriever`) follow. An image is embedded once
    however often it is shown, and the result needs no network. All texts are escaped.

    Args:
        docs: Annotated documents. Missing vokens, gates and tokens are allowed. A title is read
            from `doc.user_data["title"]`, as in displaCy.
        style: "vokens" shows each word with its image, "ent" shows the entities only.
        images: Returns the image with an id, or None if it is not available. By default, images
            come from the index of the retriever that set the documents' vokens.
        page: Whether to return a complete HTML page, not a fragment.
        options: Any of `ents`, the labels to show (all by default); `colors`, a color per label;
            `title`, the heading of a page; `summary`, a text after the counts below it.

    Returns:
        The HTML.

    Raises:
        VokensError: If the style or an option is unknown, or if the vokens come from several
            indexes and `images` is not given.
    """
    if style not in STYLES:
        raise VokensError(f"The style must be one of {', '.join(STYLES)}, found {style!r}.")
    options = options or {}
    if unknown := options.keys() - set(OPTIONS):
        raise VokensError(f"The options are {', '.join(OPTIONS)}, found {min(unknown)!r}.")
    docs = [docs] if isinstance(docs, Doc) else list(docs)
    thumbnails = Thumbnails(images or images_of(docs))
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
    title = str(options.get("title", TITLE))
    header = HEADER.format(
        title=escape(title),
        counts=" · ".join(filter(None, (_counts(docs), escape(str(options.get("summary", "")))))),
        legend=f"<p>{LEGEND}</p>\n" if style == "vokens" else "",
    )
    return frame_page(title, PAGE_STYLE, header + html)


def enclose(html: str, style: str, thumbnails: Thumbnails) -> str:
    """Wrap HTML with its style and images as a fragment that does not affect the page around it.

    Args:
        html: HTML that shows images by `thumbnails`.
        style: CSS, which applies within the fragment only.
        thumbnails: The images, all embedded already.

    Returns:
        The fragment.
    """
    dark = f"@media (prefers-color-scheme: dark) {{ {DARK} }}"
    nested = f".vokens {{ {LIGHT}\n{dark}\n{style}{thumbnails.style()}}}"
    return FRAGMENT.format(style=nested, html=html, footer=thumbnails.attribution())


def images_of(docs: Iterable[Doc]) -> FindImage:
    """Return a function that finds images in the index that the documents' vokens come from.

    Args:
        docs: Documents whose retriever is still loaded; without one, no image is found.

    Raises:
        VokensError: If the vokens come from several indexes.
    """
    found = (find_index(doc) for doc in docs)
    indexes = {index.mark: index for index in found if index is not None}
    if len(indexes) > 1:
        raise VokensError(
            f"The documents' vokens come from {len(indexes)} indexes. Render the documents of each "
            "index separately, or pass 'images'."
        )
    index = next(iter(indexes.values()), None)

    def find_image(voken: str) -> VokenImage | None:
        return index.image(voken) if index is not None and voken in index else None

    return find_image


def _counts(docs: list[Doc]) -> str:
    words = [token for doc in docs for token in doc if not token.is_space]
    vokens = [token._.voken for token in words if token._.voken is not None]
    return (
        f"{count_of(len(docs), 'text')} · {count_of(len(words), 'word')}, {len(vokens)} of them "
        f"with a voken · {count_of(len(set(vokens)), 'distinct voken')}"
    )


class _Figure:
    """The HTML of one document.

    Args:
        doc: The document.
        thumbnails: The images of the page.
        renderer: displaCy's renderer, for the entities and the colors.
        shown: Labels of the entities to show; None shows all.
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

    def html(self, style: str, name: str) -> str:
        doc = self.doc
        settings = displacy.get_doc_settings(doc)
        captions = [
            name,
            escape(str(doc.user_data.get("title") or "")),
            f"posted with image {escape(doc._.visual_image_id)}"
            if doc._.visual_image_id is not None
            else "",
        ]
        content = '<p class="empty">empty document</p>'
        if doc.text.strip():
            content = self._marked_text(settings) + self._gold_entities()
            if style == "vokens":
                words = "\n".join(self._word(token) for token in doc if not token.is_space)
                content += f'\n<ol class="words">\n{words}\n</ol>'
                if phrases := "\n".join(map(self._phrase, get_phrases(doc))):
                    content += f'\n<ol class="words" aria-label="Phrases">\n{phrases}\n</ol>'
        return (
            f'<figure lang="{escape(settings["lang"])}" dir="{escape(settings["direction"])}">\n'
            f"<figcaption>{' · '.join(filter(None, captions))}</figcaption>\n{content}\n</figure>"
        )

    def _is_shown(self, label: str) -> bool:
        return self.labels is None or label in self.labels

    def _marked_text(self, settings: dict[str, Any]) -> str:
        """The text with its entities, by displaCy."""
        ents = []
        for ent in self.ents:
            label = escape(ent.label_)
            if ent._.visual_confidence is not None:
                label += f" {ent._.visual_confidence:.2f}"
            # displaCy does not escape labels, but `params` override what it prints.
            params = {"label": label}
            ents.append(
                {
                    "start": ent.start_char,
                    "end": ent.end_char,
                    "label": ent.label_,
                    "params": params,
                }
            )
        text = {"text": self.doc.text, "ents": ents, "settings": settings}
        return self.renderer.render([text]).strip()

    def _gold_entities(self) -> str:
        """The gold entities, and how the entities found differ from them (strict reading)."""
        tags = self.doc._.visual_raw_tags
        # The tags do not fit if the document was tokenized differently; the scorer skips it too.
        if tags is None or len(tags) != len(self.doc):
            return ""
        found = {(ent.start, ent.end, ent.label_) for ent in self.ents}
        strict = set(strict_spans(tags))
        items = []
        for ent in biluo_tags_to_spans(self.doc, iob_to_biluo(list(tags))):
            if self._is_shown(ent.label_):
                is_missed = (ent.start, ent.end, ent.label_) in strict - found
                items.append(self._labeled(ent, is_missed=is_missed))
        html = f'\n<p class="gold">Gold:{"".join(items) or " no entity"}</p>'
        wrong = [
            self._labeled(Span(self.doc, start, end, label=label))
            for start, end, label in sorted(found - strict)
        ]
        return html + (f'\n<p class="gold">Wrongly found:{"".join(wrong)}</p>' if wrong else "")

    def _labeled(self, ent: Span, *, is_missed: bool = False) -> str:
        # If the same words occur elsewhere in the text, the number of the first word tells which.
        is_ambiguous = self.doc.text.count(ent.text) > 1
        place = f" (word {ent.start + 1})" if is_ambiguous else ""
        return (
            f'<span style="--entity: {self._color(ent.label_)}">{escape(ent.text)}{place} '
            f"<b>{escape(ent.label_)}</b>"
            + ('<i class="missed"> missed</i>' if is_missed else "")
            + "</span>"
        )

    def _word(self, token: Token) -> str:
        word = escape(token.text)
        content = f'<span class="word" title="{word}">{word}</span>{self._voken(token)}'
        if token._.visual_gate is not None:
            content += (
                f'<span class="gate">λ {token._.visual_gate:.2f}</span>'
                f'<span class="bar" style="--weight: {token._.visual_gate:.0%}"></span>'
            )
        more = self._hover_box(token)
        focus = ' tabindex="0"' if more else ""
        ent = next((ent for ent in self.ents if ent.start <= token.i < ent.end), None)
        if ent is None:
            return f"<li{focus}>{content}{more}</li>"
        inside = " inside" if token.i > ent.start else ""
        label = f'<span class="screen-reader-only">{escape(ent.label_)}</span>'
        style = f'style="--entity: {self._color(ent.label_)}"'
        return f'<li class="entity{inside}" {style}{focus}>{content}{label}{more}</li>'

    def _phrase(self, span: Span) -> str:
        text = escape(span.text)
        return f'<li><span class="word" title="{text}">{text}</span>{self._voken(span)}</li>'

    def _voken(self, token: Token | Span) -> str:
        if token._.voken is None:
            return NO_IMAGE
        tile = self.thumbnails.tile(token._.voken)
        score = token._.voken_score
        return tile if score is None else f"{tile}<span>r {score:.2f}</span>"

    def _hover_box(self, token: Token) -> str:
        """The word's best images and those it attends to, shown while it has hover or focus."""
        best = [
            f"<li>{self.thumbnails.tile(voken)}{escape(voken)}<br>r {score:.2f}</li>"
            for voken, score in token._.vokens or ()
        ]
        attended = [
            f"<li>{NO_IMAGE if voken is None else self.thumbnails.tile(voken)}{weight:.2f}</li>"
            for voken, weight in token._.visual_attention or ()
        ]
        html = f"<ol>{''.join(best)}</ol>" if best else ""
        if attended:
            html += f"<p>attends to</p><ol>{''.join(attended)}</ol>"
        return f'<div class="more">{html}</div>' if html else ""

    def _color(self, label: str) -> str:
        return escape(self.renderer.colors.get(label.upper(), self.renderer.default_color))
