from __future__ import annotations

import base64
import hashlib
import io
import re
import sys
import types
from html.parser import HTMLParser
from typing import Any

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from spacy import displacy
from spacy.tokens import Doc, Span

from spacy_vokens.attributes import set_token_values
from spacy_vokens.files import sha256_file
from spacy_vokens.index import VokenImage
from spacy_vokens.visualize.render import render, to_html
from tests.conftest import LANG

VOCAB = spacy.blank(LANG).vocab
HOSTILE = """<script>alert("x")</script>'"&amp;<b onload='y'>{0}"""
TAGS = (
    "html head meta title style body header h1 h2 p main figure figcaption div mark span ol ul li "
    "b br footer i"
)
ATTRIBUTES = "lang dir charset http-equiv content name class style title role aria-label tabindex"


class Page(HTMLParser):
    """The elements of a page, and the text below each."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[int] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "br"):
            self._open.append(len(self.elements))
        self.elements.append((tag, dict(attrs)))
        self.texts.append("")

    def handle_endtag(self, tag):
        assert self.elements[self._open.pop()][0] == tag

    def handle_data(self, data):
        for position in self._open:
            self.texts[position] += data

    def having(self, css_class: str) -> list[tuple[dict[str, str | None], str]]:
        return [
            (attrs, text)
            for (_, attrs), text in zip(self.elements, self.texts, strict=True)
            if css_class in (attrs.get("class") or "").split()
        ]

    def text(self, tag: str) -> list[str]:
        return [
            text for (name, _), text in zip(self.elements, self.texts, strict=True) if name == tag
        ]


def webp(color: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(file, "WEBP")
    return file.getvalue()


def make_image(id: str = "cat", color: str = "red", **fields: Any) -> VokenImage:
    values = {"path": None, "sha256": "", "source": "Emoji", "license": "CC BY-SA 4.0", **fields}
    values.setdefault("thumbnail", webp(color))
    return VokenImage(id=id, **values)


def make_doc(words, vokens=None, ents=(), **attributes):
    doc = Doc(VOCAB, words)
    doc.ents = [Span(doc, start, end, label) for start, end, label in ents]
    if vokens is not None:
        set_token_values(doc, "voken", vokens)
    for name, value in attributes.items():
        if name in ("visual_image_id", "visual_raw_tags"):
            setattr(doc._, name, value)
        else:
            set_token_values(doc, name, value)
    return doc


def page_items(page):
    return [
        (attrs, text)
        for (tag, attrs), text in zip(page.elements, page.texts, strict=True)
        if tag == "li"
    ][: len(page.having("word"))]


def render_page(docs, images=None, style="vokens", **options):
    return to_html(docs, style, images=images, page=True, options=options)


def no_image(voken):
    return None


def test_word_stands_over_its_image_score_and_gate():
    doc = make_doc(["Cats", "purr"], ["cat", None], voken_score=[0.456, None])
    set_token_values(doc, "visual_gate", [0.314, 0.0])
    page = Page(render_page([doc], {"cat": make_image()}.get))

    first, second = (text for tag, text in page_items(page))
    assert first == "Catsr 0.46λ 0.31"
    assert second == "purrno imageλ 0.00"
    (shown,) = page.having("shown")
    assert (shown[0]["role"], shown[0]["aria-label"]) == ("img", "image cat")
    assert [attrs["style"] for attrs, _ in page.having("bar")] == ["--weight: 31%", "--weight: 0%"]


def test_page_counts_what_it_shows():
    docs = [make_doc(["a", "b", "\n"], ["cat", "gone", None]), make_doc(["c"], ["cat"])]
    page = Page(render_page(docs, {"cat": make_image()}.get))
    (counts,) = page.having("counts")
    assert [text for _, text in page.having("word")] == ["a", "b", "c"]
    assert counts[1] == "2 texts · 3 words, 3 of them with a voken · 2 distinct vokens"


def test_each_image_is_embedded_once_and_asked_for_once():
    images = {"cat": make_image("cat", "red"), "dog": make_image("dog", "blue")}
    asked = []

    def image(voken):
        asked.append(voken)
        return images[voken]

    docs = [make_doc(["a", "b", "c"], ["cat", "dog", "cat"]), make_doc(["d"], ["dog"])]
    html = render_page(docs, image)

    assert asked == ["cat", "dog"]
    rules = re.findall(r"\.(p\w+) \{ background-image: url\(data:image/webp;base64,(\S+)\)", html)
    assert [base64.b64decode(data) for _, data in rules] == [
        images["cat"].thumbnail,
        images["dog"].thumbnail,
    ]
    cat, dog = (name for name, _ in rules)
    shown = [attrs["class"].split()[-1] for attrs, _ in Page(html).having("shown")]
    assert shown == [cat, dog, cat, dog]


def test_image_without_thumbnail_is_read_from_its_file(tmp_path):
    path = tmp_path / "photo.png"
    Image.new("RGB", (400, 200), "blue").save(path)
    image = make_image("photo", path=path, sha256=sha256_file(path), thumbnail=None)
    html = render_page([make_doc(["sea"], ["photo"])], {"photo": image}.get)

    (data,) = re.findall(r"data:image/webp;base64,([^)]+)", html)
    thumbnail = Image.open(io.BytesIO(base64.b64decode(data)))
    assert thumbnail.format == "WEBP"
    assert max(thumbnail.size) < 400
    red, green, blue = thumbnail.convert("RGB").getpixel((10, 10))
    assert blue > 200 > 50 > max(red, green)


@pytest.mark.parametrize("content", [None, b"not an image"])
def test_image_that_cannot_be_read_is_not_at_hand(tmp_path, content):
    path = tmp_path / "photo.png"
    if content is not None:
        path.write_bytes(content)
    sha256 = hashlib.sha256(content or b"").hexdigest()
    image = make_image("photo", path=path, sha256=sha256, thumbnail=None)
    html = render_page([make_doc(["sea"], ["photo"])], {"photo": image}.get)
    (tile,) = Page(html).having("none")
    assert (tile[0]["title"], tile[1]) == ("photo", "image not available")
    assert "data:image" not in html
    assert "<footer>" not in html


def test_entities_wear_displacys_marks_and_colours():
    doc = make_doc(["In", "New", "York", "today"], ents=[(1, 3, "LOC"), (3, 4, "DATE")])
    page = Page(render_page([doc], no_image))
    colors = displacy.EntityRenderer().colors

    assert [text.split() for text in page.text("mark")] == [
        ["New", "York", "LOC"],
        ["today", "DATE"],
    ]
    words = [(attrs.get("class"), attrs.get("style")) for attrs, _ in page_items(page)]
    assert words == [
        (None, None),
        ("entity", f"--entity: {colors['LOC']}"),
        ("entity inside", f"--entity: {colors['LOC']}"),
        ("entity", f"--entity: {colors['DATE']}"),
    ]


def test_gold_entities_stand_beside_the_predicted_ones():
    tags = ["B-PER", "I-PER", "O", "I-LOC"]
    words = ["Tim", "Cook", "in", "Paris"]
    docs = [
        make_doc(words, visual_raw_tags=tags),
        make_doc(words, visual_raw_tags=["O"] * 4),
        make_doc(words),
        make_doc(words, ents=[(0, 2, "PER"), (3, 4, "LOC")], visual_raw_tags=tags),
        make_doc(words, ents=[(0, 1, "PER")], visual_raw_tags=tags),
    ]
    gold = [text for _, text in Page(render_page(docs, no_image)).having("gold")]
    assert gold == [
        "Gold:Tim Cook PER missedParis LOC",
        "Gold: no entity",
        # Strictly, I-LOC after O begins nothing.
        "Gold:Tim Cook PERParis LOC",
        "Wrongly found:Paris LOC",
        "Gold:Tim Cook PER missedParis LOC",
        "Wrongly found:Tim PER",
    ]


def test_a_name_that_occurs_twice_is_told_apart_by_its_place():
    tags = ["O", "O", "B-LOC", "O"]
    doc = make_doc(["Paris", "in", "Paris", "today"], ents=[(0, 1, "LOC")], visual_raw_tags=tags)
    assert [text for _, text in Page(render_page([doc], no_image)).having("gold")] == [
        "Gold:Paris (word 3) LOC missed",
        "Wrongly found:Paris (word 1) LOC",
    ]


def test_gold_tags_of_other_tokens_are_passed_over():
    doc = make_doc(["Tim", "Cook"], visual_raw_tags=["B-PER", "I-PER", "O"])
    assert not Page(render_page([doc], no_image)).having("gold")


def test_marks_tell_the_confidence():
    doc = make_doc(["New", "York", "today"], ents=[(0, 2, "LOC"), (2, 3, "DATE")])
    doc.ents[0]._.visual_confidence = 0.876
    marks = Page(render_page([doc], no_image)).text("mark")
    assert [text.split() for text in marks] == [["New", "York", "LOC", "0.88"], ["today", "DATE"]]


def test_the_style_ent_has_no_words():
    doc = make_doc(["New", "York"], ["cat", None], ents=[(0, 2, "LOC")], visual_raw_tags=["O", "O"])
    html = render_page([doc], {"cat": make_image()}.get, "ent")
    page = Page(html)
    assert len(page.text("mark")) == 1
    assert len(page.having("gold")) == 2
    assert not page.having("word")
    assert "data:image" not in html
    assert "its voken" not in html


def test_hovering_shows_all_images_of_a_word():
    doc = make_doc(["cat", "sea"], ["a", "b"])
    set_token_values(doc, "vokens", [[["a", 0.5], ["b", 0.25]], None])
    page = Page(render_page([doc], {"a": make_image("a"), "b": make_image("b", "blue")}.get))
    (more,) = page.having("more")
    assert more[1] == "ar 0.50br 0.25"
    words = [attrs for (tag, attrs) in page.elements if tag == "li" and "tabindex" in attrs]
    assert len(words) == 1
    shown = [attrs["aria-label"] for attrs, _ in page.having("shown")]
    assert shown == ["image a", "image a", "image b", "image b"]


def test_hovering_shows_what_a_word_attends_to():
    doc = make_doc(["cat"], ["a"])
    set_token_values(doc, "visual_attention", [[["a", 0.75], [None, 0.25]]])
    page = Page(render_page([doc], {"a": make_image("a")}.get))
    (more,) = page.having("more")
    assert more[1] == "attends to0.75no image0.25"


def test_a_summary_follows_the_counts():
    doc = make_doc(["Tim"])
    counts = '<p class="counts">1 text · 1 word, 0 of them with a voken · 0 distinct vokens'
    assert f"{counts} · &lt;b&gt;</p>" in render_page([doc], no_image, summary="<b>")
    assert f"{counts}</p>" in render_page([doc], no_image, summary="")


def test_options_choose_labels_and_colors():
    doc = make_doc(["Tim", "in", "Paris"], ents=[(0, 1, "PER"), (2, 3, "LOC")])
    html = render_page([doc], no_image, ents=["LOC"], colors={"LOC": "#123456"})
    page = Page(html)
    assert [text.split() for text in page.text("mark")] == [["Paris", "LOC"]]
    assert [attrs["style"] for attrs, _ in page.having("entity") if "style" in attrs][-1:] == [
        "--entity: #123456"
    ]
    doc._.visual_raw_tags = ["B-PER", "O", "O"]
    (missed, wrong) = Page(render_page([doc], no_image, ents=["LOC"])).having("gold")
    assert (missed[1], wrong[1]) == ("Gold: no entity", "Wrongly found:Paris LOC")
    with pytest.raises(ValueError, match="are colors, ents, title, summary, found 'color'"):
        render_page([doc], no_image, color={})
    with pytest.raises(ValueError, match="one of ent, vokens, found 'dep'"):
        render_page([doc], no_image, "dep")


def test_images_are_those_of_the_loaded_index(vokenizer, make_vokenizer, make_pool):
    doc = vokenizer("a cat !")
    html = to_html(doc)
    assert Page(html).having("shown")[-1][0]["title"] == "cat"
    other = make_vokenizer()
    other.get_pipe("voken_retriever").set_pool(make_pool(("cow", "hen"), seed=5))
    elsewhere = other("a cat !")
    assert {a["title"] for a, _ in Page(to_html(elsewhere)).having("shown")} <= {"cow", "hen"}
    with pytest.raises(ValueError, match="come from 2 indexes"):
        to_html([doc, elsewhere])
    assert Page(to_html([doc, elsewhere], images=no_image)).having("none")
    doc._.voken_index = "0123456789abcdef-0123456789abcdef"
    assert not Page(to_html(doc)).having("shown")


def test_a_fragment_touches_nothing_but_itself():
    html = to_html(make_doc(["sea"], ["cat"]), images={"cat": make_image()}.get)
    page = Page(html)
    assert page.elements[0] == ("div", {"class": "vokens"})
    assert "html" not in [tag for tag, _ in page.elements]
    (style,) = page.text("style")
    # One rule, in which all others are nested.
    assert style.startswith(".vokens {")
    depth, closed = 0, []
    for place, letter in enumerate(style):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "}" and depth == 0:
            closed.append(place)
    assert closed == [len(style) - 1]


def test_render_displays_in_a_notebook(monkeypatch):
    shown = []
    display = types.ModuleType("IPython.display")
    display.HTML, display.display = str, shown.append
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    doc = make_doc(["sea"])
    html = render(doc, jupyter=False)
    assert html == to_html(doc)
    assert render(doc, jupyter=True) is None
    assert shown == [html]


def test_document_without_anything_is_shown_as_text():
    page = Page(render_page([make_doc(["plain", "words"])], no_image))
    assert [text for _, text in page_items(page)] == ["plainno image", "wordsno image"]
    assert not page.having("bar")
    assert "plain words" in page.having("entities")[0][1]


@pytest.mark.parametrize("words", [[], ["\n", " "]])
def test_empty_document_says_so(words):
    page = Page(render_page([make_doc(words)], no_image))
    assert [text for _, text in page.having("empty")] == ["empty document"]
    assert page.text("ol") == []


def test_text_runs_in_its_languages_direction():
    docs = [spacy.blank("en")("cat"), spacy.blank("ar")("قطة")]
    page = Page(render_page(docs, no_image))
    figures = [(a["lang"], a["dir"]) for tag, a in page.elements if tag == "figure"]
    assert figures == [("en", "ltr"), ("ar", "rtl")]
    assert [a["style"].split(": ")[-1] for a, _ in page.having("entities")] == ["ltr", "rtl"]


def test_text_against_its_languages_direction_turns_nothing_around_it():
    doc = make_doc(["\u202ecat", "قطة"], ents=[(0, 1, "X")])
    doc._.visual_raw_tags = ["B-X", "B-X"]
    html = render_page([doc], no_image)
    page = Page(html)
    assert [text for _, text in page.having("word")] == ["\u202ecat", "قطة"]
    for selector in (".word", ".gold span"):
        (rule,) = re.findall(rf"^{re.escape(selector)} {{([^}}]*)}}", html, re.MULTILINE)
        assert "unicode-bidi: isolate" in rule
    # An inline block is isolated by its nature.
    (rule,) = re.findall(r"^\.entities mark {([^}]*)}", html, re.MULTILINE)
    assert "display: inline-block" in rule


@pytest.mark.parametrize("width", [360, 1280])
def test_all_of_a_page_can_be_reached_on_a_phone_and_on_a_screen(browser, width):
    name = "the Metropolitan Museum of Modern Art in New York City and"
    words = [*name.split(), "Llanfairpwllgwyngyll"]
    doc = make_doc(words, ["cat"] * len(words), ents=[(1, 6, "ORG")])
    doc._.visual_raw_tags = ["O", "B-ORG", *["I-ORG"] * 8, "O", "O"]
    set_token_values(doc, "vokens", [[["cat", 0.5], ["dog", 0.4], ["egg", 0.3]]] * len(words))
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.set_content(render_page([doc], {"cat": make_image("cat")}.get))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for word in page.locator(".words > li").all():
        word.focus()
        more = word.locator(".more")
        assert more.is_visible()
        box, own = more.bounding_box(), word.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert own["y"] < box["y"] < own["y"] + own["height"], "right below its word"
    page.close()


def test_page_without_documents_is_a_page():
    (counts,) = Page(render_page([], no_image)).having("counts")
    assert counts[1].startswith("0 texts · 0 words")


def test_footer_names_each_source_and_license_of_the_shown_images():
    images = {
        "a": make_image("a"),
        "b": make_image("b"),
        "c": make_image("c", source="Photos", license=""),
        "unused": make_image("unused", source="Elsewhere"),
    }
    page = Page(render_page([make_doc(["x", "y", "z"], ["a", "b", "c"])], images.get))
    (footer,) = page.text("footer")
    assert footer.split("\n")[3:5] == [
        "Emoji: CC BY-SA 4.0 (2 images)",
        "Photos: license not stated (1 image)",
    ]
    assert "Elsewhere" not in footer


def test_page_asks_for_nothing_from_outside():
    doc = make_doc(["https://t.co/x"], ["cat"])
    html = render_page([doc], {"cat": make_image(source="https://example.org")}.get)
    page = Page(html)
    assert not {"src", "href"} & {name for _, attrs in page.elements for name in attrs}
    assert set(re.findall(r"url\((\w+:)", html)) == {"data:"}
    assert "@import" not in html
    policy = [a["content"] for _, a in page.elements if "http-equiv" in a]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


texts = st.one_of(st.just(HOSTILE), st.text(min_size=1, max_size=8), st.text("<>&\"'{}/\\;:-!= "))


@given(word=texts.filter(str.strip), label=texts.filter(bool), id=texts, other=texts)
def test_nothing_reaches_the_page_unescaped(word, label, id, other):
    doc = make_doc(["a", word], [id, "gone" + id], [(1, 2, label)], visual_image_id=other)
    doc._.visual_raw_tags = ["O", f"B-{label}"]
    image = make_image(id, source=other, license=other)
    page = Page(render_page([doc], {id: image}.get, title=other))

    assert {tag for tag, _ in page.elements} <= set(TAGS.split())
    assert {name for _, attrs in page.elements for name in attrs} <= set(ATTRIBUTES.split())
    assert [text for _, text in page.having("word")] == ["a", word]
    assert page.having("shown")[0][0]["title"] == id
    assert page.having("none")[0][0]["title"] == "gone" + id
    assert page.having("screen-reader-only")[0][1] == label
    assert page.text("mark")[0].strip().endswith(label.strip())
    assert page.text("h1") == page.text("title") == [other]
    assert other in page.text("figcaption")[0]
    assert (other or "license not stated") in page.text("footer")[0]
