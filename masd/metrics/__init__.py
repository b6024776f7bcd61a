"""Metrics of spoofing countermeasures; scores are higher for bona fide speech everywhere."""
