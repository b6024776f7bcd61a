"""Gate of the corpus: can features that are no trace of synthesis tell spoofed from bona fide speech?

Length, level, peak, mean, near-zero samples, silence, bandwidth, noise floor and polarity of every utterance
go into a logistic regression, for each attack against the bona fide recordings that it copies; the area under
the ROC curve over held-out source recordings must be near 0.5: its 95 % interval must lie below 0.65, in each
set and over all sets together.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from masd.audio import load_utterance
from masd.cli import run
from masd.data.folder import DataFolder, read_folder
from masd.errors import MasdError
from masd.files import digest, input_digest, read_json, write_json
from masd.metrics.auc import auc
from masd.seeding import generator

log = logging.getLogger("nuisance_probe")
NAMES = (
    *("seconds", "level", "peak", "mean", "near_zero"),
    *("silence", "bandwidth", "roll_off", "noise_floor", "polarity"),
)
FOLDS, RESAMPLES = 5, 1000
VERSION = 2  # raise it when the same audio comes to give other figures
ENOUGH = 50  # source recordings; with fewer the interval is too wide to judge by


def nuisance_probe(
    data: list[Path], out: Path, bound: float = 0.65, seed: int = 0, strict: bool = True
) -> None:
    """Probe every attack, print the table, and stop with an error where a cue is found.

    Args:
        data: data folders with utt2lab, utt2attack and utt2source.
        out: where the result goes as JSON.
        bound: the upper end of every 95 % interval must lie below this.
        seed: of folds and bootstrap.
        strict: false prints the table and goes on.
    """
    work = digest([input_digest(path) for path in data], VERSION, bound, seed)
    if not (out.is_file() and read_json(out).get("digest") == work):
        write_json(
            out, {"bound": bound, "features": NAMES, "rows": probe_all(data, bound, seed), "digest": work}
        )
    rows = read_json(out)["rows"]
    print(f"{'set':8}{'attack':8}{'sources':>8}{'AUC':>7}   95 % interval   strongest feature")
    for row in rows:
        print(
            f"{row['set']:8}{row['attack']:8}{row['sources']:8d}{row['auc']:7.3f}   "
            f"{row['low']:.3f} - {row['high']:.3f}   {row['strongest']} {row['strongest_auc']:.3f}"
            f"{'' if row['passed'] else '  above the bound' if row['enough'] else '  too few to judge'}"
        )
    failed = [row for row in rows if row["enough"] and not row["passed"]]
    if failed and strict:
        worst = max(failed, key=lambda row: row["high"])
        raise MasdError(
            f"{len(failed)} of {len(rows)} probes tell spoofed speech by cues other than synthesis: "
            f"{worst['attack']} in {worst['set']}, AUC up to {worst['high']:.3f}, bound {bound}; see {out}; "
            f"mend conf/condition.yaml or go on with --strict false"
        )


def probe_all(data: list[Path], bound: float, seed: int) -> list[dict[str, Any]]:
    """Return a row for each attack over all sets together, then one for each attack of each set."""
    pairs: dict[tuple[str, str], np.ndarray] = {}
    for path in data:
        pairs |= probe_pairs(read_folder(path))
    attacks = sorted({attack for _, attack in pairs})
    whole = {("all", a): np.concatenate([x for (_, b), x in pairs.items() if b == a]) for a in attacks}
    rows = []
    for (name, attack), x in (whole | pairs).items():
        row = {"set": name, "attack": attack, "sources": len(x)}
        row |= probe(x, f"{name} {attack}", seed)
        rows.append(row | {"enough": len(x) >= ENOUGH, "passed": row["high"] < bound})
    return rows


def probe_pairs(folder: DataFolder) -> dict[tuple[str, str], np.ndarray]:
    """Return {(set, attack): features (P, 2, F) of each copied recording, bona fide first, and its copy}.

    Raises:
        MasdError: the folder does not say what is spoofed by what and from which source.
    """
    for name in ("utt2lab", "utt2attack", "utt2source"):
        if name not in folder.tables:
            raise MasdError(f"{folder.path}: no {name}; the probe needs it")
    features = {utt: describe(load_utterance(folder, utt)) for utt in folder.utts}
    source, attack = folder.tables["utt2source"], folder.tables["utt2attack"]
    bona = {source[u]: u for u in folder.utts if folder.tables["utt2lab"][u] == "bonafide"}
    found = {}
    for name in sorted(set(attack.values()) - {"-"}):
        chosen = [(bona[source[u]], u) for u in folder.utts if attack[u] == name and source[u] in bona]
        if len(chosen) < 2:
            raise MasdError(f"{folder.path}: attack {name} has {len(chosen)} copies with a bona fide partner")
        found[folder.path.name, name] = np.array([[features[b], features[s]] for b, s in chosen])
    return found


def describe(x: np.ndarray, rate: int = 16000) -> np.ndarray:
    """Return the features of an utterance (N,), in the order of `NAMES`.

    Seconds; RMS level and peak over RMS in dB; |mean| over RMS in dB, -80 at least; share of samples within
    2 steps of 16 bits around 0; share of 20 ms frames 30 dB or more under the loudest twentieth; in kHz the
    highest frequency within 60 dB of the maximum of the long-term spectrum, and the one that has 99 % of the
    energy below it; level of the quietest twentieth of the frames over the RMS, in dB; skewness of the slope
    of 300 to 1000 Hz, which a wire turned round would negate.
    """
    from scipy.signal import butter, sosfiltfilt, welch
    from scipy.stats import skew

    x = x.astype(np.float64)
    level = np.sqrt(np.mean(x**2)) + 1e-12
    size = rate // 50
    frames = x[: len(x) // size * size].reshape(-1, size)
    energy = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-12)
    hertz, power = welch(x, rate, nperseg=min(512, len(x)))
    below = np.cumsum(power)
    return np.array(
        [
            len(x) / rate,
            20 * np.log10(level),
            20 * np.log10(np.abs(x).max() / level),
            20 * np.log10(max(abs(x.mean()) / level, 1e-4)),
            np.mean(np.abs(x) <= 2 / 32768),
            np.mean(energy < np.quantile(energy, 0.95) - 30),
            hertz[np.nonzero(power >= power.max() * 1e-6)[0][-1]] / 1000,
            hertz[np.searchsorted(below, 0.99 * below[-1])] / 1000,
            np.quantile(energy, 0.05) - 20 * np.log10(level),
            skew(np.diff(sosfiltfilt(butter(2, (300, 1000), "bandpass", fs=rate, output="sos"), x))),
        ]
    )


def probe(x: np.ndarray, name: str, seed: int) -> dict[str, Any]:
    """Return the AUC of a logistic regression on pairs, its 95 % interval and the strongest single feature.

    Args:
        x: features (P, 2, F) of P sources, bona fide first.
        name: of the random streams.
        seed: their seed.

    Folds and bootstrap go by source, so that no pair is on both sides. AUC: of telling the spoofed.
    """
    rng = generator(seed, "probe", name)
    fold = rng.permutation(len(x)) % FOLDS
    scores = np.zeros(x.shape[:2])
    for k in range(min(FOLDS, len(x))):
        scores[fold == k] = fit(x[fold != k])(x[fold == k])
    draws = rng.integers(len(x), size=(RESAMPLES, len(x)))
    boot = [auc(scores[d, 1], scores[d, 0]) for d in draws]
    single = [auc(x[:, 1, f], x[:, 0, f]) for f in range(x.shape[2])]
    best = int(np.argmax(np.abs(np.array(single) - 0.5)))
    return {
        "auc": auc(scores[:, 1], scores[:, 0]),
        "low": float(np.quantile(boot, 0.025)),
        "high": float(np.quantile(boot, 0.975)),
        "strongest": NAMES[best],
        "strongest_auc": float(single[best]),
        "single": dict(zip(NAMES, map(float, single), strict=True)),
    }


def fit(x: np.ndarray) -> Any:
    """Return the decision function of a standardised logistic regression fitted on pairs (P, 2, F)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(x.reshape(-1, x.shape[2]), np.tile([0, 1], len(x)))
    return lambda y: model.decision_function(y.reshape(-1, y.shape[2])).reshape(y.shape[:2])


if __name__ == "__main__":
    run(nuisance_probe, output="")
