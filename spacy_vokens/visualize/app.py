"""The web app: a Streamlit script, run by `spacy vokens app`.

Streamlit runs the whole of it anew at every click, and keeps in `st.session_state` what a visitor
has.
"""

from __future__ import annotations

import re
import string
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path

import srsly
import streamlit as st
from spacy.tokens import Doc, DocBin

from spacy_vokens.corpus.sections import count_of
from spacy_vokens.images.decode import PictureError
from spacy_vokens.visualize.evidence import evidence_html
from spacy_vokens.visualize.export import as_record, read_texts
from spacy_vokens.visualize.render import LEGEND, PictureOf, to_html
from spacy_vokens.visualize.workbench import MAX_PICTURES, Settings, Workbench

EXAMPLES = (
    "Anna watched the football at Turkey Lake with a turkey sandwich",
    "The Lions beat the Tigers while Tom slept in Berlin",
    "We met Maria in Japan and drank coffee at Rossi Bakery",
    "Flights between Greece and Brazil are late today",
)
N_FOUND = 24
# Of the text to try: each exchange of a picture reads it anew.
MAX_CHARACTERS = 2000
EVERYTHING = -1.0


@st.cache_resource(show_spinner="Loading the pipeline …")
def load(model: str, weights: str | None) -> Workbench:
    return Workbench(model, None if weights is None else Path(weights))


@contextmanager
def errors_as_messages() -> Iterator[None]:
    """What a visitor's text or file leads to is told, not traced."""
    try:
        yield
    except (ImportError, OSError, ValueError) as error:
        show_text(str(error), "alert")


def show_text(text: str, role: str = "note") -> None:
    """A text as it is: what Streamlit takes for Markdown may hold pictures and links to anywhere.

    role: "note", or "alert" for what went wrong.
    """
    sign, opacity = ("⚠ ", 1) if role == "alert" else ("", 0.75)
    style = f"opacity: {opacity}; margin: 0; font-size: .875rem; overflow-wrap: anywhere"
    st.html(f'<p role="{role}" style="{style}">{sign}{escape(text)}</p>')


def literal(word: str) -> str:
    """A word as a button's label, which is Markdown whatever one does."""
    return re.sub(f"([{re.escape(string.punctuation)}])", r"\\\1", word)


def main(model: str, weights: str | None = None) -> None:
    st.set_page_config("spacy-vokens", layout="wide")
    with errors_as_messages():
        bench = load(model, weights)
        settings = sidebar(bench)
        st.title("Words and their pictures")
        example = st.selectbox("Example", EXAMPLES)
        # Of another key for each example, so that choosing one replaces what was typed.
        text = st.text_area("Text", example, key=f"text of {example}")
        views: dict[str, Callable[[], None]] = {
            "Words and pictures": lambda: show_words(bench, bounded(text), settings),
            "Why": lambda: show_why(bench, bounded(text), settings),
            "Search the pool": lambda: show_pool(bench, bounded(text), settings),
            "A whole file": lambda: show_file(bench, settings),
        }
        # What is not looked at is not computed.
        for tab, show in zip(st.tabs(list(views), on_change="rerun"), views.values(), strict=True):
            if tab.open:
                with tab, errors_as_messages():
                    show()


def bounded(text: str) -> str:
    """The text, where it is not too long to be read again and again."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(
            f"The text has {len(text):,} characters, of which the app takes "
            f"{MAX_CHARACTERS:,} at most: cut it, or read it as a file."
        )
    return text


def sidebar(bench: Workbench) -> Settings:
    """What is set at the side."""
    meta = bench.nlp.meta
    with st.sidebar:
        show_text(f"{meta['lang']}_{meta['name']} {meta['version']}")
        show_text(meta.get("description") or "")
        top_k = st.slider("Pictures of each word (top k)", 1, 10, 5)
        own = bench.threshold
        threshold = st.slider(
            "Least relevance score",
            EVERYTHING,
            1.0,
            EVERYTHING if own is None else min(1.0, max(EVERYTHING, float(own))),
            0.05,
            help="A word whose best picture is below it has no picture.",
        )
        upload_pictures(bench)
    least = None if threshold == EVERYTHING else threshold
    return Settings(top_k, least, st.session_state.get("own"))


def upload_pictures(bench: Workbench) -> None:
    """A temporary pool of the visitor's pictures, kept in the session."""
    with st.form("own pictures", clear_on_submit=True):
        files = st.file_uploader(
            f"Your own pictures (at most {MAX_PICTURES}) in place of the pipeline's",
            accept_multiple_files=True,
        )
        is_sent = st.form_submit_button("Use them")
    if is_sent and not files:
        show_text("Choose some files first.", "alert")
    elif is_sent:
        with (
            errors_as_messages(),
            st.spinner(f"Embedding {count_of(len(files), 'file')} …"),
            tempfile.TemporaryDirectory() as folder,
        ):
            contents = [(file.name, file.getvalue()) for file in files]
            st.session_state["own"] = bench.embed(contents, Path(folder))
    own = st.session_state.get("own")
    if own is not None:
        st.success(f"Used in their place: {count_of(len(own.index.ids), 'picture')} of your own.")
        for name, reason in own.rejected:
            show_text(f"{name} is left out: {reason}", "alert")
        if st.button("Back to the pipeline's pictures"):
            del st.session_state["own"]
            st.rerun()


def picture_of(bench: Workbench, settings: Settings) -> PictureOf:
    index = bench.index if settings.own is None else settings.own.index
    return lambda voken: index.picture(voken) if index is not None and voken in index else None


def show_words(bench: Workbench, text: str, settings: Settings) -> None:
    with_pictures = st.toggle("Pictures", value=True, disabled=not bench.has_pictures)
    with st.spinner("Reading …"):
        doc, bare = bench.annotate(text, settings)
    if bench.tagger is not None and bench.has_pictures:
        show_text(difference(doc, bare))
    st.html(to_html(doc if with_pictures else bare, pictures=picture_of(bench, settings)))
    show_text(LEGEND)


def difference(doc: Doc, bare: Doc) -> str:
    """What the pictures change, in a line."""
    ours, theirs = ({(e.start, e.end, e.label_) for e in each.ents} for each in (doc, bare))
    if ours == theirs:
        return "With pictures and without, the entities are the same."
    only_with, only_without = (
        ", ".join(f"{doc[start:end].text} {label}" for start, end, label in sorted(spans))
        or "nothing"
        for spans in (ours - theirs, theirs - ours)
    )
    return f"Only with pictures: {only_with}. Only without: {only_without}."


def show_why(bench: Workbench, text: str, settings: Settings) -> None:
    st.caption(
        "Each entity's probability with the pictures of the whole text, without any, with random "
        "ones for all words, and with the next best picture of one word. Where it stays the same, "
        "the text alone says it."
    )
    with st.spinner("Exchanging pictures …"):
        explanation = bench.explain(text, settings)
    st.html(evidence_html(explanation, picture_of(bench, settings)))


def show_pool(bench: Workbench, text: str, settings: Settings) -> None:
    doc = bench.nlp.make_doc(text)
    words = [token.i for token in doc if not token.is_space]
    chosen = st.pills("A word of the text", words, format_func=lambda i: literal(doc[i].text))
    free = st.text_input("Or any words")
    # What is typed goes before what is chosen.
    if free.strip():
        show_text(f"Nearest to: {free}")
        found = bench.search(free, None, N_FOUND, settings)
    elif chosen is not None:
        found = bench.search(text, chosen, N_FOUND, settings)
    else:
        st.info("Choose a word, or type some.")
        return
    columns = st.columns(6)
    for number, (picture, score) in enumerate(found):
        with columns[number % len(columns)]:
            try:
                st.image(picture.thumbnail or picture.open(), width=96)
            except (OSError, PictureError):
                st.caption("not at hand")
            credits = ", ".join(filter(None, (picture.source, picture.licence)))
            show_text(f"{picture.id} · r {score:.2f} · {credits}")


def show_file(bench: Workbench, settings: Settings) -> None:
    st.caption("Read with pictures, as set at the side.")
    file = st.file_uploader("Texts, one a line (.txt), or JSONL with the key text", key="texts")
    if file is not None and st.button("Read it"):
        texts = read_texts(file.name, file.getvalue())
        bar = st.progress(0.0, f"0 of {len(texts)} texts")
        docs = []
        for doc in bench.process(texts, settings):
            docs.append(doc)
            bar.progress(len(docs) / len(texts), f"{len(docs)} of {len(texts)} texts")
        records = [as_record(doc) for doc in docs]
        # Kept, since every click runs all of this script.
        st.session_state["read"] = (
            settings,
            Path(file.name).stem,
            records,
            "\n".join(map(srsly.json_dumps, records)),
            DocBin(store_user_data=True, docs=docs).to_bytes(),
        )
    if "read" in st.session_state:
        used, stem, records, lines, corpus = st.session_state["read"]
        if used != settings:
            show_text("The settings have changed since: read the file again to follow them.")
        st.download_button("Download JSONL", lines, f"{stem}.jsonl", on_click="ignore")
        st.download_button("Download .spacy", corpus, f"{stem}.spacy", on_click="ignore")
        st.dataframe(records[:100])


if __name__ == "__main__":
    main(*sys.argv[1:])
