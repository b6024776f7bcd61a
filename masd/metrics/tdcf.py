"""Tandem detection cost of a countermeasure in front of a speaker verifier (ASVspoof 2019 and 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from masd.data.sheets import read_text_of
from masd.errors import MasdError
from masd.metrics.eer import as_scores, det, eer


@dataclass(frozen=True)
class TandemCosts:
    """Priors of the three trial kinds and the costs of errors; the challenges' values.

    Attributes:
        p_target: prior of target trials; `p_nontarget` and `p_spoof` likewise.
        c_miss: cost of rejecting a target, by the verifier or by the countermeasure.
        c_fa: cost of accepting a nontarget.
        c_fa_spoof: cost of accepting a spoofed trial.
    """

    p_target: float = 0.9405
    p_nontarget: float = 0.0095
    p_spoof: float = 0.05
    c_miss: float = 1.0
    c_fa: float = 10.0
    c_fa_spoof: float = 10.0


@dataclass(frozen=True)
class AsvErrors:
    """The verifier's errors at its threshold: targets missed, nontargets and spoofs accepted (0 to 1)."""

    eer: float
    threshold: float
    p_miss: float
    p_fa: float
    p_fa_spoof: float


def read_asv_scores(path: str | Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (target, nontarget, spoof) scores of the challenge's ASV score file.

    Lines are `<attack or bonafide> <target|nontarget|spoof> <score>`.

    Raises:
        MasdError: the file is unreadable, a line has another form, or a kind is absent.
    """
    scores: dict[str, list[float]] = {"target": [], "nontarget": [], "spoof": []}
    for number, line in enumerate(read_text_of(path).splitlines(), start=1):
        fields = line.replace(",", " ").split()
        try:
            scores[fields[-2]].append(float(fields[-1]))
        except (IndexError, KeyError, ValueError):
            raise MasdError(
                f"{path}:{number}: not `<attack> <target|nontarget|spoof> <score>`: {line}"
            ) from None
    target, nontarget, spoof = (as_scores(values, f"{path}: ASV {kind}") for kind, values in scores.items())
    return target, nontarget, spoof


def asv_errors(target: ArrayLike, nontarget: ArrayLike, spoof: ArrayLike) -> AsvErrors:
    """Return the verifier's error rates at the threshold of its own EER (target against nontarget).

    A trial is accepted when its score is at or above the threshold.

    Raises:
        MasdError: a kind of trial is absent or a score is not finite.
    """
    rate, threshold = eer(target, nontarget)
    target, nontarget = np.asarray(target), np.asarray(nontarget)
    spoof = as_scores(spoof, "ASV spoof")
    return AsvErrors(
        eer=rate,
        threshold=threshold,
        p_miss=float((target < threshold).mean()),
        p_fa=float((nontarget >= threshold).mean()),
        p_fa_spoof=float((spoof >= threshold).mean()),
    )


def coefficients(asv: AsvErrors, form: str = "2019") -> tuple[float, float, float]:
    """Return (C0, C1, C2) of t-DCF(s) = C0 + C1 P_miss(s) + C2 P_fa(s).

    2019: C0 = 0, C1 = Ptar (Cmiss - Cmiss Pmiss_asv) - Pnon Cfa Pfa_asv, C2 = Cfa_spoof Pspoof Pfa_spoof_asv.
    2021: C0 = Ptar Cmiss Pmiss_asv + Pnon Cfa Pfa_asv, C1 = Ptar Cmiss - C0, C2 as above.

    Raises:
        MasdError: an unknown form, or a negative coefficient (the verifier is too weak for the measure).
    """
    costs = TandemCosts()
    c2 = costs.c_fa_spoof * costs.p_spoof * asv.p_fa_spoof
    missed = costs.p_target * costs.c_miss * asv.p_miss
    accepted = costs.p_nontarget * costs.c_fa * asv.p_fa
    c1 = costs.p_target * costs.c_miss - missed - accepted
    if form not in ("2019", "2021"):
        raise MasdError(f"t-DCF form {form} is not known; choose 2019 or 2021")
    if c1 < 0 or c2 < 0:
        raise MasdError("t-DCF is not defined with this speaker verifier: one of its weights is negative")
    return (missed + accepted if form == "2021" else 0.0), c1, c2


def min_tdcf(bona: ArrayLike, spoof: ArrayLike, asv: AsvErrors, form: str = "2019") -> tuple[float, float]:
    """Return the normalised minimum t-DCF at the challenges' costs, and its threshold on the scores.

    min_s (C0 + C1 P_miss(s) + C2 P_fa(s)) / (C0 + min(C1, C2)), see `coefficients`; 1 for a
    countermeasure that knows nothing.

    Args:
        bona: countermeasure scores of bona fide trials, higher is more bona fide.
        spoof: countermeasure scores of spoofed trials.
        asv: the verifier's errors.
        form: `2019` or `2021`.

    Raises:
        MasdError: a class is empty, a score is not finite, or see `coefficients`.
    """
    c0, c1, c2 = coefficients(asv, form)
    default = c0 + min(c1, c2)
    if default <= 0:
        raise MasdError("t-DCF cannot be normalised: the speaker verifier accepts no spoofed trial")
    frr, far, thresholds = det(bona, spoof)
    values = (c0 + c1 * frr + c2 * far) / default
    index = int(np.argmin(values))
    return float(values[index]), float(thresholds[index])
