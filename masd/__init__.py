"""MASD: multi-scale artifact-aware self-supervised deepfake detection, as staged recipes."""

__version__ = "0.1.0"
