"""The model that comes with the package; its card is plus/README.md."""

from __future__ import annotations

from pathlib import Path

PLUS = Path(__file__).resolve().parent / "plus"
"""Model folder of `--system plus`, trained on the mini corpus, size report."""
