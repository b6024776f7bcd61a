"""Entry points: `python3 -m masd.bin.<name> --help`."""
