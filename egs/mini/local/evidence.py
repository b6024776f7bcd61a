"""Second part of the evidence study: what tells copies of speakers and attacks that were never trained on?

Every family of statistics goes into a plain classifier that is fitted once for each speaker and attack left
out: trained on the other speakers and the other attacks, it judges that speaker's recordings against the
copies by the left-out attack (unseen) and by the others (seen). The scores of all speakers are pooled under
one threshold. Intervals resample source recordings. Nothing but the files given is read, which hold no eval.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from masd.cli import run
from masd.errors import MasdError
from masd.metrics.auc import auc
from masd.metrics.bootstrap import bootstrap_eers
from masd.metrics.eer import eer
from masd.stage.files import write_json

log = logging.getLogger("evidence")
BONA_FIDE = "-"
# sets of families that are judged together; a word stands for every family that begins with it
GROUPS = {
    "mel": "mel_mean mel_dev",
    "mel_all": "mel",
    "linear": "linear",
    "phase": "phase",
    "fine": "flux_bins phase_advance",
    "finer": "flux_bins phase_advance grain grain_split advance_multi",
    "shape": "waveform residual bispectrum",
    "plus": "flux_bins phase_advance phase_mixed lfcc waveform residual bispectrum",
    "source": "periodicity pitch_modulation residual waveform",
    "no_means": "mel_dev mel_modulation linear_high_dev linear_low_dev phase flux texture band_correlation "
    "periodicity pitch_modulation residual waveform bispectrum",
    "all": "mel linear lfcc phase pauses flux texture band_correlation periodicity pitch_modulation "
    "frame_lines residual waveform bispectrum handcrafted",
}


@dataclass
class Study:
    """Statistics of a set: who, what, from which recording, and the arrays (N, D) of each family."""

    source: np.ndarray
    speaker: np.ndarray
    attack: np.ndarray
    families: dict[str, np.ndarray]

    def matrix(self, words: str) -> np.ndarray:
        """Return the families that `words` name side by side, (N, D).

        Raises:
            MasdError: a word names none.
        """
        names: list[str] = []
        for word in words.split():
            found = [word] if word in self.families else [n for n in self.families if n.startswith(word)]
            if not found:
                raise MasdError(f"no family begins with {word!r}; there are {', '.join(self.families)}")
            names += [n for n in found if n not in names]
        return np.concatenate([self.families[n] for n in names], axis=1)


def load_study(path: Path) -> Study:
    """Read what evidence_features.py wrote."""
    with np.load(path) as data:
        known = {name: data[name] for name in ("source", "speaker", "attack")}
        return Study(**known, families={name: data[name] for name in data.files if name not in known})


@dataclass
class Extra:
    """Further training copies: features (M, D), what they are, whether the attacks stay in training."""

    x: np.ndarray
    study: Study
    with_attacks: bool


# kinds of masd.vocoders.wide that share their synthesis with an attack and so leave training with it
AKIN = {"A02": ("wide_world",), "A03": ("wide_griffin_lim",), "A04": ("wide_lpc",)}


def ridge(strength: float) -> Callable[[np.ndarray, np.ndarray, np.ndarray], Callable]:
    """Return a fit of least squares to +-1 on standardised features: a shrunk linear discriminant."""

    def fit(x: np.ndarray, bona: np.ndarray, weights: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        mean, dev = x.mean(0), x.std(0) + 1e-6
        z = np.clip((x - mean) / dev, -5, 5).astype(np.float64)
        w = weights / weights.sum()
        centre = w @ z
        z = z - centre
        target = np.where(bona, 1.0, -1.0)
        gram = (z * w[:, None]).T @ z
        beta = np.linalg.solve(gram + strength * np.eye(len(gram)), z.T @ (w * target))
        return lambda y: (np.clip((y - mean) / dev, -5, 5) - centre) @ beta

    return fit


def boosting(seed: int) -> Callable:
    """Return a fit of gradient-boosted shallow trees."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    def fit(x: np.ndarray, bona: np.ndarray, weights: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        model = HistGradientBoostingClassifier(
            max_iter=80,
            max_leaf_nodes=8,
            learning_rate=0.1,
            l2_regularization=1.0,
            max_bins=32,
            random_state=seed,
        )
        model.fit(x, bona, sample_weight=weights)
        return model.decision_function

    return fit


def given(inner: Callable, split: int, strength: float = 1.0) -> Callable:
    """Return a fit on what the first `split` features hold beyond what the others predict of them.

    The prediction is a ridge regression on bona fide training speech: how loud, how voiced, how high a
    recording is says much of its statistics and nothing of its origin.
    """

    def fit(x: np.ndarray, bona: np.ndarray, weights: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        mean, dev = x[bona].mean(0), x[bona].std(0) + 1e-6
        scale = lambda y: np.clip((y - mean) / dev, -5, 5).astype(np.float64)  # noqa: E731
        z = scale(x[bona])
        content = z[:, split:]
        gram = content.T @ content / len(z) + strength * np.eye(content.shape[1])
        slope = np.linalg.solve(gram, content.T @ z[:, :split] / len(z))
        rest = lambda y: scale(y)[:, :split] - scale(y)[:, split:] @ slope  # noqa: E731
        model = inner(rest(x), bona, weights)
        return lambda y: model(rest(y))

    return fit


def quadratic(strength: float) -> Callable:
    """Return the ridge on features and their squares: bona fide may lie between attacks."""
    inner = ridge(strength)

    def fit(x: np.ndarray, bona: np.ndarray, weights: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        mean, dev = x[bona].mean(0), x[bona].std(0) + 1e-6

        def both(y: np.ndarray) -> np.ndarray:
            z = np.clip((y - mean) / dev, -5, 5)
            return np.concatenate([z, z * z], axis=1)

        model = inner(both(x), bona, weights)
        return lambda y: model(both(y))

    return fit


def one_class(strength: float) -> Callable:
    """Return the log-likelihood of a Gaussian of bona fide speech, its covariance shrunk to the diagonal."""

    def fit(x: np.ndarray, bona: np.ndarray, weights: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        mean, dev = x[bona].mean(0), x[bona].std(0) + 1e-6
        z = np.clip((x[bona] - mean) / dev, -5, 5).astype(np.float64)
        inverse = np.linalg.inv(z.T @ z / len(z) + strength * np.eye(z.shape[1]))

        def score(y: np.ndarray) -> np.ndarray:
            z = np.clip((y - mean) / dev, -5, 5)
            return -np.einsum("ni,ij,nj->n", z, inverse, z)

        return score

    return fit


def svm(strength: float) -> Callable:
    """Return a fit of an RBF support vector machine, gamma by the mean squared distance."""
    from sklearn.svm import SVC

    def fit(x: np.ndarray, bona: np.ndarray, weights: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        mean, dev = x.mean(0), x.std(0) + 1e-6
        scale = lambda y: np.clip((y - mean) / dev, -5, 5)  # noqa: E731
        z = scale(x)
        model = SVC(C=strength, gamma=1 / (2 * z.var(0).sum()), cache_size=500)
        model.fit(z, bona, sample_weight=weights / weights.mean())
        return lambda y: model.decision_function(scale(y))

    return fit


def balance(attack: np.ndarray, speaker: np.ndarray) -> np.ndarray:
    """Return weights (N,): half for bona fide, the rest equal for each attack; speakers equal within each."""
    weights = np.zeros(len(attack))
    attacks = sorted(set(attack) - {BONA_FIDE})
    for name in set(attack):
        share = 0.5 if name == BONA_FIDE else 0.5 / len(attacks)
        speakers = set(speaker[attack == name])
        for who in speakers:
            cell = (attack == name) & (speaker == who)
            weights[cell] = share / len(speakers) / cell.sum()
    return weights * len(attack)


def plan_of(study: Study, quick: bool) -> list[tuple[str, list[str]]]:
    """Return the folds as (attack, speakers) left out: every attack with every speaker, or with two of them.

    `quick` is what the networks of evidence_networks.py are trained for: one training an attack, the speakers
    dealt out in turn.
    """
    attacks, speakers = sorted(set(study.attack) - {BONA_FIDE}), sorted(set(study.speaker))
    if quick:
        turn = [speakers[k % len(speakers)] for k in range(0, 2 * len(attacks))]
        return [(out, [turn[k], turn[k + len(attacks)]]) for k, out in enumerate(attacks)]
    return [(out, [who]) for out in attacks for who in speakers]


def leave_out(
    x: np.ndarray, study: Study, fit: Callable, plan: list[tuple[str, list[str]]], more: Extra | None = None
) -> dict[str, np.ndarray]:
    """Return {left-out attack: scores (N,)}: each by a model of the other speakers and the other attacks.

    NaN where the plan tests nothing. `more` adds training copies, of the other speakers only and of no kind
    that is akin to the left-out attack.
    """
    scores = {out: np.full(len(x), np.nan) for out, _ in plan}
    for out, speakers in plan:
        test = np.isin(study.speaker, speakers)
        use = ~test & (study.attack != out)
        if more is not None and not more.with_attacks:
            use &= study.attack == BONA_FIDE
        train, attack, speaker = x[use], study.attack[use], study.speaker[use]
        if more is not None:
            keep = ~np.isin(more.study.speaker, speakers) & ~np.isin(more.study.attack, AKIN.get(out, ()))
            train = np.concatenate([train, more.x[keep]])
            attack = np.concatenate([attack, more.study.attack[keep]])
            speaker = np.concatenate([speaker, more.study.speaker[keep]])
        model = fit(train, attack == BONA_FIDE, balance(attack, speaker))
        scores[out][test] = model(x[test])
    return scores


def transfer(x: np.ndarray, study: Study, y: np.ndarray, fit: Callable) -> dict[str, np.ndarray]:
    """Return {left-out attack: scores (M,) of another set} by models of all of `study` but that attack."""
    scores = {}
    for out in sorted(set(study.attack) - {BONA_FIDE}):
        use = study.attack != out
        weights = balance(study.attack[use], study.speaker[use])
        scores[out] = fit(x[use], study.attack[use] == BONA_FIDE, weights)(y)
    return scores


def judge(scores: dict[str, np.ndarray], study: Study, resamples: int, seed: int) -> dict[str, Any]:
    """Return error rates: of each left-out attack, their mean and its interval, and of seen attacks."""
    bona = study.attack == BONA_FIDE
    draws, result, own = [], {"unseen": {}, "auc": {}, "known": {}}, []
    seen: dict[str, list[float]] = {b: [] for b in scores}
    for out, score in scores.items():
        known = ~np.isnan(score)
        use = known & (bona | (study.attack == out))
        result["unseen"][out] = eer(score[use & bona], score[use & ~bona])[0]
        result["auc"][out] = auc(score[use & bona], score[use & ~bona])
        draws.append(bootstrap_eers(score[use], ~bona[use], study.source[use], resamples, seed))
        for b in scores.keys() - {out}:
            seen[b].append(eer(score[known & bona], score[known & (study.attack == b)])[0])
        for who in sorted(set(study.speaker[known])):
            here = use & (study.speaker == who)
            own.append(eer(score[here & bona], score[here & ~bona])[0])
    mean = np.nanmean(draws, axis=0)  # small sets: a draw may hold no copy by an attack
    result["mean"] = float(np.mean(list(result["unseen"].values())))
    result["low"], result["high"] = (float(q) for q in np.nanquantile(mean, [0.025, 0.975]))
    result["mean_auc"] = float(np.mean(list(result["auc"].values())))
    result["known"] = {b: float(np.mean(rates)) for b, rates in seen.items()}
    result["seen"] = float(np.mean(list(result["known"].values())))
    result["own_threshold"] = float(np.mean(own))
    return result


def normalise(x: np.ndarray, study: Study, how: str) -> np.ndarray:
    """Return features normalised by `how`: none, own, speaker or bona_fide.

    `own` takes off the utterance's median over its figures; `speaker` the mean over a speaker's recordings
    and copies together, which needs no labels but many recordings; `bona_fide` the mean of the speaker's
    recordings: with enrolled genuine speech. The last two divide by the deviation as well.
    """
    if how == "none":
        return x
    if how == "own":
        return x - np.median(x, axis=1, keepdims=True)
    y = x.copy()
    for who in set(study.speaker):
        here = study.speaker == who
        of = here & (study.attack == BONA_FIDE) if how == "bona_fide" else here
        y[here] = (x[here] - x[of].mean(0)) / (x[of].std(0) + 1e-6)
    return y


def shifts(study: Study) -> dict[str, dict[str, float]]:
    """Return for each family and attack how far copies move from their own source: AUC-like d' in pairs.

    The median over the family's figures of |mean of (copy - source)| / deviation of (copy - source), and the
    highest tenth's mean.
    """
    found: dict[str, dict[str, float]] = {}
    place = {s: k for k, s in enumerate(study.source) if study.attack[k] == BONA_FIDE}
    for name, x in study.families.items():
        found[name] = {}
        for attack in sorted(set(study.attack) - {BONA_FIDE}):
            copies = [k for k in np.flatnonzero(study.attack == attack) if study.source[k] in place]
            d = x[copies] - x[[place[study.source[k]] for k in copies]]
            size = np.sort(np.abs(d.mean(0)) / (d.std(0) + 1e-9))
            found[name][attack] = float(size[-max(1, len(size) // 10) :].mean())
    return found


def evidence(
    features: Path,
    out: Path,
    sets: list[str] | None = None,
    classifier: str = "ridge",
    strength: float = 0.1,
    norm: str = "none",
    beyond: str = "",
    wide: Path | None = None,
    with_attacks: bool = True,
    quick: bool = False,
    test: Path | None = None,
    resamples: int = 500,
    seed: int = 0,
) -> None:
    """Print and write the table of error rates on left-out speakers and attacks.

    Args:
        features: npz that evidence_features.py wrote.
        out: JSON of all figures.
        sets: names of families or of `GROUPS`, or words that families begin with (several in quotes); by
            default every family and every group.
        classifier: ridge, quadratic, one_class, boosting or svm.
        strength: of the ridge (0.1), or C of the SVM.
        norm: none, own, speaker or bona_fide (see `normalise`).
        beyond: families whose prediction is taken off first (see `given`), e.g. "mel_mean mel_dev".
        wide: npz of random copies (evidence_wide.py) that are trained on as well.
        with_attacks: whether the other attacks are trained on; false for the random copies alone.
        quick: leave out two speakers an attack rather than each in turn, as the networks do.
        test: npz of the dev set, which models of all train speakers judge in place of each other's speakers.
        resamples: draws of source recordings.
        seed: of the draws and trees.
    """
    fits: dict[str, Callable[[], Callable]] = {
        "ridge": lambda: ridge(strength),
        "quadratic": lambda: quadratic(strength),
        "one_class": lambda: one_class(strength),
        "boosting": lambda: boosting(seed),
        "svm": lambda: svm(strength),
    }
    norms = ("none", "own", "speaker", "bona_fide")
    if classifier not in fits or norm not in norms:
        raise MasdError(f"--classifier takes {', '.join(fits)}, --norm {', '.join(norms)}")
    study, other = load_study(features), load_study(wide) if wide else None
    judged = load_study(test) if test else study
    rows = {}
    print_row("family", None)
    for name in sets or [*study.families, *GROUPS]:
        words = GROUPS.get(name, name)
        fit, size, more = fits[classifier](), study.matrix(words).shape[1], None
        if beyond:
            fit, words = given(fit, size), f"{words} {beyond}"
        x = normalise(study.matrix(words), study, norm)
        if other is not None:
            more = Extra(normalise(other.matrix(words), other, norm), other, with_attacks)
        if test:
            scores = transfer(x, study, normalise(judged.matrix(words), judged, norm), fit)
        else:
            scores = leave_out(x, study, fit, plan_of(study, quick), more)
        rows[name] = judge(scores, judged, resamples, seed) | {"dim": size}
        print_row(name, rows[name])
    settings = {
        "features": str(features),
        "classifier": classifier,
        "strength": strength,
        "norm": norm,
        "beyond": beyond,
        "wide": str(wide) if wide else "",
        "with_attacks": with_attacks,
        "quick": quick,
        "test": str(test) if test else "",
    }
    write_json(out, settings | {"rows": rows, "shifts": shifts(study)})


def print_row(name: str, row: dict[str, Any] | None) -> None:
    """Print a row of `judge` in per cent, or the heading.

    `own`: with one threshold a speaker; by attack: unseen, and in brackets seen in training.
    """
    if row is None:
        print(f"| {name} | D | seen | unseen | 95 % | AUC | own | by attack |")
        print("|---|---:|---:|---:|---|---:|---:|---|")
        return
    attacks = ", ".join(
        f"{a} {100 * rate:.1f} ({100 * row['known'][a]:.1f})" for a, rate in row["unseen"].items()
    )
    mean, low, high, seen, own = (
        f"{100 * row[key]:.1f}" for key in ("mean", "low", "high", "seen", "own_threshold")
    )
    left = f"| {name} | {row['dim']} | {seen} | {mean} | {low} to {high} "
    print(f"{left}| {row['mean_auc']:.3f} | {own} | {attacks} |", flush=True)


if __name__ == "__main__":
    run(evidence, output="")
