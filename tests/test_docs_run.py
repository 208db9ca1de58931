"""The pages' Python blocks run on tiny pipelines; their command lines fit the commands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import spacy
import typer
import typer.main
from PIL import Image
from spacy.cli._util import app as spacy_app
from spacy.language import Language
from spacy.util import load_config
from weasel.util import load_project_config

import spacy_vokens.cli  # noqa: F401  (adds its commands to spaCy's)
from research.__main__ import app as research_app
from tests.conftest import LANG

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "research/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
# typer may come with its own copy of click.
UsageError = typer.BadParameter.__mro__[1]
MISSING = re.compile(r"(file|dir|directory|path) '(.+?)' does not exist", re.IGNORECASE)
# Right before a block that is not tested; it says why.
NOT_TESTED = re.compile(r"<!-- not tested: (.+) -->\n$")
N_NOT_TESTED = 0
SENTENCE = "Anna watched the football at Turkey Lake with a turkey sandwich"


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a page that are to be tested."""
    text = page.read_text(encoding="utf-8")
    return [
        "\n".join(line.removeprefix(found[1]) for line in found[3].split("\n"))
        for found in BLOCK.finditer(text)
        if found[2] == language and not NOT_TESTED.search(text[: found.start()])
    ]


def of_pages(*languages: str) -> list[Path]:
    return [page for page in PAGES if any(blocks(page, language) for language in languages)]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_blocks_that_are_not_tested_are_counted() -> None:
    left_out = [
        (page, found[0])
        for page in PAGES
        for found in re.finditer(r"(?m)^ *<!-- not tested: .+ -->$", page.read_text("utf-8"))
    ]
    assert len(left_out) == N_NOT_TESTED, left_out


def test_pages_have_blocks_of_known_languages_only() -> None:
    known = {"bash", "bibtex", "python", "yaml"}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert {found[2] for found in BLOCK.finditer(text)} <= known, page
        assert text.count("```") % 2 == 0, page


# Python


@pytest.fixture(scope="module")
def vokener_path(
    vokenizer_path: Path,
    make_tagger: Callable[..., Language],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Save a tiny pipeline that replaces `en_vokener` and finds entities in everything."""
    path = tmp_path_factory.mktemp("docs") / "en_vokener"
    nlp = make_tagger("GatedFusion", steps=40, into=spacy.load(vokenizer_path))
    nlp.to_disk(path)
    return path


@pytest.fixture
def reader(vokener_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Work in an empty folder, with tiny pipelines and without windows."""
    load = spacy.load
    ours = {"en_vokener", "my_vokener"}
    theirs = {"en_core_web_sm": False, "en_core_web_trf": True}

    def load_tiny(name: str | Path, **settings: object) -> Language:
        if name in ours:
            return load(vokener_path, **settings)
        if name in theirs:
            nlp = spacy.blank(LANG)
            if theirs[str(name)]:
                nlp.add_pipe("transformer", source=load(vokener_path))
            nlp.add_pipe("sentencizer")
            return nlp
        return load(name, **settings)

    monkeypatch.setattr(spacy, "load", load_tiny)
    monkeypatch.setattr(Image.Image, "show", lambda self: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", of_pages("python"), ids=name_of)
def test_python_blocks_run_in_order(page: Path, reader: Path) -> None:
    namespace: dict[str, object] = {"__name__": "__main__"}
    for number, block in enumerate(blocks(page, "python"), start=1):
        exec(compile(block, f"{name_of(page)}, block {number}", "exec"), namespace)


# Command lines


def command_lines(page: Path) -> Iterator[list[str]]:
    """Yield the commands of a page's bash blocks, split into words."""
    for block in blocks(page, "bash"):
        joined = re.sub(r"\\\n\s*", " ", block)
        for line in joined.split("\n"):
            lexer = shlex.shlex(line, posix=True, punctuation_chars="&;|")
            lexer.whitespace_split = True
            words: list[str] = []
            for word in lexer:
                if set(word) <= set("&;|"):
                    yield words
                    words = []
                else:
                    words.append(word)
            if words:
                yield words


def check(words: list[str]) -> None:
    """Fail if there is no such command, option, argument or variable."""
    if words[:3] == ["python", "-m", "spacy"]:
        words = words[2:]
    if words[0] == "spacy":
        check_spacy(words[1:])
    elif words[:3] == ["python", "-m", "research"]:
        check_research(words[3:])
    elif words[0] == "python":
        assert words[1] == "-c" or (ROOT / words[1]).is_file(), words
    elif words[0] in ("pip", "pytest"):
        check_extras(words)
        for word in words:
            if word.startswith("tests/"):
                assert (ROOT / word).exists(), words
    elif "/" in words[0]:
        assert (ROOT / words[0]).is_file(), words
    else:
        known = {"cp", "export", "lint-imports", "mkdir", "mkdocs", "mypy", "pre-commit", "ruff"}
        assert words[0] in known, f"{words}: a command that this test does not know"


def check_extras(words: list[str]) -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for word in words:
        if found := re.search(r"\[([\w,-]+)\]", word):
            assert set(found[1].split(",")) <= set(project["optional-dependencies"]), words


def check_spacy(words: list[str]) -> None:
    if words[:2] == ["project", "run"]:
        check_project(words[2:])
    command, names = find_command(typer.main.get_command(spacy_app), words)
    if words[0] == "vokens":
        check_options(command, names)
    if words[0] == "train":
        check_overrides(names)


def check_research(words: list[str]) -> None:
    check_options(*find_command(typer.main.get_command(research_app), words))


def find_command(command: Any, words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that the first words name, and the other words."""
    names = list(words)
    while commands := getattr(command, "commands", None):
        assert names, words
        assert names[0] in commands, f"there is no {shlex.join(words)}"
        command = commands[names.pop(0)]
    return command, names


def check_options(command: Any, words: list[str]) -> None:
    """Parse as the command would. Files that it needs are made in the working folder."""
    while True:
        try:
            command.make_context(command.name, list(words))
            return
        except UsageError as error:
            missing = MISSING.search(error.format_message())
            if missing is None:
                raise
        path = Path(missing[2])
        assert not path.is_absolute(), words
        kind = missing[1].lower()
        if kind.startswith("dir") or (kind == "path" and not path.suffix):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def check_overrides(words: list[str]) -> None:
    config = load_config(ROOT / words[0], interpolate=False)
    for word in words[1:]:
        if not word.startswith("--") or "." not in word:
            continue
        section = config
        *path, last = word.removeprefix("--").split(".")
        for key in path:
            section = section[key]
        assert last in section, f"{words[0]} has no {word}"


def check_project(words: list[str]) -> None:
    project = load_project_config(ROOT)
    known = {*project["workflows"], *(command["name"] for command in project["commands"])}
    assert words[0] in known, words
    for word in words[1:]:
        if word.startswith("--"):
            assert word.startswith("--vars."), words
            assert word.removeprefix("--vars.") in project["vars"], words


@pytest.mark.parametrize("page", of_pages("bash"), ids=name_of)
def test_commands_take_what_the_page_gives_them(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = list(command_lines(page))
    assert lines
    for words in lines:
        try:
            check(words)
        except UsageError as error:
            pytest.fail(f"{shlex.join(words)}: {error.format_message()}")


@pytest.mark.parametrize(
    "line",
    [
        "python -m spacy vokens embroider a b",
        "python -m spacy vokens search en_vokener text --top 3",
        "python -m spacy vokens search en_vokener",
        "python -m spacy vokens visualize a b c --only mistakes",
        "python -m spacy vokens visualize a b --output c",
        "python -m research report",
        "python -m research paint a",
        "python -m spacy train configs/visual_ner.cfg --training.maximum 3",
        "python -m spacy project run everything",
        "python -m spacy project run all --vars.pixels 3",
        "pip install '.[cpus]'",
        "wget something",
    ],
)
def test_a_wrong_line_would_be_found(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((AssertionError, UsageError)):
        check(shlex.split(line))


# The site


@pytest.mark.skipif(find_spec("mkdocs") is None, reason="no mkdocs: the extra 'docs'")
def test_the_site_builds_and_loads_nothing_from_outside(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    site = tmp_path / "site"
    html = (site / "api.html").read_text(encoding="utf-8")
    _, anchor, html = html.partition('id="spacy_vokens.visualize.render.to_html"')
    assert anchor
    # The arguments of a docstring are a list with their descriptions.
    arguments = html.partition("Parameters:")[2].partition("Returns:")[0]
    assert re.search(r"<li[^>]*>\s*<b><code>style</code></b>", arguments)
    for page in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|link)[^>]+", page.read_text(encoding="utf-8"))
        assert not [tag for tag in loaded if "//" in tag.replace('rel="canonical"', "")], page
    assert not list(site.rglob("*.json.md"))
    # Pages and images from outside docs/ are there, and links to other files lead to GitHub.
    assert (site / "research" / "results" / "tables" / "report.html").is_file()
    assert list((site / "research").rglob("*.svg"))
    security = (site / "security.html").read_text(encoding="utf-8")
    assert re.search(r'href="https://github\.com/[\w./-]+/SECURITY\.md"', security)
    design = (site / "design.html").read_text(encoding="utf-8")
    assert 'href="CONTRIBUTING.html"' in design
