from __future__ import annotations

from tests.visualize.conftest import browser

__all__ = ["browser"]
