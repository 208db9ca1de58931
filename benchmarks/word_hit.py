"""Do vokens show the words? Nouns, and the two senses of ambiguous words, on the quickstart's pool.

    python benchmarks/word_hit.py PIPELINE [--json word-hit.json]

A noun is a hit if its voken is an image named by this noun. A sense is right if the best-scored
image among those of both senses is one of the right sense. If the retriever has a `scene_weight`,
everything is measured once more without the scene. data/README.md describes the sentences.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any, TypeVar

import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc, Token
from wasabi import msg
from write_nouns import DATA, QUICKSTART, SEPARATOR, read_table

import spacy_vokens
from spacy_vokens.files import VokensError, file_written_aside
from spacy_vokens.pipeline.util import find_pipe
from spacy_vokens.pipeline.voken_retriever import VokenRetriever

# Every word of a batch has scores for all images.
BATCH_SIZE = 8
COUNTRIES = "countries"


@dataclass(frozen=True)
class NounCase:
    """A noun in a sentence.

    Attributes:
        sentence: The sentence. The noun occurs once in it.
        word: The noun.
        seen: Whether an accepted image has captions for training.
        topic: The sentence's topic.
        accepted: Ids of the images named by the noun.
    """

    sentence: str
    word: str
    seen: bool
    topic: str
    accepted: frozenset[str]


@dataclass(frozen=True)
class SenseCase:
    """An ambiguous word in a sentence.

    Attributes:
        sentence: The sentence. The word occurs once in it.
        word: The word, in lower case.
        sense: Which sense it has here.
        right: Ids of the images that show this sense.
        wrong: Ids of the images that show the other sense.
    """

    sentence: str
    word: str
    sense: str
    right: frozenset[str]
    wrong: frozenset[str]

    @property
    def chance(self) -> float:
        """The probability that an image drawn from both senses shows the right one."""
        return len(self.right) / len(self.right | self.wrong)


CaseT = TypeVar("CaseT", NounCase, SenseCase)


@dataclass
class Coverage:
    """Counts which words have a voken.

    Attributes:
        stop_words: For each stop word, whether it has a voken.
        content_words: The same for each alphabetic word that is not a stop word.
    """

    stop_words: list[bool] = field(default_factory=list)
    content_words: list[bool] = field(default_factory=list)

    def add(self, doc: Doc) -> None:
        """Count the words of a document."""
        for token in doc:
            if token.is_stop:
                self.stop_words.append(token._.voken is not None)
            elif token.is_alpha:
                self.content_words.append(token._.voken is not None)


def read_nouns(path: Path = DATA / "nouns.tsv") -> list[NounCase]:
    """Read the cases of nouns."""
    ids = {row["name"]: row["id"] for row in read_table(QUICKSTART / "images.tsv")}
    return [
        NounCase(
            row["sentence"],
            row["word"],
            row["captions"] == "train",
            row["topic"],
            frozenset(ids[name] for name in row["pictures"].split(SEPARATOR)),
        )
        for row in read_table(path)
    ]


def read_senses(path: Path = DATA / "senses.tsv") -> list[SenseCase]:
    """Read the cases of ambiguous words."""
    return [
        SenseCase(
            row["sentence"],
            row["word"],
            row["sense"],
            frozenset(row["right"].split()),
            frozenset(row["wrong"].split()),
        )
        for row in read_table(path)
    ]


def find_word(doc: Doc, word: str) -> Token:
    """Find the token of a case's word."""
    found = [token for token in doc if token.lower_ == word.lower()]
    if len(found) != 1:
        raise VokensError(f"The pipeline's tokenizer does not find {word!r} once in: {doc}")
    return found[0]


def best_of(token: Token, ids: frozenset[str]) -> str | None:
    """Return the best-scored of some images; None if the token has a score for none of them."""
    return next((image_id for image_id, _ in token._.vokens or () if image_id in ids), None)


def answer(
    nlp: Language,
    cases: Sequence[CaseT],
    image_of: Callable[[CaseT, Token], str | None],
    coverage: Coverage,
) -> list[str | None]:
    """Run the sentences through the pipeline.

    Args:
        nlp: The pipeline.
        cases: The cases.
        image_of: Returns the image that answers a case, from the token of its word.
        coverage: Counts the words.

    Returns:
        The image of each case; None for a word without.
    """
    found = []
    pairs = ((case.sentence, case) for case in cases)
    for doc, case in nlp.pipe(pairs, as_tuples=True, batch_size=BATCH_SIZE):
        coverage.add(doc)
        found.append(image_of(case, find_word(doc, case.word)))
    return found


def share(hits: Iterable[bool]) -> float:
    """Return the share of hits; NaN if there are no cases."""
    hits = list(hits)
    return mean(hits) if hits else math.nan


def score_nouns(
    cases: Sequence[NounCase], images: Sequence[str | None], n_images: int
) -> dict[str, Any]:
    """Score the images of the nouns.

    Args:
        cases: The cases.
        images: The image of each case.
        n_images: Number of images that could be chosen.

    Returns:
        Score, chance and number of cases of each part, and the nouns that failed.
    """
    parts: dict[str, Callable[[NounCase], bool]] = {
        "all": lambda case: True,
        "seen in captions": lambda case: case.seen,
        "not seen in captions": lambda case: not case.seen,
        "countries": lambda case: case.topic == COUNTRIES,
        "not seen, without countries": lambda case: not case.seen and case.topic != COUNTRIES,
    }
    report: dict[str, Any] = {}
    for name, is_in in parts.items():
        part = [(case, image) for case, image in zip(cases, images, strict=True) if is_in(case)]
        report[name] = {
            "hit": share(image in case.accepted for case, image in part),
            "chance": mean(len(case.accepted) / n_images for case, _ in part),
            "without_voken": share(image is None for _, image in part),
            "cases": len(part),
            "nouns": len({case.word for case, _ in part}),
        }
    failed = defaultdict(list)
    for case, image in zip(cases, images, strict=True):
        if image not in case.accepted:
            failed[case.word].append(image)
    return {"parts": report, "failed": dict(failed)}


def score_senses(cases: Sequence[SenseCase], images: Sequence[str | None]) -> dict[str, Any]:
    """Score the best images among those of both senses.

    Args:
        cases: The cases.
        images: The best image of each case.

    Returns:
        Shares with chance, and the senses that failed.
    """
    hits = defaultdict(list)
    chances = defaultdict(list)
    failed = defaultdict(list)
    for case, image in zip(cases, images, strict=True):
        hits[case.word].append(image in case.right)
        chances[case.word].append(case.chance)
        if image not in case.right:
            failed[f"{case.word} ({case.sense})"].append(image)
    return {
        "right": share(hit for word in hits.values() for hit in word),
        "right_chance": mean(case.chance for case in cases),
        "words_right": share(all(word) for word in hits.values()),
        "words_right_chance": mean(math.prod(word) for word in chances.values()),
        "without_voken": share(image is None for image in images),
        "cases": len(cases),
        "words": len(hits),
        "failed": dict(failed),
    }


def measure(
    nlp: Language,
    retriever: VokenRetriever,
    nouns: Sequence[NounCase],
    senses: Sequence[SenseCase],
) -> dict[str, Any]:
    """Measure the pipeline as it is set now.

    Args:
        nlp: The pipeline.
        retriever: Its retriever. Its `top_k` is as before in the end.
        nouns: The cases of nouns.
        senses: The cases of ambiguous words.

    Returns:
        The figures.
    """
    assert retriever.index is not None
    coverage = Coverage()
    of_nouns = answer(nlp, nouns, lambda _, token: token._.voken, coverage)
    top_k, retriever.top_k = retriever.top_k, len(retriever.index.ids)
    of_senses = answer(
        nlp, senses, lambda case, token: best_of(token, case.right | case.wrong), coverage
    )
    retriever.top_k = top_k
    return {
        "scene_weight": getattr(retriever, "scene_weight", None),
        "nouns": score_nouns(nouns, of_nouns, len(retriever.index.ids)),
        "senses": score_senses(senses, of_senses),
        "stop_words_with_voken": share(coverage.stop_words),
        "stop_words": len(coverage.stop_words),
        "content_words_without_voken": share(not has for has in coverage.content_words),
        "content_words": len(coverage.content_words),
    }


def load(pipeline: str) -> tuple[Language, VokenRetriever]:
    """Load a pipeline up to its retriever, without a tagger."""
    nlp = spacy.load(pipeline, exclude=["visual_ner"])
    retriever = find_pipe(nlp, VokenRetriever)
    if retriever is None or retriever.index is None:
        raise VokensError(f"{pipeline} has no voken_retriever with an index.")
    last = [pipe for _, pipe in nlp.pipeline].index(retriever)
    for name in nlp.pipe_names[last + 1 :]:
        nlp.disable_pipe(name)
    retriever.overwrite = True
    return nlp, retriever


def rows(runs: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return the rows of the table: name, a figure per run, chance, number of cases."""

    def row(name: str, figures: Iterable[float], chance: float | None, n: int) -> tuple[str, ...]:
        shown = [f"{100 * figure:.1f}" for figure in figures]
        return (name, *shown, "" if chance is None else f"{100 * chance:.1f}", f"{n:,}")

    first = runs[0]
    found = []
    for name, part in first["nouns"]["parts"].items():
        figures = [run["nouns"]["parts"][name]["hit"] for run in runs]
        found.append(row(f"Nouns, {name}", figures, part["chance"], part["cases"]))
    for key, name, n in (
        ("right", "Senses", "cases"),
        ("words_right", "Words right in all sentences", "words"),
    ):
        figures = [run["senses"][key] for run in runs]
        found.append(row(name, figures, first["senses"][f"{key}_chance"], first["senses"][n]))
    for key, name, n in (
        ("stop_words_with_voken", "Stop words with a voken", "stop_words"),
        ("content_words_without_voken", "Content words without a voken", "content_words"),
    ):
        found.append(row(name, [run[key] for run in runs], None, first[n]))
    return found


def print_failed(title: str, failed: dict[str, list[str | None]]) -> None:
    """Print the words that failed, with the images that they have instead."""
    msg.divider(title)
    for word, images in failed.items():
        print(f"{word}: {', '.join(image or 'no voken' for image in images)}")


def main() -> None:
    """Run the benchmark, print the result and write it as JSON if wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pipeline", help="folder of a pipeline, or the name of a package")
    parser.add_argument("--json", type=Path, help="file for the figures")
    args = parser.parse_args()
    torch.set_num_threads(1)
    nlp, retriever = load(args.pipeline)
    assert retriever.index is not None
    nouns, senses = read_nouns(), read_senses()
    needed = frozenset().union(*(c.accepted for c in nouns), *(c.right | c.wrong for c in senses))
    if missing := [image_id for image_id in sorted(needed) if image_id not in retriever.index]:
        raise VokensError(f"The index is not the quickstart's: it has no image {missing[0]!r}.")
    runs = [measure(nlp, retriever, nouns, senses)]
    if hasattr(retriever, "scene_weight") and retriever.scene_weight != 0:
        retriever.scene_weight = 0.0
        runs.append(measure(nlp, retriever, nouns, senses))
    without_scene = ("% without scene",) * (len(runs) - 1)
    header = ("", "%", *without_scene, "Chance", "Cases")
    aligns = ("l", *"r" * (len(header) - 1))
    msg.divider(f"{args.pipeline} among {len(retriever.index.ids):,} images")
    msg.table(rows(runs), header=header, divider=True, aligns=aligns, max_col=40)
    print_failed("Nouns without their picture", runs[0]["nouns"]["failed"])
    print_failed("Senses not found", runs[0]["senses"]["failed"])
    if args.json is not None:
        report = {
            "what": "shares of cases; the first run is the pipeline as shipped",
            "pipeline": {key: nlp.meta[key] for key in ("lang", "name", "version")},
            "images": len(retriever.index.ids),
            "runs": runs,
            "versions": {
                "spacy": spacy.__version__,
                "spacy_vokens": spacy_vokens.__version__,
                "torch": torch.__version__,
            },
        }
        with file_written_aside(args.json) as aside:
            aside.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        msg.good("Saved the figures", str(args.json))


if __name__ == "__main__":
    main()
