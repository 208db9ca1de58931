"""The app in a headless browser.

With SPACY_VOKENS_SCREENSHOTS=FOLDER, the tests show the quickstart's `en_vokener`, which must be
installed, in place of a tiny pipeline, and take the screenshots of the README.
"""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import spacy
from PIL import Image
from spacy.tokens import Doc

from spacy_vokens.visualize.render import to_html
from tests.conftest import LANG

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright")
pytest.importorskip("streamlit", reason="needs Streamlit")
app = pytest.importorskip("spacy_vokens.app.app")
# Sentences that no image was chosen for.
NOUNS = Path(__file__).parents[2] / "benchmarks" / "data" / "nouns.tsv"
SCREENSHOTS = os.environ.get("SPACY_VOKENS_SCREENSHOTS")
# Milliseconds, enough for a busy machine.
PATIENCE = 120_000


@pytest.fixture(scope="module")
def model(make_tagger, vokenizer_path, tmp_path_factory) -> Path | str:
    if SCREENSHOTS:
        return "en_vokener"
    path = tmp_path_factory.mktemp("models") / "pipeline"
    make_tagger("GatedFusion", steps=40, into=spacy.load(vokenizer_path)).to_disk(path)
    return path


ENCODER = """
import torch
from spacy_vokens.identity import EncoderId
from spacy_vokens.images.encoders import ImageEncoder
from torch import nn


class MeanColor(nn.Module):
    def forward(self, images):
        return torch.cat([images.mean(dim=(2, 3))] * 2, dim=1)


def transform(image):
    pixels = torch.frombuffer(bytearray(image.resize((4, 4)).tobytes()), dtype=torch.uint8)
    return pixels.reshape(4, 4, 3).permute(2, 0, 1) / 255


def tiny(model, weights):
    return ImageEncoder(EncoderId("tiny", "1" * 64), MeanColor().eval(), transform, 6)
"""


def install_encoder(folder: Path) -> Path:
    """Make a package with the image encoder "tiny", that of the tests' pool.

    Returns:
        The folder to add to the Python path.
    """
    package = folder / "packages"
    info = package / "tiny_encoder-1.0.dist-info"
    info.mkdir(parents=True)
    (package / "tiny_encoder.py").write_text(ENCODER)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-encoder\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[spacy_vokens_image_encoders]\ntiny = tiny_encoder:tiny\n"
    )
    return package


@pytest.fixture(scope="module")
def address(model, tmp_path_factory) -> Iterator[str]:
    """The address of the app, started as a new user does; it opens their browser.

    After the tests, its output must not contain a traceback.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("app")
    log, opened = folder / "log", folder / "opened"
    for opener in ("xdg-open", "open"):
        (folder / opener).write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
        (folder / opener).chmod(0o755)
    command = [sys.executable, "-m", "spacy", "vokens", "serve", str(model), "--port", str(port)]
    with log.open("w") as file:
        process = subprocess.Popen(
            command,
            env={
                **os.environ,
                "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
                "PYTHONPATH": os.pathsep.join([str(install_encoder(folder)), *sys.path]),
            },
            # Nobody answers questions.
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    yield f"http://localhost:{port}"
    os.killpg(process.pid, 15)
    process.wait(60)
    assert "Traceback" not in log.read_text()
    assert opened.read_text() == f"http://localhost:{port}\n"


@pytest.fixture
def page(browser, address):
    """The app as a new visitor sees it."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(PATIENCE)
    for attempt in range(60):
        try:
            page.goto(address)
            break
        except playwright.Error:
            assert attempt < 59, "the app does not answer"
            page.wait_for_timeout(1000)
    page.wait_for_selector(".vokens .word")
    yield page
    page.close()


def type_text(page, text: str) -> None:
    page.get_by_label("Text", exact=True).fill(text)
    page.get_by_label("Text", exact=True).press("Control+Enter")
    page.wait_for_function(
        "text => document.querySelector('.vokens .entities')?.innerText.includes(text)",
        arg=text.split()[-1],
    )


def upload(page, label: str, *files: tuple[str, bytes]) -> None:
    page.get_by_test_id("stFileUploader").filter(has_text=label).locator("input").set_input_files(
        [{"name": name, "mimeType": "image/png", "buffer": data} for name, data in files]
    )


def screenshot(page, name: str) -> None:
    if SCREENSHOTS:
        page.wait_for_timeout(1500)
        page.screenshot(path=Path(SCREENSHOTS) / name)


def test_a_page_of_texts(browser, model) -> None:
    """A page, not the app: the screenshot at the top of the README."""
    texts = ["anna in paris !", "a cat"]
    if SCREENSHOTS:
        # The first ones, whatever they look like.
        lines = NOUNS.read_text(encoding="utf-8").splitlines()
        texts = [line.split("\t")[0] for line in lines[1:11]]
    # The pipeline must stay loaded, for its images.
    nlp = spacy.load(model)
    docs = list(nlp.pipe(texts))
    page = browser.new_page(viewport={"width": 1100, "height": 800})
    page.set_content(to_html(docs, page=True, options={"title": "Words and their images"}))
    assert page.locator("figure").count() == len(texts)
    tiles = page.locator(".words > li > .image.shown")
    assert tiles.count() == sum(token._.voken is not None for doc in docs for token in doc)
    if SCREENSHOTS:
        # The first three of them, as a page of ten is too long for the README.
        box = page.locator("figure").nth(2).bounding_box()
        clip = {"x": 0, "y": 0, "width": 1100, "height": box["y"] + box["height"] + 20}
        page.screenshot(path=Path(SCREENSHOTS) / "quickstart.png", clip=clip, full_page=True)
    page.close()


@pytest.mark.skipif(not SCREENSHOTS, reason="only for the picture in docs/concepts.md")
def test_a_page_of_one_word_in_two_scenes(browser, model) -> None:
    texts = [
        "The bat sleeps upside down in the cave and hunts moths at night.",
        "She swung the bat and hit the ball over the boundary.",
    ]
    nlp = spacy.load(model)
    docs = []
    for weight, title in ((0.0, "the word alone"), (1.0, "with the scene")):
        nlp.get_pipe("voken_retriever").scene_weight = weight
        for doc in nlp.pipe(texts):
            doc.user_data["title"] = f"{title} (α = {weight:.0f})"
            docs.append(doc)
    page = browser.new_page(viewport={"width": 1100, "height": 800})
    page.set_content(to_html(docs, page=True, options={"title": "One word in two scenes"}))
    page.screenshot(path=Path(SCREENSHOTS) / "scene.png", full_page=True)
    assert page.locator("figure").count() == 4
    page.close()


def test_type_and_see_entities_and_images(page) -> None:
    screenshot(page, "app.png")
    type_text(page, "anna in paris !")
    words = page.locator(".vokens .words > li > .word")
    assert words.all_inner_texts() == ["anna", "in", "paris", "!"]
    # Each grounded word has its image painted, and hovering shows the others.
    tiles = page.locator(".vokens .words > li > .image.shown")
    if not SCREENSHOTS:
        # Of the real pipeline, names have none.
        assert tiles.count() == 3
    painted = tiles.evaluate_all("all => all.map(each => getComputedStyle(each).backgroundImage)")
    assert all(value.startswith('url("data:image/webp') for value in painted)
    more = page.locator(".vokens .more").first
    assert not more.is_visible()
    words.first.hover()
    assert more.is_visible()
    assert more.locator("li").count() == 5
    if not SCREENSHOTS:
        marks = [text.split() for text in page.locator(".vokens mark").all_inner_texts()]
        assert [(mark[0], mark[1]) for mark in marks] == [("anna", "PER"), ("paris", "LOC")]
        assert all(re.fullmatch(r"[01]\.\d\d", mark[2]) for mark in marks)


def test_without_images_and_with_fewer(page) -> None:
    type_text(page, "anna in paris !")
    page.get_by_test_id("stCheckbox").click()
    page.wait_for_selector(".vokens .image.none >> nth=3")
    assert page.locator(".vokens .words > li > .image.shown").count() == 0
    assert page.get_by_text(re.compile("The entities are the same|Only with images")).count() == 1
    page.get_by_test_id("stCheckbox").click()
    page.wait_for_selector(".vokens .words > li > .image.shown")
    slider = page.get_by_role("slider", name="Minimum relevance score")
    slider.press("End")
    page.wait_for_selector(".vokens .image.none >> nth=3")


def test_what_changes_is_told_by_place() -> None:
    """If a name occurs twice, one of the two may change."""
    vocab = spacy.blank(LANG).vocab
    doc, bare = (
        Doc(vocab, words=["Paris", "and", "Paris"], ents=["B-LOC", "O", last])
        for last in ("B-LOC", "O")
    )
    assert app.describe_difference(doc, doc) == "The entities are the same with and without images."
    assert (
        app.describe_difference(doc, bare) == "Only with images: Paris LOC. Only without: nothing."
    )
    assert (
        app.describe_difference(bare, doc) == "Only with images: nothing. Only without: Paris LOC."
    )


def test_why(page) -> None:
    type_text(page, "Anna in Paris" if SCREENSHOTS else "anna in paris !")
    page.get_by_role("tab", name="Why").click()
    table = page.locator(".vokens table").first
    table.wait_for()
    rows = table.locator("tr").all_inner_texts()
    assert rows[0].split() == ["Images", "Probability", "Found"]
    assert "no images" in rows[2]
    assert "random images for all words, 20 draws" in rows[3]
    assert len(rows) == 8, "and four alternatives"
    screenshot(page, "app-why.png")


def test_click_a_word_to_search_the_pool(page) -> None:
    type_text(page, "a cat")
    page.get_by_role("tab", name="Search the images").click()
    page.get_by_text("cat", exact=True).last.click()
    page.get_by_role("tabpanel").locator("img").first.wait_for()
    found = page.get_by_text(re.compile(r"· r -?\d\.\d\d ·")).all_inner_texts()
    assert len(found) >= 6
    if not SCREENSHOTS:
        assert found[0].startswith("cat · r ")
        assert found[0].endswith("the tests, CC0")
    screenshot(page, "app-pool.png")


def test_a_bad_file_is_a_message(page) -> None:
    upload(page, "Your own images", ("broken.png", b"not an image"))
    page.get_by_role("button", name="Use them").click()
    page.get_by_text(re.compile("None of the files can be used. broken.png")).wait_for()
    assert page.locator(".vokens .image.shown").count(), "and all else goes on"
    page.get_by_role("tab", name="Process a file").click()
    upload(page, "Texts, one per line", ("texts.txt", b"caf\xe9"))
    page.get_by_role("button", name="Process", exact=True).click()
    page.get_by_text("texts.txt is not UTF-8").wait_for()


def test_a_text_that_is_too_long_is_an_error(page) -> None:
    box = page.get_by_label("Text", exact=True)
    box.fill("a " * 1500)
    box.press("Control+Enter")
    page.get_by_text("The text has 3,000 characters").wait_for()
    type_text(page, "anna in paris !")


def test_texts_are_shown_as_they_are(page) -> None:
    """Not as Markdown, which would load images from anywhere."""
    assert app.escape_markdown("a_b · ![x](https://example.org/x.png)") == (
        r"a\_b · \!\[x\]\(https\:\/\/example\.org\/x\.png\)"
    )
    name = "![x](https://example.org/x.png)_a_ -> b.txt"
    page.get_by_role("tab", name="Process a file").click()
    upload(page, "Texts, one per line", (name, b"caf\xe9"))
    page.get_by_role("button", name="Process", exact=True).click()
    page.get_by_text(f"{name} is not UTF-8").wait_for()
    assert page.locator("[src*='example.org'], [href*='example.org']").count() == 0


def test_own_images(page) -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "PNG")
    upload(page, "Your own images", ("red.png", file.getvalue()), ("bad.png", b"x"))
    page.get_by_role("button", name="Use them").click()
    page.get_by_text("1 image of your own").wait_for()
    page.get_by_text(re.compile("bad.png was rejected")).wait_for()
    page.wait_for_selector('.vokens [title="red"]')
    page.get_by_role("button", name="Back to the pipeline's images").click()
    page.wait_for_selector('.vokens [title="red"]', state="detached")


def test_a_whole_file_and_its_download(page, tmp_path) -> None:
    page.get_by_role("tab", name="Process a file").click()
    upload(page, "Texts, one per line", ("texts.txt", b"anna in paris !\n\na cat"))
    page.get_by_role("button", name="Process", exact=True).click()
    for name in ("JSONL", ".spacy"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Download {name}").click()
        download.value.save_as(tmp_path / download.value.suggested_filename)
    lines = (tmp_path / "texts.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["anna in paris !", "a cat"]
    corpus = spacy.tokens.DocBin().from_disk(tmp_path / "texts.spacy")
    docs = corpus.get_docs(spacy.blank(LANG).vocab)
    assert [doc.text.strip() for doc in docs] == ["anna in paris !", "a cat"]
