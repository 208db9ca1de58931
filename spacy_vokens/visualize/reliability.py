"""Reliability diagrams: how often an entity is right, by how sure it is called."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO

import numpy as np
from numpy.typing import ArrayLike

from ..metrics.calibration import calibration_error, reliability


def require_matplotlib() -> None:
    """Ask for what the diagrams are drawn with.

    raises ImportError: naming the extra that it comes with.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError(
            "Plots need matplotlib: install it with 'spacy-vokens[experiments]'."
        ) from None


def draw_reliability(diagrams: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> bytes:
    """Draw one diagram beside the other, as SVG.

    diagrams: confidences (n,) and whether they are right (n,), by the title of the diagram.
    raises ImportError: as `require_matplotlib` does.
    """
    require_matplotlib()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from ..experiments.plots import COLORS, STYLE

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.4 * len(diagrams), 3.6))
        panels = figure.subplots(1, len(diagrams), squeeze=False, sharey=True)[0]
        for axes, (title, (confidences, is_right)) in zip(panels, diagrams.items(), strict=True):
            bins = [of_bin for of_bin in reliability(confidences, is_right) if of_bin.n]
            lows = np.array([of_bin.low for of_bin in bins])
            widths = np.array([of_bin.high for of_bin in bins]) - lows
            accuracy = [of_bin.accuracy for of_bin in bins]
            axes.bar(lows, accuracy, widths, align="edge", color=COLORS[0], edgecolor="white")
            axes.plot([0, 1], [0, 1], "--", color="#777777", linewidth=0.8)
            means = [of_bin.confidence for of_bin in bins]
            axes.plot(means, accuracy, "D", color=COLORS[1], markersize=4)
            for of_bin in bins:
                place = ((of_bin.low + of_bin.high) / 2, of_bin.accuracy)
                axes.annotate(
                    str(of_bin.n),
                    place,
                    (0, 2),
                    textcoords="offset points",
                    ha="center",
                    fontsize=7,
                )
            error = calibration_error(confidences, is_right)
            axes.set_title(f"{title}\nECE {error:.3f}", loc="left")
            axes.set_xlabel("confidence")
            axes.set_xlim(0, 1)
            axes.set_ylim(0, 1.08)
        panels[0].set_ylabel("share that is right")
        figure.set_layout_engine("constrained")
        file = BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()
