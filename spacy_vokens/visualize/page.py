"""One HTML page that shows texts, their entities, and the picture behind each word."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape

from spacy import displacy
from spacy.tokens import Doc, Token
from spacy.training import biluo_tags_to_spans, iob_to_biluo

from .. import extensions  # noqa: F401  (registers the attributes that are read here)
from ..retrieval.picture import Picture
from .frame import frame_page
from .thumbnails import Thumbnails, count_of

STYLE = """
:root { --gate: #3d6fd9; }
@media (prefers-color-scheme: dark) { :root { --gate: #86a9f5; } }
body { max-width: 66rem; }
h1 { margin: 0; font-size: 1.6rem; line-height: 1.2; letter-spacing: -.01em; }
header p { margin: .35rem 0 0; color: var(--quiet); max-width: 46rem; }
header .counts { color: var(--ink); font-weight: 600; }
figure { margin: 1.25rem 0 0; padding: 1rem clamp(.7rem, 3vw, 1.25rem) 1.25rem;
  background: var(--card); border: 1px solid var(--line); border-radius: .9rem; }
figcaption, .gold, .empty { color: var(--quiet); font-size: .8rem; }
figcaption, .gold, .word { overflow-wrap: anywhere; }
.entities { font-size: 1.1rem; overflow-wrap: anywhere; }
.entities mark { display: inline-block; max-width: 100%; color: #1c1b1a; }
.gold { margin: .1rem 0 0; }
.gold span { margin-inline-start: .6em; white-space: nowrap; unicode-bidi: isolate; }
.gold b { padding: .1em .4em; border-radius: .3em; background: var(--entity); color: #1c1b1a;
  font-size: .85em; }
.words { display: flex; flex-wrap: wrap; row-gap: 1rem; list-style: none; padding: 0;
  margin: .9rem -.3rem 0; }
.words li { display: flex; flex-direction: column; align-items: center; min-width: 4.75rem;
  max-width: 8rem; padding: 0 .3rem; font-size: .75rem; line-height: 1.35; color: var(--quiet);
  font-variant-numeric: tabular-nums; }
.word { align-self: stretch; padding: .15em .4em; border-radius: .35em; text-align: center;
  font-size: .9rem; color: var(--ink); white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; unicode-bidi: isolate; }
.entity .word { background: var(--entity); color: #1c1b1a; font-weight: 600; }
.inside .word { margin-inline-start: -.3rem; border-start-start-radius: 0;
  border-end-start-radius: 0; }
li:has(+ .inside) .word { margin-inline-end: -.3rem; border-start-end-radius: 0;
  border-end-end-radius: 0; }
.gate { margin-top: auto; }
.bar { width: 4.25rem; height: .3rem; margin-top: .15rem; border-radius: .15rem;
  background: linear-gradient(var(--gate), var(--gate)) 0 / var(--weight) 100% no-repeat,
  var(--line); -webkit-print-color-adjust: exact; print-color-adjust: exact; }
.aloud { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
"""

BODY = """<header>
<h1>{title}</h1>
<p class="counts">{counts}</p>
<p>Under each word stands the picture retrieved for it, its voken. r is the relevance score, how \
well word and picture match; the bar is the gate λ, the weight of the picture in the word when \
entities are recognised, from 0 to 1.</p>
</header>
<main>
{figures}
</main>
{footer}"""


def render_page(
    docs: Iterable[Doc],
    picture: Callable[[str], Picture | None],
    *,
    title: str = "Words and their pictures",
) -> str:
    """Render documents as one self-contained HTML page, readable without a network.

    Each document shows its entities as displaCy marks, the gold entities of `Doc._.raw_tags` where
    it has them, and each word with its picture, relevance score and gate. A picture is embedded
    once however often it is shown. Nothing of the documents or the pictures reaches the page
    unescaped.

    docs: annotated documents; those without vokens, gates or tokens are shown as such. A
        document's title is read from `doc.user_data["title"]`, as displaCy does.
    picture: gives the picture of a voken, or None where it is not at hand.
    title: heading of the page.
    """
    docs = list(docs)
    thumbnails = Thumbnails(picture)
    renderer = displacy.EntityRenderer()
    figures = [
        _figure(doc, number, thumbnails, renderer) for number, doc in enumerate(docs, start=1)
    ]
    body = BODY.format(
        title=escape(title),
        counts=_counts(docs, thumbnails),
        figures="\n".join(figures),
        footer=thumbnails.attribution(),
    )
    return frame_page(title, STYLE + thumbnails.style(), body)


def _counts(docs: list[Doc], thumbnails: Thumbnails) -> str:
    words = [token for doc in docs for token in doc if not token.is_space]
    n_grounded = sum(token._.voken is not None for token in words)
    return (
        f"{count_of(len(docs), 'text')} · {count_of(len(words), 'word')}, {n_grounded} of them "
        f"with a voken · {count_of(len(thumbnails), 'distinct picture')}"
    )


def _figure(
    doc: Doc, number: int, thumbnails: Thumbnails, renderer: displacy.EntityRenderer
) -> str:
    settings = displacy.get_doc_settings(doc)
    caption = f"Text {number}"
    # Where displaCy looks for a title too.
    if title := doc.user_data.get("title"):
        caption += f" · {escape(str(title))}"
    if doc._.image_id is not None:
        caption += f" · came with picture {escape(doc._.image_id)}"
    if doc.text.strip():
        words = "\n".join(_word(token, thumbnails, renderer) for token in doc if not token.is_space)
        content = (
            f'{_marks(doc, renderer)}{_gold(doc, renderer)}\n<ol class="words">\n{words}\n</ol>'
        )
    else:
        content = '<p class="empty">empty document</p>'
    return (
        f'<figure lang="{escape(settings["lang"])}" dir="{escape(settings["direction"])}">\n'
        f"<figcaption>{caption}</figcaption>\n{content}\n</figure>"
    )


def _marks(doc: Doc, renderer: displacy.EntityRenderer) -> str:
    # displaCy escapes the text but not the labels; `params` replace what it would print.
    ents = [
        {
            "start": ent.start_char,
            "end": ent.end_char,
            "label": ent.label_,
            "params": {"label": escape(ent.label_)},
        }
        for ent in doc.ents
    ]
    parsed = {"text": doc.text, "ents": ents, "settings": displacy.get_doc_settings(doc)}
    return renderer.render([parsed]).strip()


def _gold(doc: Doc, renderer: displacy.EntityRenderer) -> str:
    if doc._.raw_tags is None:
        return ""
    ents = biluo_tags_to_spans(doc, iob_to_biluo(doc._.raw_tags))
    items = "".join(
        f'<span style="--entity: {_color(ent.label_, renderer)}">{escape(ent.text)} '
        f"<b>{escape(ent.label_)}</b></span>"
        for ent in ents
    )
    return f'\n<p class="gold">Gold:{items or " no entity"}</p>'


def _word(token: Token, thumbnails: Thumbnails, renderer: displacy.EntityRenderer) -> str:
    word = escape(token.text)
    content = f'<span class="word" title="{word}">{word}</span>{_voken(token, thumbnails)}'
    if token._.visual_gate is not None:
        weight = f"{token._.visual_gate:.2f}"
        content += (
            f'<span class="gate">λ {weight}</span><span class="bar" style="--weight: '
            f'{token._.visual_gate:.0%}"></span>'
        )
    if not token.ent_type_:
        return f"<li>{content}</li>"
    inside = " inside" if token.ent_iob_ == "I" else ""
    label = f'<span class="aloud">{escape(token.ent_type_)}</span>'
    color = _color(token.ent_type_, renderer)
    return f'<li class="entity{inside}" style="--entity: {color}">{content}{label}</li>'


def _voken(token: Token, thumbnails: Thumbnails) -> str:
    if token._.voken is None:
        return '<span class="picture none">no picture</span>'
    tile = thumbnails.tile(token._.voken)
    score = token._.voken_score
    return tile if score is None else f"{tile}<span>r {score:.2f}</span>"


def _color(label: str, renderer: displacy.EntityRenderer) -> str:
    return escape(renderer.colors.get(label.upper(), renderer.default_color))
