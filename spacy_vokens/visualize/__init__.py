"""What people look at: `render`, the counterpart of displaCy's, pages, plots, explanations."""

from .render import render, to_html

__all__ = ["render", "to_html"]
