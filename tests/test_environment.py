"""Machines that lack something: a GPU, cores, a temporary folder, UTF-8, permissions."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import spacy
import torch
from PIL import Image
from spacy.language import Language
from typer.testing import CliRunner, Result

import spacy_vokens
from spacy_vokens.cli import app
from spacy_vokens.corpus.docbin import save_docs
from tests.conftest import LANG

SOURCES = sorted(Path(spacy_vokens.__file__).parent.rglob("*.py"))
no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")

# Runs `spacy vokens` for each part of the arguments, then loads the model that is the last one, and
# says what is written meanwhile.
CHAIN = """
import os, sys
from itertools import groupby
import torch
from torch import nn
from spacy_vokens.cli import app
from spacy_vokens.identity import EncoderId
from spacy_vokens.images.encoders import ImageEncoder, image_encoders

@image_encoders.register("tiny")
def two_pixels(model, weights):
    def transform(image):
        return torch.tensor([*image.resize((2, 1)).get_flattened_data()]).T.reshape(3, 1, 2) / 255
    return ImageEncoder(EncoderId("tiny", "1" * 64), nn.Flatten(), transform, 6)

if "ONE_CORE" in os.environ and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
*commands, model = sys.argv[1:]
for is_end, command in groupby(commands, ";".__eq__):
    if not is_end:
        app([*command], standalone_mode=False)
import spacy
written = []
def note(event, args):
    if event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        written.append(str(args[0]))
    elif event in ("os.mkdir", "os.rename", "os.remove", "os.link", "os.symlink", "os.truncate"):
        written.append(str(args[0]))
sys.addaudithook(note)
doc = spacy.load(model)("a dog !")
print(ascii(([token._.voken for token in doc], written)))
"""
COMMANDS = [
    ["embed-images", "Schöne Bilder", "Bildersammlung ü", "--encoder", "tiny"],
    ["convert", "Bildtexte ä.tsv", "Korpus ö"],
    ["convert", "Sätze.txt", "Sätze.spacy"],
    ["index", "Vokenizer ß", "Bildersammlung ü", "Modell für Bilder"],
    ["vokenize", "Modell für Bilder", "Korpus ö", "Korpus mit Vokens"],
    ["search", "Modell für Bilder", "Ein schöner Hund"],
    ["evaluate-retrieval", "Modell für Bilder", "Korpus ö/dev.spacy", "-o", "Maße.json"],
    ["compare", "Maße.json", "--output", "Tabelle.md", "--title", "Größe"],
    ["visualize", "Modell für Bilder", "Zeilen.txt", "Seite für alle.html"],
]
IMAGES = {"Öl": "navy", "Straße": "gray", "Äpfel": "lime"}


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def words_of(result: Result) -> str:
    # wasabi wraps long lines.
    return " ".join(result.output.split())


def run(script: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-B", script, *arguments],
        env=os.environ | environment,
        cwd=script.parent,
        capture_output=True,
        check=False,
    )


def same(name: str) -> str:
    return name


def in_ascii(name: str) -> str:
    return name.encode("ascii", "replace").decode().replace("?", "_")


@pytest.fixture
def write_inputs(tmp_path: Path, vokenizer: Language) -> Callable[..., Path]:
    """Write what `COMMANDS` read, and the script that runs them; umlauts in folders and texts."""

    def write(name: Callable[[str], str]) -> Path:
        folder = tmp_path / "Übung macht den Meister"
        images = folder / name("Schöne Bilder")
        images.mkdir(parents=True)
        lines = ["image\tsplit\tcaption"]
        for image, color in IMAGES.items():
            Image.new("RGB", (8, 8), color).save(images / f"{name(image)}.png")
            lines.append(f"{name(image)}.png\tdev\tein Bild für {image}")
        (folder / name("Bildtexte ä.tsv")).write_text("\n".join(lines), encoding="utf-8")
        (folder / name("Sätze.txt")).write_text("IMGID:Öl\nKöln\tB-LOC\n", encoding="utf-8")
        (folder / "Zeilen.txt").write_text("Grüße aus Köln\n", encoding="utf-8")
        (folder / "chain.py").write_text(CHAIN, encoding="utf-8")
        vokenizer.to_disk(folder / name("Vokenizer ß"))
        return folder

    return write


@pytest.mark.parametrize(
    ("name", "environment"),
    [
        pytest.param(
            same,
            {"ONE_CORE": "1", "TMPDIR": "/absent"},
            id="one core and no TMPDIR",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            in_ascii,
            {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
            id="locale without UTF-8",
        ),
    ],
)
def test_every_command_works(
    write_inputs: Callable[..., Path], name: Callable[[str], str], environment: dict[str, str]
) -> None:
    folder = write_inputs(name)
    commands = [name(argument) for command in COMMANDS for argument in (*command, ";")]
    result = run(folder / "chain.py", *commands, name("Modell für Bilder"), **environment)
    assert result.returncode == 0, result.stderr.decode(errors="replace")
    assert "Grüße" in (folder / name("Seite für alle.html")).read_text(encoding="utf-8")
    assert name("# Größe") in (folder / "Tabelle.md").read_text(encoding="utf-8")
    last_line = result.stdout.decode("ascii", "replace").splitlines()[-1]
    vokens, written = ast.literal_eval(last_line)
    assert set(vokens[:2]) <= {name(image) for image in IMAGES}
    # Loading and using a pipeline writes nothing into its folder or the package.
    places = (name("Modell für Bilder"), str(folder), str(Path(spacy_vokens.__file__).parent))
    assert [path for path in written if path.startswith(places)] == []
    # What was written aside has become the output.
    assert list(folder.rglob(".*")) == []


def test_an_argument_that_the_locale_cannot_read_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # What becomes of "Schöne Bilder" where names are ASCII.
    monkeypatch.setattr(sys, "argv", ["spacy", "Sch\udcc3\udcb6ne Bilder"])
    result = invoke("embed-images", tmp_path, tmp_path / "pool")
    assert (result.exit_code, type(result.exception)) == (1, SystemExit)
    assert "Cannot read the argument Sch" in words_of(result)
    assert "set PYTHONUTF8=1" in words_of(result)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_every_text_file_is_opened_with_its_encoding(source: Path) -> None:
    for call in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if not isinstance(call, ast.Call) or not isinstance(call.func, (ast.Attribute, ast.Name)):
            continue
        called = call.func.id if isinstance(call.func, ast.Name) else call.func.attr
        binary = any(isinstance(a, ast.Constant) and "b" in str(a.value) for a in call.args)
        if called in ("read_text", "write_text") or (
            ast.unparse(call.func) in ("open", "path.open", "file.open") and not binary
        ):
            assert "encoding" in {keyword.arg for keyword in call.keywords}, ast.unparse(call)


@no_gpu
@pytest.mark.parametrize(
    "command",
    ["index", "vokenize", "evaluate", "evaluate-retrieval", "calibrate", "embed-images", "search"],
)
def test_a_gpu_that_is_not_there(command: str, vokenizer_path: Path, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "black.png")
    corpus, output = tmp_path / "corpus.spacy", tmp_path / "output"
    save_docs([spacy.blank(LANG)("a dog")], corpus)
    arguments = {
        "vokenize": (vokenizer_path, corpus, output.with_suffix(".spacy")),
        "evaluate": (vokenizer_path, corpus, "--output", output),
        "embed-images": (tmp_path, output),
        "calibrate": (vokenizer_path, corpus, output),
        "evaluate-retrieval": (vokenizer_path, corpus, "--output", output),
        "search": (vokenizer_path, "a dog"),
        "index": (vokenizer_path, tmp_path, output),
    }
    result = invoke(command, *arguments[command], "--gpu-id", 0)
    assert (result.exit_code, type(result.exception)) == (1, SystemExit)
    assert "Cannot use GPU 0" in words_of(result)
    assert "leave out --gpu-id" in words_of(result)
    assert not list(tmp_path.glob("output*"))


def test_a_gpu_of_another_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    result = invoke("embed-images", tmp_path, tmp_path / "pool", "--gpu-id", 1)
    assert result.exit_code == 1
    assert "finds 1 CUDA devices" in words_of(result)
