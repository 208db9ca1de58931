"""Read the hand-written words of the captions from source/captions.txt."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from tables import SOURCE

SEXES = ("person", "woman", "man")


@dataclass(frozen=True)
class Thing:
    """What the captions say about an image.

    Attributes:
        name: The image's name.
        phrase: What the captions call it, with its article: "a turkey", "the Netherlands".
        does: What it does: clauses for templates with {does}.
        motif: What it shows; the same for, say, a woman and a man running.
    """

    name: str
    phrase: str
    does: tuple[str, ...]
    motif: str


@dataclass
class Group:
    """Images of one kind, and sentences about them.

    Attributes:
        name: The group's name.
        templates: Sentences with {a}, {A}, {the}, {The}, {bare}, {does} or {Does}; none if the
            group's images have no captions.
        things: Its images.
        as_phrase: What a woman is called if each image exists as person, woman and man, or "".
    """

    name: str
    templates: list[str] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)
    as_phrase: str = ""


def read_groups(path: Path = SOURCE / "captions.txt") -> list[Group]:
    """Read the groups in the order of the file.

    Raises:
        ValueError: If an image is listed before any group, or twice.
    """
    groups: list[Group] = []
    seen: set[str] = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("== "):
            groups.append(Group(line.removeprefix("== ")))
            continue
        if not groups:
            raise ValueError(f"{path}, line {number}: {line!r} comes before the first '== GROUP'.")
        if line.startswith("> "):
            groups[-1].templates.append(line.removeprefix("> "))
        elif line.startswith("as: "):
            groups[-1].as_phrase = line.removeprefix("as: ")
        else:
            for thing in _read_things(line, groups[-1].as_phrase):
                if thing.name in seen:
                    raise ValueError(f"{path}, line {number}: {thing.name!r} is listed twice.")
                seen.add(thing.name)
                groups[-1].things.append(thing)
    return groups


def fill(template: str, phrase: str, does: str = "") -> str:
    """Fill a phrase and a clause into a template."""
    bare = re.sub(r"^(an?|the) ", "", phrase)
    the = f"the {bare}"
    values = {"a": phrase, "A": _capital(phrase), "the": the, "The": _capital(the), "bare": bare}
    return template.format(**values, does=does, Does=_capital(does))


def _read_things(line: str, as_phrase: str) -> list[Thing]:
    name, _, rest = line.partition(" = ")
    phrase, *does = rest.split(" | ") if rest else [_with_article(name)]
    if not as_phrase:
        return [Thing(name, phrase, tuple(does), motif=name)]
    woman = as_phrase.format(a=phrase)
    phrases = {"person": phrase, "woman": woman, "man": woman.replace("woman", "man")}
    return [Thing(_name_of(name, sex), phrases[sex], tuple(does), motif=name) for sex in SEXES]


def _name_of(name: str, sex: str) -> str:
    if name.startswith("person "):
        return f"{sex} {name.removeprefix('person ')}"
    return name if sex == "person" else f"{sex} {name}"


def _with_article(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
