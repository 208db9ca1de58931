from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from PIL import Image

from spacy_vokens.files import sha256_file
from spacy_vokens.identity import EncoderId
from spacy_vokens.images.pool import ImagePool, ImageRecord, PoolContent
from spacy_vokens.visualize.pool_map import (
    MIN_FOR_TSNE,
    choose_images,
    map_pool,
    project,
    render_pool_map,
)
from spacy_vokens.visualize.voken_usage import VokenUsage
from tests.visualize.test_render import ATTRIBUTES, HOSTILE, TAGS, Page, texts, webp

COLORS = ("red", "lime", "blue", "yellow")


@pytest.fixture
def make_map_pool(tmp_path):
    """Make a pool of n images, with thumbnails or with files, in two clusters of features."""

    def make(
        n: int, *, thumbnails: bool = True, path: Path = tmp_path, spread: float = 1.0, **fields
    ) -> ImagePool:
        records = []
        for number in range(n):
            file = path / f"{number}.png"
            Image.new("RGB", (8, 8), COLORS[number % 4]).save(file)
            values = {"id": f"i{number:03d}", "source": "Drawn", "license": "CC0"}
            values |= {name: value[number] for name, value in fields.items()}
            records.append(
                ImageRecord(path=file.name, sha256=sha256_file(file), width=8, height=6, **values)
            )
        features = np.random.default_rng(0).normal(size=(n, 4)) * spread
        features[n // 2 :] += 20 * spread
        order = sorted(range(n), key=lambda row: records[row].id)
        return ImagePool.write(
            path / "pool",
            PoolContent(
                [records[row] for row in order],
                features[order],
                encoder=EncoderId("<b>tiny", "1" * 64),
                image_root=path,
                thumbnails=(webp(COLORS[row % 4]) for row in order) if thumbnails else None,
            ),
            overwrite=True,
        )

    return make


def make_usage(words: dict[str, dict[str, int]], n_without: int = 0) -> VokenUsage:
    by_voken = {voken: Counter(found) for voken, found in words.items()}
    counts = Counter({voken: found.total() for voken, found in by_voken.items()})
    return VokenUsage(counts.total() + n_without, counts, by_voken)


def ids_of(page: Page, css_class: str = "place") -> list[str]:
    """The images of a page's map, in the order of the page."""
    return [attrs["title"].split(":")[0] for attrs, _ in page.having(css_class)]


def places(page: Page) -> dict[str, tuple[float, float]]:
    return {
        attrs["title"].split(":")[0]: tuple(
            float(x) for x in re.findall(r"(?:left|top): ([\d.]+)%", attrs["style"])
        )
        for attrs, _ in page.having("place")
    }


def facts_of(page: Page) -> dict[str, tuple[str, str]]:
    names = page.text("dt")
    numbers, notes = ([text for _, text in page.having(name)] for name in ("number", "note"))
    return dict(zip(names, zip(numbers, notes, strict=True), strict=True))


def sheet(page: Page, name: str) -> str:
    (text,) = [text for text in page.text("section") if text.strip().startswith(name)]
    return text


def test_hubs_come_first_and_the_others_by_the_seed():
    ids = [f"i{number}" for number in range(30)]

    def choose(seed: int, limit: int) -> list[str]:
        return choose_images(ids, ["i7", "i3"], limit, np.random.default_rng(seed))

    assert choose(0, 1) == ["i7"]
    assert choose(0, 6)[:2] == ["i7", "i3"]
    assert len(set(choose(0, 6))) == 6
    assert choose(0, 6) == choose(0, 6) != choose(1, 6)
    assert sorted(choose(0, 99)) == sorted(ids)


def test_the_numbers_are_those_of_pool_and_corpus(make_map_pool):
    usage = make_usage({"i001": {"a": 5, "the": 3}, "i004": {"a": 1}, "i000": {"x": 1}}, 10)
    page = Page(render_pool_map(make_map_pool(8), usage))
    facts = facts_of(page)
    assert facts["Images"] == ("8", "median size 8 × 6 pixels")
    assert facts["Encoder"][0] == "<b>tiny"
    assert facts["Features"][0] == "4 dimensions"
    assert facts["Tokens with a voken"] == ("50.0%", "10 of 20")
    assert facts["Distinct vokens"] == ("3", "pool coverage: 37.5% of the images")
    assert facts["Never retrieved"] == ("5", "62.5% of the images")
    # The hundredth of eight is one.
    assert facts["Share of the most frequent 1%"][0] == "80.0%"
    number, note = facts["Hubness"]
    counts = np.array([8, 1, 1, 0, 0, 0, 0, 0])
    deviation = counts - counts.mean()
    assert float(number) == pytest.approx(
        (deviation**3).mean() / (deviation**2).mean() ** 1.5, abs=0.005
    )
    assert "Radovanović" in note
    assert "Drawn, CC0 (8)" in page.text("header")[0]


def test_hubness_of_images_that_are_all_retrieved_as_often(make_map_pool, recwarn):
    usage = make_usage({id: {"a": 2} for id in ("i000", "i001")})
    page = Page(render_pool_map(make_map_pool(2), usage))
    assert facts_of(page)["Hubness"][0] == "not defined"
    assert "Every image is the voken of a token." in sheet(page, "Never retrieved")
    assert [str(w.message) for w in recwarn if "moment" in str(w.message)] == []


def test_without_a_corpus_nothing_is_said_of_retrieval(make_map_pool):
    page = Page(render_pool_map(make_map_pool(30)))
    assert list(facts_of(page)) == ["Images", "Encoder", "Features"]
    assert page.having("hub") == []
    assert page.text("h2") == ["Map", "A sample", "Images"]
    assert len(page.having("shown")) == 24
    assert "token" not in page.text("main")[0]


def test_hubs_are_the_images_retrieved_most(make_map_pool):
    counts = {f"i{number:03d}": {"a": 1 + number} for number in range(60)}
    page = Page(render_pool_map(make_map_pool(70), make_usage(counts), limit=55))
    # The 50 of the highest counts, the most frequent on top of the others.
    assert ids_of(page, "hub") == [f"i{number:03d}" for number in range(10, 60)]
    assert ids_of(page)[-50:] == ids_of(page, "hub")
    assert len(set(ids_of(page))) == 55
    rings = [
        float(re.search(r"--ring: ([\d.]+)$", attrs["style"])[1]) for attrs, _ in page.having("hub")
    ]
    assert rings == sorted(rings)
    assert rings[0] < rings[-1]
    label = page.having("hub")[-1][0]
    assert label["title"] == "i059: 60 tokens"
    assert (label["role"], label["aria-label"]) == ("img", "image i059: 60 tokens")
    assert "55 of 70 images, the 50 most frequent and 5 drawn at random (seed 0)" in sheet(
        page, "Map"
    )


def test_sheets_show_what_hubs_stand_for_and_what_is_never_retrieved(make_map_pool):
    words = {"a": 6, "b": 5, "c": 4, "d": 3, "e": 2, "f": 1}
    usage = make_usage({"i002": {"it": 7}, "i001": words})
    page = Page(render_pool_map(make_map_pool(40), usage, limit=5))
    items = [text for text in sheet(page, "Hubs").split("\n") if "·" in text]
    assert items == ["21 · 75.00%a 6, b 5, c 4, d 3, e 2i001", "7 · 25.00%it 7i002"]
    never = re.findall(r"i\d+", sheet(page, "Never retrieved"))
    assert len(never) == len(set(never)) == 24
    assert not {"i001", "i002"} & set(never)
    assert "24 of the images that no token retrieves, 38 in total" in sheet(page, "Never retrieved")


def test_images_of_like_features_stand_together(make_map_pool):
    for n in (8, 40):
        found = places(Page(render_pool_map(make_map_pool(n))))
        assert all(0 <= x <= 100 and 0 <= y <= 100 for x, y in found.values())
        points = np.array([found[f"i{number:03d}"] for number in range(n)])
        distances = np.linalg.norm(points[:, None] - points[None], axis=2)
        np.fill_diagonal(distances, np.inf)
        is_second = np.arange(n) >= n // 2
        assert (is_second[distances.argmin(axis=1)] == is_second).all()


@pytest.mark.parametrize("with_usage", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 9, 10])
def test_tiny_pools_have_a_page(make_map_pool, n, with_usage):
    usage = make_usage({"i000": {"a": 1}}) if with_usage else None
    html = render_pool_map(make_map_pool(n), usage)
    found = places(Page(html))
    assert len(set(found.values())) == n
    assert "nan" not in html.lower().partition("<body>")[2].replace("nanopoulos", "")
    assert n != 1 or found == {"i000": (50.0, 50.0)}
    method = "t-SNE" if n == 10 else "first two principal components"
    assert method in html
    assert f"all {n} image" in html


def test_images_of_equal_features_lie_on_one_place(make_map_pool):
    found = places(Page(render_pool_map(make_map_pool(12, spread=0.0))))
    assert set(found.values()) == {(50.0, 50.0)}


def test_the_seed_says_it_all(make_map_pool):
    pool, usage = make_map_pool(60), make_usage({"i001": {"a": 3}})
    pages = [render_pool_map(pool, usage, limit=30, seed=seed) for seed in (0, 0, 1)]
    assert pages[0] == pages[1]
    maps, samples = (
        [read(Page(html)) for html in pages]
        for read in (ids_of, lambda page: sheet(page, "Never retrieved"))
    )
    assert set(maps[0]) != set(maps[2])
    assert samples[0] != samples[2]


def test_each_image_is_embedded_once(make_map_pool):
    pool = make_map_pool(10)
    html = render_pool_map(pool, make_usage({"i003": {"a": 2}}))
    rules = re.findall(r"^\.p\w+ \{ background-image: url\(data:image/webp;base64", html, re.M)
    # The images have four colors; equal images are embedded once, too.
    assert len(rules) == len(COLORS)
    # Once on the map and once on a sheet.
    assert html.count('title="i003') == 2
    assert "Drawn: CC0 (10 images)" in Page(html).text("footer")[0]


def test_images_without_thumbnails_are_read_from_their_files_where_these_are(make_map_pool):
    pool = make_map_pool(12, thumbnails=False)
    (pool.image_root / "4.png").unlink()
    # Not the pool's image.
    Image.new("RGB", (8, 8), "black").save(pool.image_root / "5.png")
    html = render_pool_map(pool, make_usage({"i004": {"a": 2}, "i002": {"a": 1}}))
    page = Page(html)
    assert sorted(ids_of(page, "dot")) == ["i004", "i005"]
    assert len(ids_of(page)) == 12
    assert html.count("data:image/webp") == len(COLORS)
    assert "Dots stand for 2 images not available." in sheet(page, "Map")
    (hub, absent) = (page.having("dot")[row][0] for row in (-1, 0))
    assert "hub" in hub["class"]
    assert absent["aria-label"] == "image i005: 0 tokens, not available"
    assert "image not available2 · 66.67%" in sheet(page, "Hubs")
    assert "Drawn: CC0 (10 images)" in page.text("footer")[0]


def test_a_missing_thumbnail_is_named(make_map_pool):
    pool = make_map_pool(3)
    (pool.path / "thumbnails" / "0000001.webp").unlink()
    with pytest.raises(FileNotFoundError, match=r"0000001\.webp"):
        render_pool_map(pool)


def test_a_pool_of_many_sources_names_the_most_frequent(make_map_pool):
    sources = ["Most", "Most", *(f"Source {number:02d}" for number in range(13))]
    page = Page(render_pool_map(make_map_pool(15, source=sources)))
    (header,) = page.text("header")
    assert "Images: Most, CC0 (2) · Source 00, CC0 (1)" in header
    assert header.strip().endswith("Source 08, CC0 (1) · 4 more sources")
    # The footer credits every image.
    assert "Source 12: CC0 (1 image)" in page.text("footer")[0]


def test_the_page_asks_for_nothing_from_outside_and_runs_nothing(make_map_pool):
    html = render_pool_map(make_map_pool(5), make_usage({"i001": {"https://t.co": 1}}))
    page = Page(html)
    assert not {"src", "href"} & {name for _, attrs in page.elements for name in attrs}
    assert set(re.findall(r"url\((\w+:)", html)) == {"data:"}
    assert "<script" not in html
    (region,) = page.having("map")
    # What scrolls can be reached by keyboard, and has a name.
    assert (region[0]["role"], region[0]["tabindex"]) == ("region", "0")
    assert region[0]["aria-label"]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(word=texts, other=texts)
def test_nothing_reaches_the_page_unescaped(make_map_pool, tmp_path, word, other):
    id = HOSTILE.replace("\\", "")
    pool = make_map_pool(3, id=[id, "b", "c"], source=[other] * 3, license=[HOSTILE] * 3)
    page = Page(render_pool_map(pool, make_usage({id: {word: 2}}), title=other))
    tags = {*TAGS.split(), "dl", "dt", "dd", "section", "bdi", "i"}
    assert {tag for tag, _ in page.elements} <= tags
    names = {*ATTRIBUTES.split(), "tabindex"}
    assert {name for _, attrs in page.elements for name in attrs} <= names
    assert page.text("h1") == page.text("title") == [other]
    assert page.text("bdi") == [word]
    assert page.having("hub")[0][0]["title"] == f"{id}: 2 tokens"
    assert page.having("shown")[0][0]["title"] == id
    assert id in sheet(page, "Hubs")
    for part in ("header", "footer"):
        assert HOSTILE in page.text(part)[0]
        assert (other or "source not stated") in page.text(part)[0]


def test_the_page_is_written(make_map_pool, tmp_path):
    pool = make_map_pool(12)
    output = tmp_path / "map.html"
    assert map_pool(pool.path, output, limit=5, seed=3, title="Mine") == 5
    assert output.read_text(encoding="utf-8") == render_pool_map(
        pool, limit=5, seed=3, title="Mine"
    )
    assert map_pool(pool.path, output) == 12


def clusters(n: int, dimension: int = 20, seed: int = 0) -> np.ndarray:
    """Two clusters of n vectors each, one after the other, as a pool stores features."""
    rng = np.random.default_rng(seed)
    centers = np.repeat(rng.normal(size=(2, dimension)) * 3, n, axis=0)
    return (centers + rng.normal(size=(2 * n, dimension))).astype(np.float16)


def nearest(points: np.ndarray) -> np.ndarray:
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return distances.argmin(axis=1)


@pytest.mark.parametrize("n", [3, 40])
def test_near_features_land_near_each_other(n):
    points = project(clusters(n))
    assert points.shape == (2 * n, 2)
    is_second = np.arange(2 * n) >= n
    assert (is_second[nearest(points)] == is_second).all()
    # Further apart than each is wide, in the plane too.
    centers = points[:n].mean(axis=0), points[n:].mean(axis=0)
    gap = np.linalg.norm(centers[0] - centers[1])
    assert gap > 2 * points[:n].std(axis=0).max()


def test_every_dimension_counts_as_much_as_any_other():
    # The first tells the clusters apart, the second is noise a thousand times as large.
    rng = np.random.default_rng(0)
    is_second = np.arange(8) >= 4
    features = np.column_stack([is_second * 1.0, *(is_second + rng.normal(0, 0.1, (3, 8)))])
    features = np.column_stack([features, 1000 * rng.normal(size=8)])
    points = project(features)
    assert (is_second[nearest(points)] == is_second).all()


def test_the_seed_decides_the_projection():
    # Wide enough for PCA to draw vectors at random.
    features = clusters(35, 600)
    first = project(features, seed=1)
    np.testing.assert_array_equal(project(features, seed=1), first)
    assert not np.array_equal(project(features, seed=2), first)


@pytest.mark.parametrize("n", [0, 1, 2, 3, MIN_FOR_TSNE - 1, MIN_FOR_TSNE])
@pytest.mark.parametrize("dimension", [1, 2, 7])
def test_a_few_vectors_are_laid_out_too(n, dimension):
    features = np.random.default_rng(0).normal(size=(n, dimension)).astype(np.float16)
    points = project(features)
    assert points.shape == (n, 2)
    assert np.isfinite(points).all()
    # As many places as vectors.
    assert len(np.unique(points, axis=0)) == n


def test_of_a_few_vectors_the_distances_stay():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(6, 2))
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    points = project(features)
    for one, two in ((0, 1), (2, 5), (3, 4)):
        expected = np.linalg.norm(features[one] - features[two])
        assert np.linalg.norm(points[one] - points[two]) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("n", [1, 4, 30])
def test_vectors_that_are_all_alike_lie_on_one_point(n):
    assert (project(np.full((n, 5), 2.5, dtype=np.float16)) == 0).all()


def test_a_dimension_that_is_constant_disturbs_nothing():
    features = np.column_stack([clusters(5), np.full(10, 3)])
    np.testing.assert_allclose(project(features)[:, 0], project(clusters(5))[:, 0], atol=1e-4)


def test_missing_scikit_learn_is_explained(monkeypatch):
    # Python's own mark for a module that cannot be imported.
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(ImportError, match=r"install 'spacy-vokens\[visualize\]'"):
        project(clusters(2))
