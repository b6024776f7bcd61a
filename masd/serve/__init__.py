"""A page and a JSON API on this machine."""
