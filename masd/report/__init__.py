"""Evaluation of score files, results pages and their plots."""
