"""Synthetic labelled sets."""

from labelled_sets import alpha, dev, train  # noqa: F401
