"""Build a model card from a package's meta."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import spacy
from spacy.language import Language
from wasabi import MarkdownRenderer

from ..files import VokensError, file_written_aside, read_object
from ..identity import SHORT_HASH_DIGITS
from ..messages import count_of
from ..scoring.compare import retrieval_rows, word_hit_rows
from .util import find_pipe
from .visual_ner import VisualNer
from .voken_retriever import VokenRetriever

Aligns = Sequence[Literal["l", "r", "c"]]


def write_card(
    model: str | Path,
    meta: Path,
    output: Path,
    *,
    scores: Path | None = None,
    calibration: Path | None = None,
    retrieval: Path | None = None,
) -> None:
    """Complete a package's meta, so that the README that spaCy writes from it is a model card.

    spaCy writes description, components, sources, labels and the scores on the dev data. The
    `notes` get what it leaves out: licenses, images, scores of retrieval, scores per type on test
    data, confidences.

    Args:
        model: Name of an installed pipeline, or its folder.
        meta: JSON file with what its makers say about it: description, license, sources. Its own
            `notes`, for instance on intended use and limits, come first.
        output: JSON file for `spacy package --meta-path`.
        scores: JSON file of `spacy vokens evaluate`.
        calibration: JSON file of `spacy vokens calibrate --metrics`.
        retrieval: JSON file of `spacy vokens evaluate-retrieval`.

    Raises:
        OSError: If there is no such pipeline, or a file cannot be read.
        VokensError: If a file has the wrong contents, or if the pipeline does not have the
            temperature of the calibration.
    """
    given = read_object(meta)
    if not given.get("description"):
        raise VokensError(f"{meta} has no description, so it is not the meta of a package.")
    files = (scores, calibration, retrieval)
    reports = [None if path is None else read_object(path) for path in files]
    nlp = spacy.load(model)
    sections = [
        str(given.get("notes", "")).strip(),
        _describe_licenses(given.get("sources") or []),
        _describe_images(nlp),
        _describe_retrieval(reports[2]),
        _describe_scores(reports[0]),
        _describe_confidence(nlp, reports[1]),
    ]
    performance = {
        name: value
        for name, value in nlp.meta.get("performance", {}).items()
        # spaCy would print losses as if they were scores.
        if not name.endswith("_loss")
    }
    completed = given | {
        "performance": performance,
        "notes": "\n\n".join(filter(None, sections)),
    }
    with file_written_aside(output) as aside:
        text = json.dumps(completed, indent=2, ensure_ascii=False)
        aside.write_text(text + "\n", encoding="utf-8")


def _describe_licenses(sources: list[dict[str, str]]) -> str:
    rows = [(each["name"], each["license"]) for each in sources if each.get("license")]
    return _section("Licenses of the sources", _table(("Source", "License"), rows)) if rows else ""


def _describe_images(nlp: Language) -> str:
    retriever = find_pipe(nlp, VokenRetriever)
    if retriever is None or retriever.index is None:
        return ""
    index = retriever.index
    counts = Counter((record.source, record.license) for record in index.records)
    rows = [(s or "unknown", x or "unknown", f"{n:,}") for (s, x), n in sorted(counts.items())]
    n_thumbnails = len(index.thumbnails)
    thumbnails = f"{n_thumbnails:,} thumbnails" if n_thumbnails else "no thumbnails"
    return _section(
        "Images",
        f"Words are grounded in {len(index.records):,} images. The package has their keys and "
        f"{thumbnails}. Image encoder: `{index.encoder.name}`. Settings: `top_k` "
        f"{retriever.top_k}, `threshold` {retriever.threshold}.",
        _table(("Source", "License", "Images"), rows, ("l", "l", "r")),
    )


def _describe_retrieval(report: dict[str, Any] | None) -> str:
    if report is None:
        return ""
    try:
        retrieval, word_hit = report["retrieval"], report.get("word_hit")
        rows = retrieval_rows(retrieval)
        text = (
            f"On {_describe_corpus(report)}. A text's image is ranked among "
            f"{count_of(retrieval['candidates'], 'image')}."
        )
        if word_hit:
            rows += word_hit_rows(word_hit)
            text += (
                " Word-hit (`voken_word_hit`) is the share of the words whose image, of "
                f"{word_hit['images']:,}, has a text with that word: "
                f"{count_of(word_hit['voken_content_words'], 'word')} with "
                f"{count_of(word_hit['voken_content_stems'], 'stem')}."
            )
    except (AttributeError, KeyError, TypeError) as error:
        raise VokensError(
            f"The scores of retrieval lack {error}: take a JSON file of 'spacy vokens "
            "evaluate-retrieval'."
        ) from None
    table = _table(("Score", "Value", "Chance"), rows, ("l", "r", "r"))
    return _section("Scores of retrieval", text, table)


def _describe_corpus(report: dict[str, Any]) -> str:
    sha256 = report["corpus_sha256"][:SHORT_HASH_DIGITS]
    return f"`{Path(report['corpus']).name}`, {report['docs']:,} texts (SHA-256 {sha256})"


def _describe_scores(report: dict[str, Any] | None) -> str:
    if report is None:
        return ""
    try:
        overall = {key: report[f"ents_{key}"] for key in ("p", "r", "f", "mentions")}
        rows = [
            (name, *(f"{100 * of[key]:.2f}" for key in "prf"), str(of["mentions"]))
            for name, of in (("all", overall), *report["ents_per_type"].items())
        ]
        corpus = _describe_corpus(report)
    except (AttributeError, KeyError, TypeError) as error:
        raise VokensError(
            f"The scores lack {error}: take a JSON file of 'spacy vokens evaluate'."
        ) from None
    return _section(
        "Scores by type",
        f"On {corpus}, in percent, strict: bounds and label must both be right. "
        "The scores under Accuracy are on the data that the checkpoint was selected with.",
        _table(("Type", "P", "R", "F1", "Mentions"), rows, ("l", *"rrrr")),
    )


def _describe_confidence(nlp: Language, report: dict[str, Any] | None) -> str:
    ner = find_pipe(nlp, VisualNer)
    if ner is None:
        return ""
    text = (
        f"`Span._.visual_confidence` is computed with the temperature {ner.temperature:.2f}"
        f"{' (not calibrated)' if ner.temperature == 1.0 else ''}."
    )
    if report is None:
        return _section("Confidence", text)
    try:
        fitted = float(report["temperature"])
        rows = [
            (
                split,
                str(report[split]["entities"]),
                f"{report[split]['precision']:.3f}",
                *(
                    f"{report[split][when][key]:.3f}"
                    for when in ("before", "after")
                    for key in ("confidence", "ece")
                ),
            )
            for split in ("dev", "test")
            if split in report
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise VokensError(
            f"The calibration lacks {error}: take a JSON file of 'spacy vokens calibrate'."
        ) from None
    # A pipeline's settings are stored with ten digits.
    if not math.isclose(fitted, ner.temperature, rel_tol=1e-6):
        raise VokensError(
            f"The calibration fitted a temperature of {fitted}, but the pipeline has "
            f"{ner.temperature}: take both from the same run of 'spacy vokens calibrate'."
        )
    if not rows:
        return _section("Confidence", text)
    header = ("Split", "Entities", "Precision", "Before", "ECE", "After", "ECE")
    return _section(
        "Confidence",
        f"{text} Before and after the temperature was fitted on dev: the mean confidence of the "
        "entities found, and the expected calibration error (ECE).",
        _table(header, rows, ("l", *"rrrrrr")),
    )


def _section(title: str, *paragraphs: str) -> str:
    return "\n\n".join((f"### {title}", *paragraphs))


def _table(
    header: Sequence[str], rows: Sequence[Sequence[str]], aligns: Aligns | None = None
) -> str:
    # The name of a source may have line breaks and bars.
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows]
    return MarkdownRenderer().table(cells, list(header), aligns)
