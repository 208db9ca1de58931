"""What the card of a package says beside what spaCy writes from its meta."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from spacy.language import Language
from wasabi import MarkdownRenderer

from ..pipeline.loading import find_retriever, find_tagger

WHEN = ("before", "after")
Aligns = Sequence[Literal["l", "r", "c"]]
KEYS = ("confidence", "ece")


def complete_meta(
    nlp: Language,
    meta: dict[str, Any],
    scores: dict[str, Any] | None = None,
    calibration: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A package's meta, from which `spacy package` writes a README that is a whole model card.

    spaCy writes description, components, sources, labels and the scores of the dev part; the
    `notes` get what it leaves out: licences, pictures, a test part's scores by type, confidences.

    nlp: the pipeline to be packaged.
    meta: what its makers say of it; its own `notes`, as on intended use and limits, come first.
    scores: of `spacy vokens evaluate`, on entities.
    calibration: of `spacy vokens calibrate`.
    raises ValueError: where these are no such reports.
    """
    sections = [
        str(meta.get("notes", "")).strip(),
        _licences(meta.get("sources") or []),
        _pictures(nlp),
        _scores(scores),
        _confidence(nlp, calibration),
    ]
    performance = {
        name: value
        for name, value in nlp.meta.get("performance", {}).items()
        # Shown as if they were scores, of which more is better.
        if not name.endswith("_loss")
    }
    return meta | {"performance": performance, "notes": "\n\n".join(filter(None, sections))}


def _licences(sources: list[dict[str, str]]) -> str:
    rows = [(each["name"], each["license"]) for each in sources if each.get("license")]
    return _section("Licences of the sources", _table(("Source", "Licence"), rows)) if rows else ""


def _pictures(nlp: Language) -> str:
    retriever = find_retriever(nlp)
    if retriever is None or retriever.index is None:
        return ""
    index = retriever.index
    counts = Counter((record.source, record.licence) for record in index.records)
    rows = [(s or "not said", x or "not said", f"{n:,}") for (s, x), n in sorted(counts.items())]
    n_shown = len(index.thumbnails)
    stored = f"{n_shown:,} thumbnails" if n_shown else "no thumbnails"
    settings = f"`top_k` {retriever.top_k}, `threshold` {retriever.threshold}"
    return _section(
        "Pictures",
        f"Words are grounded in {len(index.records):,} pictures. The package has their keys, and "
        f"{stored}. Image encoder: `{index.meta['encoder']}`. Settings: {settings}.",
        _table(("Source", "Licence", "Pictures"), rows, ("l", "l", "r")),
    )


def _scores(report: dict[str, Any] | None) -> str:
    if report is None:
        return ""
    try:
        strict = report["strict"]
        rows = [
            (name, *(f"{100 * of[key]:.2f}" for key in "prf"), str(of["mentions"]))
            for name, of in (("all", strict), *strict["per_type"].items())
        ]
        said = f"`{Path(report['corpus']).name}`, {report['docs']:,} texts"
        of_data = f"SHA-256 {report['corpus_sha256'][:16]}"
    except (KeyError, TypeError) as error:
        raise ValueError(f"the scores lack {error}: 'spacy vokens evaluate' writes them.") from None
    return _section(
        "Scores by type",
        f"On {said} ({of_data}), in per cent, strict: bounds and label must both be right. What "
        "stands under Accuracy is of the part that the checkpoint was chosen on.",
        _table(("Type", "P", "R", "F1", "Mentions"), rows, ("l", *"rrrr")),
    )


def _confidence(nlp: Language, report: dict[str, Any] | None) -> str:
    ner = find_tagger(nlp)
    if ner is None:
        return ""
    text = (
        f"`Span._.confidence` is computed with the temperature {ner.temperature:.2f}"
        f"{' (not calibrated)' if ner.temperature == 1.0 else ''}."
    )
    if report is None:
        return _section("Confidence", text)
    try:
        fitted = float(report["temperature"])
        rows = [
            (
                part,
                str(report[part]["entities"]),
                f"{report[part]['precision']:.3f}",
                *(f"{report[part][when][key]:.3f}" for when in WHEN for key in KEYS),
            )
            for part in ("dev", "test")
            if part in report
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"the calibration lacks {error}: 'spacy vokens calibrate' writes it."
        ) from None
    # A pipeline's settings are stored with ten digits.
    if not math.isclose(fitted, ner.temperature, rel_tol=1e-6):
        raise ValueError(
            f"the calibration fitted a temperature of {fitted}, and the pipeline has "
            f"{ner.temperature}: 'spacy vokens calibrate' writes both."
        )
    if not rows:
        return _section("Confidence", text)
    header = ("Part", "Entities", "Precision", "Before", "ECE", "After", "ECE")
    return _section(
        "Confidence",
        f"{text} Before and after it was fitted on dev: the mean confidence of the entities "
        "found, and the expected calibration error (ECE).",
        _table(header, rows, ("l", *"rrrrrr")),
    )


def _section(title: str, *paragraphs: str) -> str:
    return "\n\n".join((f"### {title}", *paragraphs))


def _table(
    header: Sequence[str], rows: Sequence[Sequence[str]], aligns: Aligns | None = None
) -> str:
    # A source's name may hold anything.
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows]
    return MarkdownRenderer().table(cells, list(header), aligns)
