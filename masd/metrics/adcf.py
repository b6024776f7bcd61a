"""Architecture-agnostic detection cost of a speaker verifier with or without a countermeasure (a-DCF)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from masd.errors import MasdError
from masd.metrics.eer import as_scores
from masd.metrics.tdcf import TandemCosts


def min_adcf(
    target: ArrayLike, nontarget: ArrayLike, spoof: ArrayLike, costs: TandemCosts | None = None
) -> tuple[float, float]:
    """Return the least normalised a-DCF of one score for verification and detection, and its threshold.

    a-DCF(s) = Cmiss Ptar P_miss(s) + Cfa Pnon P_fa,non(s) + Cfa_spoof Pspoof P_fa,spoof(s), over the
    lesser of Cmiss Ptar (reject all) and Cfa Pnon + Cfa_spoof Pspoof (accept all); H.-j. Shim et al.,
    Odyssey 2024. The costs are those of ASVspoof 5 by default. A trial is accepted above the threshold,
    and tied trials are rejected targets first.

    Args:
        target: scores of target trials, higher is more the claimed speaker's bona fide speech.
        nontarget: scores of other speakers' bona fide speech.
        spoof: scores of spoofed speech.
        costs: priors and costs.

    Raises:
        MasdError: a kind of trial is absent, a score is not finite, or a cost makes both defaults 0.
    """
    costs = costs or TandemCosts()
    kinds = [as_scores(target, "target"), as_scores(nontarget, "nontarget"), as_scores(spoof, "spoofed")]
    weights = (
        costs.c_miss * costs.p_target,
        costs.c_fa * costs.p_nontarget,
        costs.c_fa_spoof * costs.p_spoof,
    )
    default = min(weights[0], weights[1] + weights[2])
    if default <= 0:
        raise MasdError("a-DCF cannot be normalised: its costs or priors are 0")
    scores = np.concatenate(kinds)
    kind = np.repeat([0, 1, 2], [part.size for part in kinds])
    order = np.argsort(scores, kind="mergesort")
    shares = [np.concatenate([[0], np.cumsum(kind[order] == k)]) / kinds[k].size for k in range(3)]
    values = weights[0] * shares[0] + weights[1] * (1 - shares[1]) + weights[2] * (1 - shares[2])
    index = int(np.argmin(values))
    threshold = scores[order[index - 1]] if index else scores[order[0]] - 1e-8
    return float(values[index] / default), float(threshold)
