"""`spacy vokens calibrate`: make a tagger's confidences mean what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from wasabi import msg


def calibrate(
    model: Annotated[str, typer.Argument(help="Trained pipeline with visual_ner")],
    dev: Annotated[
        Path, typer.Argument(help="The .spacy file to fit on: not of training", exists=True)
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the calibrated one")],
    test: Annotated[
        Path | None, typer.Option(help="The .spacy file to measure on as well", exists=True)
    ] = None,
    metrics: Annotated[
        Path | None, typer.Option(help="JSON file for the figures", dir_okay=False)
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="SVG file of the reliability diagrams", dir_okay=False)
    ] = None,
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU id, or -1 for CPU")] = -1,
) -> None:
    """Fit the temperature of a pipeline's confidences on dev, and store the pipeline with it.

    The entities stay the same; only how sure they are called changes. ECE is the expected
    calibration error: by how much confidence and accuracy differ.
    """
    import spacy

    from ..corpus.calibrate import TEMPERATURES, find_entities, fit_temperature
    from ..corpus.readers import Corpus
    from ..files import file_written_aside, sha256_file, sole_writer
    from ..pipeline.loading import find_tagger
    from ..pipeline.save import save_pipeline
    from ..visualize.reliability import draw_reliability, require_matplotlib
    from .device import use_device

    use_device(gpu_id)
    try:
        if plot is not None:
            # Before the work, not after it.
            require_matplotlib()
        with sole_writer(output):
            nlp = spacy.load(model)
            ner = find_tagger(nlp)
            if ner is None:
                raise ValueError(f"{model} has no visual_ner.")
            found, rows = {}, []
            before = after = ner.temperature
            report: dict[str, Any] = {"model": model, "was": before}
            for name, path in {"dev": dev, "test": test}.items():
                if path is None:
                    continue
                found[name] = find_entities(nlp, ner, Corpus(path)(nlp))
                right = found[name].is_right
                if name == "dev":
                    if found["dev"].is_mixed:
                        ner.cfg["temperature"] = after = fit_temperature(found["dev"])
                    else:
                        share = "all" if right.any() else "none"
                        msg.warn(
                            f"The temperature stays {before:.2f}: of {len(right)} entities found "
                            f"in {path} {share} are right. Take a corpus with both."
                        )
                    if after in (TEMPERATURES[0], TEMPERATURES[-1]):
                        msg.warn(f"The best temperature, {after:.2f}, is the last one tried.")
                    report["temperature"] = after
                if not len(right):
                    msg.warn(f"{model} finds no entity in {path}: there is nothing to measure.")
                    continue
                report[name] = {
                    "corpus": str(path),
                    "corpus_sha256": sha256_file(path),
                    "entities": len(right),
                    "precision": float(right.mean()),
                }
                for when, temperature in (("before", before), ("after", after)):
                    measured = found[name].measure(temperature)
                    report[name][when] = measured
                    figures = [*measured.values(), report[name]["precision"]]
                    numbers = [f"{x:.3f}" for x in figures]
                    rows.append((f"{name}, {when}", f"{temperature:.2f}", *numbers))
            save_pipeline(nlp, output)
        if metrics is not None:
            with file_written_aside(metrics) as aside:
                aside.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        if plot is not None:
            shown = "test" if test else "dev"
            diagrams = {
                f"{shown}, temperature {t:.2f}": (
                    found[shown].confidences(t),
                    found[shown].is_right,
                )
                for t in dict.fromkeys((before, after))
            }
            with file_written_aside(plot) as aside:
                aside.write_bytes(draw_reliability(diagrams))
    except (ImportError, OSError, ValueError) as error:
        msg.fail(f"Could not calibrate {model} on {dev}", str(error), exits=1)
    header = ("", "Temperature", "ECE", "Log loss", "Confidence", "Precision")
    msg.table(rows, header=header, divider=True, aligns=("l", *"rrrrr"))
    msg.good(f"Temperature {after:.2f}", str(output))
