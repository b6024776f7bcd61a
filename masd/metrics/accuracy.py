"""Accuracy and F1 of decisions, the fake class being the positive one."""

from __future__ import annotations

from numpy.typing import ArrayLike

from masd.metrics.eer import labelled


def accuracy_f1(p_fake: ArrayLike, is_fake: ArrayLike, threshold: float = 0.5) -> dict[str, float]:
    """Return how good the decisions `P(fake) >= threshold` are.

    Args:
        p_fake: P(fake) (N,), or any value that is higher for fakes; with a score threshold s0 pass
            the negated scores and -s0, so that scores at or below s0 are called fake.
        is_fake: labels (N,), true for fake.
        threshold: of the decision.

    Returns:
        `accuracy`, `balanced_accuracy`, `precision`, `recall`, `f1` (fake positive), `f1_bonafide`,
        `f1_macro` (their mean); each 0 to 1; a ratio of nothing to nothing is 0.

    Raises:
        MasdError: no trials, lengths differ, or a value is NaN.
    """
    p, fake = labelled(p_fake, is_fake, "values of P(fake)")
    called = p >= threshold
    tp, fp = int((called & fake).sum()), int((called & ~fake).sum())
    fn, tn = int((~called & fake).sum()), int((~called & ~fake).sum())
    recall, specificity = _ratio(tp, tp + fn), _ratio(tn, tn + fp)
    f1, f1_bonafide = _ratio(2 * tp, 2 * tp + fp + fn), _ratio(2 * tn, 2 * tn + fp + fn)
    return {
        "accuracy": (tp + tn) / p.size,
        "balanced_accuracy": (recall + specificity) / 2,
        "precision": _ratio(tp, tp + fp),
        "recall": recall,
        "f1": f1,
        "f1_bonafide": f1_bonafide,
        "f1_macro": (f1 + f1_bonafide) / 2,
    }


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
