"""Recordings in, verdicts out."""
