"""Reliability diagrams: the share of correct entities by confidence."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..scoring.calibration import calibration_error, reliability

# A fixed salt makes the ids inside an SVG the same for the same figure; "none" keeps text as text.
STYLE: Any = {"svg.hashsalt": "spacy-vokens", "svg.fonttype": "none", "font.size": 9}
BAR_COLOR, MEAN_COLOR, LINE_COLOR = "#3d6fd9", "#d9783d", "#777777"


def require_matplotlib() -> None:
    """Check that matplotlib is installed, before work whose result is to be drawn.

    Raises:
        ImportError: If it is not; the message names the extra to install.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError("Plots need matplotlib: install 'spacy-vokens[visualize]'.") from None


def draw_reliability(diagrams: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> bytes:
    """Draw reliability diagrams side by side as SVG.

    A bar per confidence bin shows the share of correct entities, with their number above it and the
    mean confidence as a diamond. ECE is the expected calibration error (Guo et al. 2017).

    Args:
        diagrams: By title, the confidences (n,) and whether each entity is correct (n,).

    Returns:
        The SVG, the same for the same figures.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    require_matplotlib()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.4 * len(diagrams), 3.6))
        panels = figure.subplots(1, len(diagrams), squeeze=False, sharey=True)[0]
        for axes, (title, (confidences, is_correct)) in zip(panels, diagrams.items(), strict=True):
            bins = [each for each in reliability(confidences, is_correct) if each.n]
            lows = np.array([each.low for each in bins])
            widths = np.array([each.high for each in bins]) - lows
            accuracy = [each.accuracy for each in bins]
            axes.bar(lows, accuracy, widths, align="edge", color=BAR_COLOR, edgecolor="white")
            axes.plot([0, 1], [0, 1], "--", color=LINE_COLOR, linewidth=0.8)
            means = [each.confidence for each in bins]
            axes.plot(means, accuracy, "D", color=MEAN_COLOR, markersize=4)
            for each in bins:
                axes.annotate(
                    str(each.n),
                    ((each.low + each.high) / 2, each.accuracy),
                    (0, 2),
                    textcoords="offset points",
                    ha="center",
                    fontsize=7,
                )
            error = calibration_error(confidences, is_correct)
            axes.set_title(f"{title}\nECE {error:.3f}", loc="left")
            axes.set_xlabel("confidence")
            axes.set_xlim(0, 1)
            axes.set_ylim(0, 1.08)
        panels[0].set_ylabel("share of correct entities")
        figure.set_layout_engine("constrained")
        file = BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()
