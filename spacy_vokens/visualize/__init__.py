"""HTML pages and plots: annotated texts, explanations, image pools, corpus reports, calibration."""

from .render import render, to_html

__all__ = ["render", "to_html"]
