"""Data folders and feature archives."""
