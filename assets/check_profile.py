"""Check a profile and the files that it names, and write the values that each step reads.

    python assets/check_profile.py PROFILE DATA_DIR

A profile is a file in assets/profiles: names, texts and settings, which no shell takes apart. The
scripts in project.yml hold them as `{name}`. Each step gets the values of its own scripts in
`corpus/PROFILE/steps/STEP.json`, with hashes of the files that it reads, and depends on that file:
it runs again if one of them has changed, and only then.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import srsly
import typer
from packaging.version import InvalidVersion, Version
from wasabi import msg
from weasel.util import get_checksum, load_project_config

FOLDER = Path("assets/profiles")
# Settings that name files of the user.
INPUTS = ("images", "captions", "ner")
# spaCy replaces other characters in the names of packages.
PACKAGE_NAME = re.compile("[a-z][a-z0-9_]*[a-z0-9]")
CHUNK_BYTES = 1024 * 1024
# As assets/spacy_commands.py replaces them.
PLACEHOLDER = re.compile(r"(?<!\$)\{(\w+)\}")


class ProfileError(ValueError):
    """A profile cannot be used; the message names the file, the value and the fix."""


@dataclass(frozen=True)
class Profile:
    """What a profile sets. Everything without a default must be set.

    Attributes:
        name: Name of the package, after the language: en_NAME.
        title: Title of the tables and the page.
        images: Folder of the images.
        source: Where the images come from, for the attribution.
        license: Their license, for the attribution.
        captions: Table of captions.
        ner: Folder with train.txt, valid.txt and test.txt.
        version: Version of the package.
        lang: Language of the pipeline.
        text_encoder: Folder of the text encoder, or its name on the hub.
        image_encoder: Name of the image encoder.
        thumbnails: Whether the pool has thumbnails.
        max_rejects: The largest allowed share of rejected images.
        pairs_dev: The split of the captions that the vokenizer is evaluated on.
        rename: Entity types to rename.
        pool_texts: What else the pool knows of its images: "names" of their files, "iptc", "xmp",
            separated by commas.
        vokenizer_config: Name of the vokenizer's config in configs.
        vokenizer_steps: Number of batches that the vokenizer is trained on.
        vokenizer_eval: Number of batches between its evaluations.
        tagger_steps: Number of batches that the tagger is trained on.
        tagger_eval: Number of batches between its evaluations.
        tagger_warmup: Number of batches until the tagger's learning rate is highest.
        align_texts: Largest number of captions that the scene part learns from.
        align_steps: Number of batches that the scene part is trained on.
    """

    name: str
    title: str
    images: str
    source: str
    license: str
    captions: str
    ner: str
    version: str = "0.1.0"
    lang: str = "en"
    text_encoder: str = "assets/text_encoder"
    image_encoder: str = "efficientnet_lite0"
    thumbnails: bool = True
    max_rejects: float = 0.05
    pairs_dev: str = "dev"
    rename: dict[str, str] = field(default_factory=dict)
    pool_texts: str = ""
    vokenizer_config: str = "vokenizer"
    vokenizer_steps: int = 120
    vokenizer_eval: int = 120
    tagger_steps: int = 140
    tagger_eval: int = 35
    tagger_warmup: int = 20
    align_texts: int = 4000
    align_steps: int = 200

    @property
    def texts_options(self) -> list[str]:
        """Words for `embed-images`: tagged text in the place of captions describes no image."""
        captions = [] if Path(self.captions).is_dir() else ["--captions", self.captions]
        return captions + (["--texts", self.pool_texts] if self.pool_texts else [])

    @property
    def captions_options(self) -> list[str]:
        """Words for `convert`: tagged text in the place of captions is tokenized already."""
        return [] if Path(self.captions).is_dir() else ["--lang", self.lang]


def load_profile(path: Path, data_dir: str = "data") -> Profile:
    """Load and check a profile.

    Args:
        path: The file.
        data_dir: What `{data_dir}` stands for in its paths.

    Raises:
        ProfileError: If it cannot be used.
    """
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yml")))
        raise ProfileError(
            f"There is no {path} (profiles: {known}). Copy one of them, and change its values."
        )
    try:
        values = srsly.read_yaml(path)
    except ValueError as error:
        raise ProfileError(f"{path} is not a YAML file: {error}") from error
    if not isinstance(values, dict):
        raise ProfileError(f"{path} must hold lines of NAME: VALUE.")
    known = {each.name: each for each in fields(Profile)}
    for name, value in values.items():
        if name not in known:
            close = get_close_matches(str(name), known, n=1)
            hint = f"Did you mean {close[0]}?" if close else f"It knows {', '.join(known)}."
            raise ProfileError(f"{path}: there is no setting {name!r}. {hint}")
        _check_type(path, name, value, str(known[name].type))
    required = {name for name, each in known.items() if each.default is each.default_factory}
    if missing := [name for name in known if name in required - values.keys()]:
        raise ProfileError(f"{path} does not set {', '.join(missing)}.")
    for name in INPUTS:
        values[name] = values[name].replace("{data_dir}", data_dir)
    profile = Profile(**values)
    _check_package(path, profile)
    for training in ("vokenizer", "tagger"):
        steps, every = (getattr(profile, f"{training}_{what}") for what in ("steps", "eval"))
        if steps % every:
            raise ProfileError(
                f"{path}: {training}_eval = {every} does not divide {training}_steps = {steps}, so "
                "the end of the training would not be evaluated."
            )
    return profile


def _check_type(path: Path, name: str, value: object, kind: str) -> None:
    if kind == "str":
        if not isinstance(value, str):
            raise ProfileError(
                f"{path}: {name} must be text, but YAML reads a value of another kind, {value!r}. "
                f'Write it in quotes: {name}: "…"'
            )
        if not value.strip():
            raise ProfileError(f"{path}: {name} is empty.")
    elif kind == "bool":
        if not isinstance(value, bool):
            raise ProfileError(f"{path}: {name} must be true or false, not {value!r}.")
    elif kind == "int":
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ProfileError(f"{path}: {name} must be a number above 0, not {value!r}.")
    elif kind == "float":
        if isinstance(value, bool) or not isinstance(value, float | int) or not 0 <= value <= 1:
            raise ProfileError(f"{path}: {name} must be 0 to 1, not {value!r}.")
    elif not isinstance(value, dict) or not all(
        isinstance(word, str) for pair in value.items() for word in pair
    ):
        raise ProfileError(f"{path}: {name} must hold lines of OLD: NEW, not {value!r}.")


def _check_package(path: Path, profile: Profile) -> None:
    """Check that the wheel will have the name and the version that the profile says."""
    if not PACKAGE_NAME.fullmatch(profile.name):
        raise ProfileError(
            f"{path}: name {profile.name!r} cannot be the name of a package. Use small letters, "
            "digits and _, and begin with a letter."
        )
    try:
        version = str(Version(profile.version))
    except InvalidVersion:
        raise ProfileError(
            f"{path}: version {profile.version!r} is not a valid version. Write it like 0.1.0."
        ) from None
    if version != profile.version:
        raise ProfileError(
            f"{path}: pip writes the version {profile.version!r} as {version!r}. Write that."
        )


def find_problems(profile: Profile, root: Path = Path()) -> list[str]:
    """Look for the files that a profile names, with the checksums in project.yml.

    `spacy project assets` succeeds even if a download failed or a checksum differs. The project
    therefore checks its assets itself.
    """
    assets = load_project_config(root, interpolate=False).get("assets", [])
    checksums = {Path(asset["dest"]).parts[-2:]: asset.get("checksum") for asset in assets}
    splits = [Path(profile.ner, f"{split}.txt") for split in ("train", "valid", "test")]
    problems = []
    for path in (Path(profile.images), Path(profile.captions), *splits):
        place = root / path
        if not place.exists() or not (
            any(place.iterdir()) if place.is_dir() else place.stat().st_size
        ):
            problems.append(f"{path} is missing or empty")
        elif (expected := checksums.get(path.parts[-2:])) and get_checksum(place) != expected:
            problems.append(f"{path} is not the file that project.yml names: its MD5 differs")
    return problems


def unknown_variables(words: list[str], known: set[str]) -> list[str]:
    """Find the variables in a command line that project.yml does not have."""
    given = (word for word in words if word.startswith("--vars."))
    names = (word.removeprefix("--vars.").partition("=")[0] for word in given)
    return [name for name in names if name not in known]


def placeholders(scripts: list[str]) -> set[str]:
    """Return the settings that scripts hold as `{name}`."""
    return {name for script in scripts for name in PLACEHOLDER.findall(script)}


def fingerprint(path: Path) -> str:
    """Hash a file, or the names and contents of all files in a folder.

    weasel hashes a folder's contents without their names, so it does not notice a renamed image,
    which has another id.
    """
    digest = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        name = "" if file == path else file.relative_to(path).as_posix()
        digest.update(f"{name}\0{file.stat().st_size}\0".encode("utf-8", "surrogateescape"))
        with file.open("rb") as opened:
            while chunk := opened.read(CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


def as_words(name: str, value: Any) -> str | list[str]:
    """Return what stands in a script in the place of `{name}`: a text, or several words."""
    if isinstance(value, bool):
        return name if value else f"no-{name}"
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return [word for pair in value.items() for word in (f"--{name}", "=".join(pair))]
    return str(value)


def step_values(profile: Profile, commands: list[dict[str, Any]]) -> Iterator[tuple[str, dict]]:
    """Yield the values of each step whose scripts have placeholders, by the step's name."""
    hashes: dict[str, str] = {}
    for command in commands:
        names = placeholders(command["script"])
        if not names:
            continue
        if unknown := {name for name in names if not hasattr(profile, name)}:
            raise ProfileError(f"project.yml, {command['name']}: no setting {', '.join(unknown)}.")
        values = {name: as_words(name, getattr(profile, name)) for name in sorted(names)}
        # A setting made of several words may name a file too.
        words = {word for value in values.values() if isinstance(value, list) for word in value}
        inputs = [name for name in INPUTS if name in names or getattr(profile, name) in words]
        for name in set(inputs) - hashes.keys():
            hashes[name] = fingerprint(Path(getattr(profile, name)))
        yield command["name"], {"values": values, "sha256": {n: hashes[n] for n in inputs}}


def main(name: str, data_dir: Annotated[str, typer.Argument()] = "data") -> None:
    """Check a profile and the files that it names, and write the values of its steps."""
    project = load_project_config(Path.cwd(), interpolate=False)
    try:
        if unknown := unknown_variables(_parent_words(), set(project["vars"])):
            raise ProfileError(
                f"project.yml has no variable {', '.join(unknown)} (it has "
                f"{', '.join(project['vars'])}). Texts and settings are in {FOLDER}/{name}.yml."
            )
        profile = load_profile(FOLDER / f"{name}.yml", data_dir)
        problems = find_problems(profile)
        if not (meta := FOLDER.with_name("meta") / f"{name}.json").is_file():
            problems.append(f"{meta} is missing: it describes the package")
        if problems:
            for problem in problems:
                msg.text(problem)
            raise ProfileError(
                f"Files are missing or wrong. {FOLDER}/{name}.yml names them. The data of "
                "twitter2017, twitter2015 and paper are downloaded by 'python -m spacy project "
                "assets --extra', or found in --vars.data_dir."
            )
        folder = Path("corpus") / name / "steps"
        folder.mkdir(parents=True, exist_ok=True)
        for step, content in step_values(profile, project["commands"]):
            (folder / f"{step}.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    except ProfileError as error:
        msg.fail(f"Cannot run the profile {name}", str(error), exits=1)
    msg.good(f"Checked the profile {name} and its files")


def _parent_words() -> list[str]:
    """Return the command lines of the processes above this one, on systems that show them.

    One of them is `spacy project run`, which ignores variables that it does not know.
    """
    words: list[str] = []
    process = os.getppid()
    while process > 1:
        folder = Path("/proc") / str(process)
        try:
            line = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            words += line if {"project", "run"} <= {*line} else []
            status = (folder / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            break
        # The parent's number follows the name, which may hold anything, and the state.
        process = int(status.rpartition(")")[2].split()[1])
    return words


if __name__ == "__main__":
    typer.run(main)
