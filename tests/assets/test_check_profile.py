from __future__ import annotations

import hashlib
import importlib.util
import json
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import srsly

ASSETS = Path(__file__).parents[2] / "assets"
PROFILES = sorted((ASSETS / "profiles").glob("*.yml"))
# Texts as people write them, which a shell would take apart.
SOURCE = "O'Neil's \"best\" camera & {friends} – 50 % then $more"
VALUES = {
    "name": "mine",
    "title": "What's new",
    "images": "my images",
    "source": SOURCE,
    "license": "CC0",
    "captions": "my captions.tsv",
    "ner": "{data_dir}/my posts",
}
PROJECT = """
title: test
vars: {profile: "mine", data_dir: "data"}
assets:
  - dest: "data/my posts/train.txt"
    checksum: "%s"
commands:
  - name: embed
    script:
      - "python step.py ${vars.profile} {images} {texts_options} {source} --{thumbnails}"
  - name: convert
    script:
      - "python step.py {ner} {rename} {captions}"
  - name: other
    script:
      - "python step.py ${vars.profile}"
"""


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ASSETS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def profile() -> ModuleType:
    return load("check_profile")


@pytest.fixture(scope="module")
def commands() -> ModuleType:
    return load("spacy_commands")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a profile `mine` and the files that it names."""
    md5 = hashlib.md5(b"right").hexdigest()
    (tmp_path / "project.yml").write_text(PROJECT % md5, encoding="utf-8")
    for folder in ("assets/profiles", "assets/meta", "my images/deep", "data/my posts"):
        (tmp_path / folder).mkdir(parents=True)
    srsly.write_json(tmp_path / "assets" / "meta" / "mine.json", {})
    write(tmp_path)
    for name in ("a.png", "b.png", "deep/c.png"):
        (tmp_path / "my images" / name).write_bytes(name.encode())
    (tmp_path / "my captions.tsv").write_text("image")
    for split in ("train", "valid", "test"):
        (tmp_path / "data" / "my posts" / f"{split}.txt").write_text("right")
    return tmp_path


def write(project: Path, **values: object) -> Path:
    path = project / "assets" / "profiles" / "mine.yml"
    srsly.write_yaml(path, VALUES | values)
    return path


def prepare(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the step as `spacy project run` does."""
    return subprocess.run(
        [sys.executable, ASSETS / "check_profile.py", "mine", *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_the_projects_profiles_are_valid(profile: ModuleType, path: Path) -> None:
    found = profile.load_profile(path, "DATA")
    assert "{" not in found.ner
    assert found.images.startswith(("DATA/", "assets/"))


def test_each_step_gets_its_values_whole(project: Path, commands: ModuleType) -> None:
    result = prepare(project)
    assert result.returncode == 0, result.stdout
    steps = project / "corpus" / "mine" / "steps"
    assert sorted(path.name for path in steps.iterdir()) == ["convert.json", "embed.json"]
    values = srsly.read_json(steps / "embed.json")["values"]
    words = shlex.split("embed-images {images} --source {source} --{thumbnails}")
    assert commands.fill_in(words, values) == [
        *("embed-images", "my images", "--source", SOURCE, "--thumbnails")
    ]
    write(project, rename={"OTHER": "MISC", "A": "B"}, thumbnails=False)
    (project / "data").rename(project / "other data")
    result = prepare(project, "other data")
    assert result.returncode == 0, result.stdout + result.stderr
    values = srsly.read_json(steps / "convert.json")["values"]
    assert commands.fill_in(["{ner}", "{rename}"], values) == [
        *("other data/my posts", "--rename", "OTHER=MISC", "--rename", "A=B")
    ]
    assert srsly.read_json(steps / "embed.json")["values"]["thumbnails"] == "no-thumbnails"


def test_a_step_runs_again_if_what_it_reads_has_changed_and_only_then(project: Path) -> None:
    def contents() -> dict[str, str]:
        assert prepare(project).returncode == 0
        steps = project / "corpus" / "mine" / "steps"
        return {path.stem: path.read_text(encoding="utf-8") for path in steps.iterdir()}

    def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
        return {step for step in before if before[step] != after[step]}

    first = contents()
    write(project, title="Another", tagger_steps=35)
    assert contents() == first
    images = project / "my images"
    # A renamed image is another id, although all bytes are in the same order.
    (images / "b.png").rename(images / "b2.png")
    second = contents()
    assert changed(first, second) == {"embed"}
    (images / "b2.png").rename(images / "deep" / "b2.png")
    third = contents()
    assert changed(second, third) == {"embed"}
    (project / "data" / "my posts" / "valid.txt").write_text("more")
    fourth = contents()
    assert changed(third, fourth) == {"convert"}
    # The captions are in the pool too.
    with (project / "my captions.tsv").open("a", encoding="utf-8") as captions:
        captions.write("\n")
    assert changed(fourth, contents()) == {"convert", "embed"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"titel": "x"}, "there is no setting 'titel'. Did you mean title?"),
        ({"version": 1.1}, "version must be text, but YAML reads a value of another kind, 1.1"),
        (
            {"version": "1.0-rc1"},
            "pip writes the version '1.0-rc1' as '1.0rc1'. Write that.",
        ),
        ({"version": "2024.01.05"}, "as '2024.1.5'. Write that."),
        ({"version": "new"}, "version 'new' is not a valid version"),
        ({"name": 7}, 'Write it in quotes: name: "…"'),
        ({"name": "007"}, "name '007' cannot be the name of a package"),
        ({"name": "MyModel"}, "name 'MyModel' cannot be the name of a package"),
        ({"name": ""}, "name is empty"),
        ({"thumbnails": "yes"}, "thumbnails must be true or false, not 'yes'"),
        ({"tagger_steps": 0}, "tagger_steps must be a number above 0, not 0"),
        ({"tagger_steps": 36}, "tagger_eval = 35 does not divide tagger_steps = 36"),
        ({"max_rejects": 5}, "max_rejects must be 0 to 1, not 5"),
        ({"rename": ["OTHER=MISC"]}, "rename must hold lines of OLD: NEW"),
    ],
)
def test_what_cannot_be_is_refused_with_the_fix(
    project: Path, profile: ModuleType, values: dict[str, object], message: str
) -> None:
    path = write(project, **values)
    with pytest.raises(profile.ProfileError) as error:
        profile.load_profile(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("version", ["0.1.0", "1.10", "2024.10", "1.0rc1"])
def test_versions_survive(project: Path, profile: ModuleType, version: str) -> None:
    assert profile.load_profile(write(project, version=version)).version == version


def test_a_setting_that_is_missing_and_a_profile_that_is_not_there(
    project: Path, profile: ModuleType
) -> None:
    path = project / "assets" / "profiles" / "mine.yml"
    srsly.write_yaml(path, {"name": "mine"})
    with pytest.raises(profile.ProfileError, match="does not set title, images, source"):
        profile.load_profile(path)
    path.write_text("- a\n- b\n")
    with pytest.raises(profile.ProfileError, match="must hold lines of NAME: VALUE"):
        profile.load_profile(path)
    with pytest.raises(profile.ProfileError, match=r"no .*your.yml \(profiles: mine\). Copy one"):
        profile.load_profile(path.with_name("your.yml"))


def test_files_that_are_missing_or_wrong_are_named(project: Path) -> None:
    (project / "data" / "my posts" / "train.txt").write_text("wrong")
    (project / "my captions.tsv").write_text("")
    (project / "assets" / "meta" / "mine.json").unlink()
    result = prepare(project)
    assert result.returncode == 1
    said = " ".join(result.stdout.split())
    assert "train.txt is not the file that project.yml names: its MD5 differs" in said
    assert "my captions.tsv is missing or empty" in said
    assert "mine.json is missing" in said
    assert "--vars.data_dir" in said
    assert not (project / "corpus").exists()


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_a_variable_that_the_project_does_not_have_is_refused(project: Path) -> None:
    """weasel ignores it. It is in the command line of a process above."""
    script = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:4]).returncode)"
    check = [sys.executable, str(ASSETS / "check_profile.py"), "mine"]
    command = [sys.executable, "-c", script, *check, "project", "run", "all"]
    for variable, status in (("--vars.profile", 0), ("--vars.titel", 1)):
        result = subprocess.run(
            [*command, variable, "x"], cwd=project, capture_output=True, text=True, check=False
        )
        assert result.returncode == status, result.stdout
        assert ("no variable titel" in result.stdout) is bool(status)


def test_words_are_filled_in_and_weasels_are_left(commands: ModuleType) -> None:
    values = {"a": "x y", "b": ["--c", "d"]}
    words = ["{a}", "--n={a}", "${a}", "{b}", "e"]
    assert commands.fill_in(words, values) == ["x y", "--n=x y", "${a}", "--c", "d", "e"]
    with pytest.raises(SystemExit, match="No value for z: run 'check-assets' again"):
        commands.fill_in(["{z}"], values)


@pytest.mark.parametrize("n_wheels", [0, 1, 2])
def test_the_wheel_that_was_built_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_wheels: int
) -> None:
    wheel = load("wheel")
    dist = tmp_path / "en_mine-1.10" / "dist"
    dist.mkdir(parents=True)
    for number in range(n_wheels):
        (dist / f"en_mine-1.1{number}-py3-none-any.whl").touch()
    started: list[list[str]] = []

    def run(command: list[str]) -> subprocess.CompletedProcess[bytes]:
        started.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(SystemExit) as end:
        wheel.main("install", tmp_path)
    if n_wheels == 1:
        assert end.value.code == 0
        assert started[0][-1] == str(dist / "en_mine-1.10-py3-none-any.whl")
    else:
        assert "run 'package' again" in str(end.value.code)
        assert not started


def test_values_are_json(project: Path) -> None:
    prepare(project)
    for path in (project / "corpus" / "mine" / "steps").iterdir():
        assert json.loads(path.read_text(encoding="utf-8")).keys() == {"values", "sha256"}
