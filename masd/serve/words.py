"""A verdict in words, with what it does not mean."""

from __future__ import annotations

from typing import Any

from masd.judge.output import WORDS
from masd.judge.verdict import Judge, Verdict

_LIKE = "It is more like the {} speech that this model learned from than like the {} speech."
MEANS = {
    "bonafide": _LIKE.format("genuine", "synthetic"),
    "spoof": _LIKE.format("synthetic", "genuine"),
    "inconclusive": "This model has nothing to go by here; the figures below are not a verdict.",
}
NEVER = "It does not say who is speaking, who made the recording, or whether what is said is true."


def in_words(verdict: Verdict, judge: Judge) -> dict[str, Any]:
    """Return `word`, `means`, `reasons` why nothing can be said, and `not`: what is not meant by it.

    Args:
        verdict: what was found.
        judge: who found it; its model knows how often it was wrong on development data.
    """
    errors = judge.posterior.errors(judge.prior)
    called, missed = (f"{100 * rate:.1f} %" for rate in errors) if errors else ("", "")
    part = ""
    if verdict.label == "bonafide":
        if verdict.part:
            of = verdict.stretch
            part = f" But a part may be fake: {of.start:.1f} to {of.end:.1f} s alone would be called so."
        found = ["It is no proof of a human voice: generators that the model never met often pass."]
        if missed:
            found.append(f"On its development recordings, {missed} of the fakes passed as genuine.")
    elif verdict.label == "spoof":
        found = [
            "It is no proof of a forgery: noise and strong compression, as in voice messages, mislead it."
        ]
        if called:
            found.append(f"On its development recordings, {called} of the genuine ones were called fake.")
    else:
        found = ["It does not mean that the recording is suspicious, nor that it is genuine."]
    return {
        "word": WORDS[verdict.label],
        "means": MEANS[verdict.label] + part,
        "reasons": verdict.reasons,
        "not": [*found, NEVER],
    }
