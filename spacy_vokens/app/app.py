"""The web app: a Streamlit script, started by `spacy vokens serve`.

Streamlit runs the whole script again at every click; `st.session_state` holds a visitor's data.
"""

from __future__ import annotations

import argparse
import re
import string
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path

import srsly
import streamlit as st
from spacy.tokens import Doc, DocBin
from spacy.util import import_file

from spacy_vokens.app.shared_pipeline import MAX_IMAGES, Settings, SharedPipeline
from spacy_vokens.app.text_files import read_texts, to_record
from spacy_vokens.files import VokensError
from spacy_vokens.images.decode import ImageError
from spacy_vokens.messages import count_of
from spacy_vokens.visualize.explain_page import explanation_html
from spacy_vokens.visualize.render import LEGEND, TITLE, FindImage, to_html

EXAMPLES = (
    "Anna watched the football at Turkey Lake with a turkey sandwich",
    "The Lions beat the Tigers while Tom slept in Berlin",
    "We met Maria in Japan and drank coffee at Rossi Bakery",
    "Flights between Greece and Brazil are late today",
)
N_FOUND = 24
# Explaining a text tags it once per image that is tried.
MAX_CHARACTERS = 2000


@st.cache_resource(show_spinner="Loading the pipeline …")
def load(model: str, weights: Path | None, code: Path | None) -> SharedPipeline:
    """Load the pipeline, once for all visitors."""
    if code is not None:
        import_file("python_code", code)
    return SharedPipeline(model, weights)


@contextmanager
def errors_as_messages() -> Iterator[None]:
    """Show errors caused by a visitor's text or file as messages, without a traceback."""
    try:
        yield
    # spaCy raises ValueError for texts that it cannot process.
    except (ImportError, OSError, ValueError) as error:
        show_text(str(error), role="alert")


def show_text(text: str, role: str = "note") -> None:
    """Show a text as it is, because Streamlit's Markdown may load images and links from anywhere.

    Args:
        text: The text.
        role: "note", or "alert" for an error.
    """
    sign, opacity = ("⚠ ", 1) if role == "alert" else ("", 0.75)
    style = f"opacity: {opacity}; margin: 0; font-size: .875rem; overflow-wrap: anywhere"
    st.html(f'<p role="{role}" style="{style}">{sign}{escape(text)}</p>')


def escape_markdown(text: str) -> str:
    """Escape a text for a button's label, which Streamlit always reads as Markdown."""
    return re.sub(f"([{re.escape(string.punctuation)}])", r"\\\1", text)


def check_length(text: str) -> str:
    """Return the text if it is short enough to be tagged many times.

    Raises:
        VokensError: If it is not.
    """
    if len(text) > MAX_CHARACTERS:
        raise VokensError(
            f"The text has {len(text):,} characters, but the app takes at most "
            f"{MAX_CHARACTERS:,}. Shorten it, or upload it as a file."
        )
    return text


def main(model: str, weights: Path | None = None, code: Path | None = None) -> None:
    """Show the app.

    Args:
        model: Name of an installed pipeline, or its folder.
        weights: File with the weights of the pipeline's image encoder, for uploaded images.
        code: Python file to import before the pipeline is loaded.
    """
    st.set_page_config("spacy-vokens", layout="wide")
    with errors_as_messages():
        pipeline = load(model, weights, code)
        settings = show_sidebar(pipeline)
        st.title(TITLE)
        example = st.selectbox("Example", EXAMPLES)
        # Each example has a key of its own, so that choosing one replaces what was typed.
        text = st.text_area("Text", example, key=f"text of {example}")
        views: dict[str, Callable[[], None]] = {
            "Words and images": lambda: show_words(pipeline, check_length(text), settings),
            "Why": lambda: show_explanation(pipeline, check_length(text), settings),
            "Search the images": lambda: show_search(pipeline, check_length(text), settings),
            "Process a file": lambda: show_file(pipeline, settings),
        }
        # Only the open tab is computed.
        for tab, show in zip(st.tabs(list(views), on_change="rerun"), views.values(), strict=True):
            if tab.open:
                with tab, errors_as_messages():
                    show()


def show_sidebar(pipeline: SharedPipeline) -> Settings:
    """Show the pipeline's name and the controls, and return the visitor's settings."""
    meta = pipeline.nlp.meta
    retriever = pipeline.retriever
    default = None if retriever is None else retriever.threshold
    # What word, texts and scene can add up to. The lowest score means that there is no threshold.
    scene = 0.0 if retriever is None else abs(retriever.scene_weight)
    lowest, highest = -1.0 - scene, 2.0 + scene
    with st.sidebar:
        show_text(f"{meta['lang']}_{meta['name']} {meta['version']}")
        show_text(meta.get("description") or "")
        top_k = st.slider("Images per word (top k)", 1, 10, 5)
        threshold = st.slider(
            "Minimum relevance score",
            lowest,
            highest,
            lowest if default is None else min(highest, max(lowest, float(default))),
            0.05,
            help="A word has no image if its best image scores lower.",
        )
        show_upload(pipeline)
    return Settings(
        top_k,
        None if threshold == lowest else threshold,
        st.session_state.get("uploaded"),
    )


def show_upload(pipeline: SharedPipeline) -> None:
    """Let the visitor use images of their own for this session."""
    files = st.file_uploader(
        f"Your own images (at most {MAX_IMAGES}) in place of the pipeline's",
        accept_multiple_files=True,
    )
    # The button comes with the uploaded files: a form could be sent before they are there.
    if files and st.button("Use them"):
        with (
            errors_as_messages(),
            st.spinner(f"Embedding {count_of(len(files), 'file')} …"),
            tempfile.TemporaryDirectory() as folder,
        ):
            contents = [(file.name, file.getvalue()) for file in files]
            st.session_state["uploaded"] = pipeline.embed(contents, Path(folder))
    uploaded = st.session_state.get("uploaded")
    if uploaded is not None:
        st.success(f"In use: {count_of(len(uploaded.index.ids), 'image')} of your own.")
        for name, reason in uploaded.rejected:
            show_text(f"{name} was rejected: {reason}", role="alert")
        if st.button("Back to the pipeline's images"):
            del st.session_state["uploaded"]
            st.rerun()


def image_finder(pipeline: SharedPipeline, settings: Settings) -> FindImage:
    """Return a function that finds the images that the settings choose."""
    return lambda voken: pipeline.find_image(voken, settings)


def show_words(pipeline: SharedPipeline, text: str, settings: Settings) -> None:
    """Show the entities of a text, each word's image, and what changes without images."""
    use_images = st.toggle("Images", value=True, disabled=not pipeline.has_images)
    with st.spinner("Processing …"):
        doc, bare = pipeline.annotate(text, settings)
    if pipeline.tagger is not None and pipeline.has_images:
        show_text(describe_difference(doc, bare))
    st.html(to_html(doc if use_images else bare, images=image_finder(pipeline, settings)))
    show_text(LEGEND)


def describe_difference(doc: Doc, bare: Doc) -> str:
    """Say which entities of a text are found only with images, and which only without.

    Args:
        doc: The text processed with images.
        bare: The text processed without images.
    """
    found, without = ({(e.start, e.end, e.label_) for e in each.ents} for each in (doc, bare))
    if found == without:
        return "The entities are the same with and without images."
    only_with, only_without = (
        ", ".join(f"{doc[start:end].text} {label}" for start, end, label in sorted(spans))
        or "nothing"
        for spans in (found - without, without - found)
    )
    return f"Only with images: {only_with}. Only without: {only_without}."


def show_explanation(pipeline: SharedPipeline, text: str, settings: Settings) -> None:
    """Show what the tagger finds in a text with other images."""
    st.caption(
        "The probability of each entity with the text's images, without images, with random images "
        "for all words, and with the next best images of one word. If it stays the same, the text "
        "alone decides."
    )
    with st.spinner("Trying other images …"):
        explanation = pipeline.explain(text, settings)
    st.html(explanation_html(explanation, image_finder(pipeline, settings)))


def show_search(pipeline: SharedPipeline, text: str, settings: Settings) -> None:
    """Show the best images for a word of the text, or for words that the visitor types."""
    doc = pipeline.nlp.make_doc(text)
    words = [token.i for token in doc if not token.is_space]
    chosen = st.pills(
        "A word of the text", words, format_func=lambda i: escape_markdown(doc[i].text)
    )
    typed = st.text_input("Or any words")
    if typed.strip():
        show_text(f"Best images for: {typed}")
        found = pipeline.search(typed, None, N_FOUND, settings)
    elif chosen is not None:
        found = pipeline.search(text, chosen, N_FOUND, settings)
    else:
        st.info("Choose a word, or type some.")
        return
    if not found:
        st.info("These words have nothing to show.")
    columns = st.columns(6)
    for number, (image, score) in enumerate(found):
        with columns[number % len(columns)]:
            try:
                st.image(image.thumbnail or image.open(), width=96)
            except (OSError, ImageError):
                st.caption("image not available")
            credits = ", ".join(filter(None, (image.source, image.license)))
            show_text(f"{image.id} · r {score:.2f} · {credits}")


def show_file(pipeline: SharedPipeline, settings: Settings) -> None:
    """Let the visitor process a file of texts and download the result."""
    st.caption("The texts are processed with images, with the settings in the sidebar.")
    file = st.file_uploader('Texts, one per line (.txt), or JSONL with the key "text"', key="texts")
    if file is not None and st.button("Process"):
        texts = read_texts(file.name, file.getvalue())
        bar = st.progress(0.0, f"0 of {len(texts)} texts")
        docs = []
        for doc in pipeline.pipe(texts, settings):
            docs.append(doc)
            bar.progress(len(docs) / len(texts), f"{len(docs)} of {len(texts)} texts")
        records = [to_record(doc) for doc in docs]
        # Kept in the session, because a download runs the script again.
        st.session_state["processed"] = (
            settings,
            Path(file.name).stem,
            records,
            "\n".join(map(srsly.json_dumps, records)),
            DocBin(store_user_data=True, docs=docs).to_bytes(),
        )
    if "processed" in st.session_state:
        used, stem, records, lines, corpus = st.session_state["processed"]
        if used != settings:
            show_text("The settings have changed. Process the file again to apply them.")
        st.download_button("Download JSONL", lines, f"{stem}.jsonl", on_click="ignore")
        st.download_button("Download .spacy", corpus, f"{stem}.spacy", on_click="ignore")
        st.dataframe(records[:100])


def parse_arguments() -> argparse.Namespace:
    """Parse the arguments that `spacy vokens serve` passes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--code", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse_arguments()
    main(arguments.model, arguments.weights, arguments.code)
