"""Read the hand-written words of the captions, source/captions.txt."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from tables import SOURCE

SEXES = ("person", "woman", "man")


@dataclass(frozen=True)
class Thing:
    """What the captions say of one picture.

    name: the picture's name.
    phrase: what the captions call it, with its article: "a turkey", "the Netherlands".
    does: what it does, clauses for templates with {does}.
    motif: the same for the pictures that show the same thing, such as a woman and a man running.
    """

    name: str
    phrase: str
    does: tuple[str, ...]
    motif: str


@dataclass
class Group:
    """Pictures of one kind, and sentences about them.

    name: the group's name.
    templates: sentences with {a}, {A}, {the}, {bare}, {does} or {Does} in them; none where the
        group's pictures have no captions.
    things: its pictures.
    as_phrase: what a woman is called where the pictures come three times, or "".
    """

    name: str
    templates: list[str] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)
    as_phrase: str = ""


def read_groups(path: Path = SOURCE / "captions.txt") -> list[Group]:
    """Read the groups, in the file's order.

    raises ValueError: naming file and line, where a picture stands before any group, or twice.
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
            raise ValueError(f"{path}, line {number}: {line!r} stands before the first '== GROUP'.")
        if line.startswith("> "):
            groups[-1].templates.append(line.removeprefix("> "))
        elif line.startswith("as: "):
            groups[-1].as_phrase = line.removeprefix("as: ")
        else:
            for thing in _read_things(line, groups[-1].as_phrase):
                if thing.name in seen:
                    raise ValueError(f"{path}, line {number}: {thing.name!r} stands there twice.")
                seen.add(thing.name)
                groups[-1].things.append(thing)
    return groups


def fill(template: str, phrase: str, does: str = "") -> str:
    """Put a phrase and a clause into a template; the sentence starts with a capital."""
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
