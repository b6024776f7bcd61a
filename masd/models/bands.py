"""The three frequency bands of the multi-scale encoder (Sec. II-A.1, Eq. 1)."""

from __future__ import annotations

import numpy as np

from masd.errors import MasdError

EDGES_HZ = (1000.0, 4000.0)
"""Where low ends and mid ends; high ends with the mel filter bank."""

NAMES = {"multi": ("low", "mid", "high"), "single": ("full",)}


def mel_centres(n_mels: int = 64, f_min: float = 0.0, f_max: float = 8000.0) -> np.ndarray:
    """Return the centre frequencies of HTK mel filters, shape (n_mels,), in Hz, rising.

    HTK: m = 2595 log10(1 + f / 700); centres are evenly spaced in m between f_min and f_max.
    """
    low, high = 2595.0 * np.log10(1.0 + np.array([f_min, f_max]) / 700.0)
    mels = np.linspace(low, high, n_mels + 2)[1:-1]
    return 700.0 * (10.0 ** (mels / 2595.0) - 1.0)


def band_ranges(
    bands: str = "multi", n_mels: int = 64, f_min: float = 0.0, f_max: float = 8000.0
) -> list[tuple[int, int]]:
    """Return each band's half-open range of mel bins; together they cover all bins once.

    A bin belongs to the band its centre lies in: 0-1, 1-4, 4-8 kHz hold 22, 27 and 15 of 64 bins. `multi` is
    for the three bands, `single` for one range over the full band; edges of the filter bank are in Hz.

    Raises:
        MasdError: `bands` is neither word, or a band would hold no bin.
    """
    if bands == "single":
        return [(0, n_mels)]
    if bands != "multi":
        raise MasdError(f"bands: {bands!r} is neither multi nor single")
    cuts = np.searchsorted(mel_centres(n_mels, f_min, f_max), EDGES_HZ).tolist()
    ranges = [(0, cuts[0]), (cuts[0], cuts[1]), (cuts[1], n_mels)]
    if any(stop <= start for start, stop in ranges):
        raise MasdError(
            f"{n_mels} mel bins from {f_min:g} to {f_max:g} Hz leave a band empty (edges 1 and 4 kHz); "
            "use bands: single or a filter bank that reaches above 4 kHz"
        )
    return ranges
