"""The model that comes with the package; docs/model_card.md describes it."""

from __future__ import annotations

from pathlib import Path

PLUS = Path(__file__).resolve().parent / "plus"
"""Model folder of `--system plus`, trained on the mini corpus, size report."""
