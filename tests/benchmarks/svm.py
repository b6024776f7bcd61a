"""The SVM: fitting, and scoring against scikit-learn and scikit-learn-intelex."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from timing import Row, alternate

from masd.svm.kernel import KernelSvm, fit_svm

FIT, SCORE, DIMENSIONS = 25_380, 611_829, 256  # ASVspoof 2019 LA train, 2021 DF, f_fused
Decide = Callable[[np.ndarray], np.ndarray]


def rows(repeats: int, scale: float) -> list[Row]:
    """Return the rows: `scale` of 25,380 vectors fitted, up to `scale` of 611,829 scored."""
    train, labels = data(round(FIT * scale), 0)
    begin = time.process_time()
    machine = fit_svm(train, labels)
    ours = time.process_time() - begin
    decide, intel_fit = others(machine, train, labels)
    # 4 million kernel values of theirs, 80 million of ours: a vector's cost does not depend on how many
    few = data(max(1, round(4e6 / len(machine.dual))), 1)[0]
    many = data(min(20 * len(few), round(SCORE * scale)), 2)[0]
    tasks: dict[str, Callable[[], Any]] = {"ours": lambda: machine.decision(many)}
    wide = few.astype(np.float64)
    tasks |= {name: (lambda function=function: function(wide)) for name, function in decide.items()}
    times = alternate(tasks, repeats)
    rate = {name: (len(many) if name == "ours" else len(few)) / least for name, (least, _) in times.items()}
    off = float(np.abs(machine.decision(few) - decide["scikit-learn"](wide)).max())
    note = (
        f"{len(machine.dual)} support vectors of {len(train)} x {DIMENSIONS} fitted ({scale:g} of {FIT:,}); "
        f"scored: {len(few)} by the libraries, {len(many)} by ours ({len(many) / SCORE:.2g} of {SCORE:,}). "
        f"Vectors a second of processor, best of {repeats} alternating rounds, ours on one thread. Largest "
        f"difference of f: {off:.1e}. All {SCORE:,} at these rates: ours {SCORE / rate['ours']:.0f} s, "
        f"scikit-learn {SCORE / rate['scikit-learn']:.0f} s."
    )
    out = [_scoring(rate, "scikit-learn", ">= 10", note)]
    if intel_fit is None:
        return [*out, Row("SVM fit, s (by scikit-learn)", f"{ours:.1f} s", "-", ours)]
    fit = Row(
        "SVM fit (by scikit-learn) against scikit-learn-intelex",
        f"{ours:.1f} s",
        f"{intel_fit:.1f} s",
        intel_fit / ours,
    )
    return [*out, _scoring(rate, "scikit-learn-intelex"), fit]


def _scoring(rate: dict[str, float], name: str, target: str = "", note: str = "") -> Row:
    numbers = (f"{rate['ours']:,.0f} /s", f"{rate[name]:,.0f} /s", rate["ours"] / rate[name])
    return Row(f"SVM scoring against {name}'s decision_function", *numbers, target, note)


def data(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors (N, 256) of mean 0 and variance 1 as a layer norm leaves them, 9 of 10 of them fake.

    The classes overlap, so that about a third become support vectors, as of a hard training set.
    """
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(99)
    fake = rng.random(count) < 0.9
    means, mixing = 0.2 * fixed.normal(size=(2, 24)), fixed.normal(size=(24, DIMENSIONS))
    values = (rng.normal(size=(count, 24)) + means[fake.astype(int)]) @ mixing
    values += rng.normal(size=(count, DIMENSIONS))
    values = (values - values.mean(1, keepdims=True)) / values.std(1, keepdims=True)
    return values.astype(np.float32), fake


def others(
    machine: KernelSvm, train: np.ndarray, labels: np.ndarray
) -> tuple[dict[str, Decide], float | None]:
    """Return {library: decision function} of the same problem, and intelex's processor seconds of fitting."""
    from sklearn.svm import SVC

    keys = {"C": 10.0, "gamma": machine.gamma, "class_weight": "balanced", "cache_size": 1000}
    wide = train.astype(np.float64)
    found = {"scikit-learn": SVC(**keys).fit(wide, labels).decision_function}
    try:
        from sklearnex.svm import SVC as Intel
    except ImportError:
        print("SVM: scikit-learn-intelex is not installed (tools/setup_env.sh bench)")
        return found, None
    begin = time.process_time()
    fitted = Intel(**keys).fit(wide, labels)
    seconds = time.process_time() - begin
    return found | {"scikit-learn-intelex": fitted.decision_function}, seconds
