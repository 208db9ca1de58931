"""Time and memory of loading a pipeline with images, beside one that tags from text alone.

    python benchmarks/startup.py GROUNDED TEXT_ONLY [--turns 7] [--json FILE]

Each turn loads each pipeline once, in a process of its own that has imported all libraries before.
Time is that of `spacy.load` by the clock, on one thread; memory is what the process holds more
after it. `seconds_ratio` and `resident_ratio` are the medians of GROUNDED's to TEXT_ONLY's. The
project's `training/PROFILE/NoFusion/model-best` still has the retriever: take it out with
`nlp.remove_pipe("voken_retriever")` and save the rest.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
from pathlib import Path

import spacy
import torch
from wasabi import msg

from spacy_vokens.files import file_written_aside

# Imports what loading would import, so that only the pipeline's own files are measured.
LOAD = """
import json, resource, sys, time
import spacy, spacy_transformers, spacy_vokens, torch
spacy.blank("en")
torch.set_num_threads(1)


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


before, start = resident(), time.perf_counter()
nlp = spacy.load(sys.argv[1])
print(json.dumps([time.perf_counter() - start, resident() - before]))
"""


def load(pipeline: str) -> tuple[float, float]:
    """Return the seconds that loading a pipeline takes, and the MB that it then holds."""
    command = [sys.executable, "-c", LOAD, pipeline]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, n_bytes = json.loads(output.splitlines()[-1])
    return seconds, n_bytes / 1e6


def main() -> None:
    """Run the turns, print a table and write the figures as JSON if wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("grounded", help="folder of a pipeline, or the name of a package")
    parser.add_argument("text_only", help="the same without images")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    names = {"grounded": args.grounded, "text_only": args.text_only}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    # The first turn reads the files from the disk.
    for turn in range(args.turns + 1):
        for name, pipeline in names.items():
            figures = load(pipeline)
            if turn:
                found[name].append(figures)
    report: dict[str, object] = {
        "versions": {"spacy": spacy.__version__, "torch": torch.__version__}
    }
    rows = []
    for column, (what, unit) in enumerate((("seconds", "s"), ("resident", "MB"))):
        values = {name: [figures[column] for figures in found[name]] for name in names}
        ratios = [a / b for a, b in zip(*values.values(), strict=True)]
        report[f"{what}_ratio"] = statistics.median(ratios)
        report[what] = values
        medians = [f"{statistics.median(v):.2f} {unit}" for v in values.values()]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        rows.append((what, *medians, f"{statistics.median(ratios):.2f}", spread))
    header = ("", "Grounded", "Text only", "Ratio", "Single turns")
    msg.table(rows, header=header, divider=True, aligns=("l", "r", "r", "r", "r"))
    if args.json is not None:
        report["machine"] = platform.processor() or platform.machine()
        with file_written_aside(args.json) as aside:
            aside.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        msg.good("Saved the figures", str(args.json))


if __name__ == "__main__":
    main()
