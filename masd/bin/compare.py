"""Paired test between two systems' scores on the same trials."""

from __future__ import annotations

from pathlib import Path

from masd.cli import listed, run


def compare(
    first: str,
    second: str,
    out: Path,
    data: Path | None = None,
    key: Path | None = None,
    subset: str = "",
    groups: str = "source",
    dev_first: Path | None = None,
    dev_second: Path | None = None,
    dev_data: Path | None = None,
    dev_key: Path | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> None:
    """Test whether one system is better than another: paired bootstrap of the EER, and McNemar's exact test.

    Prints a table, and writes comparison.json: both EERs, their difference with its 95 % interval and
    two-sided p over draws of whole groups; and, with development scores, McNemar's test of the decisions at
    each system's own development threshold (EER).

    Args:
        first: score files of the first system, one a seed, separated by commas.
        second: score files of the second system, paired with those of the first by their order.
        out: folder for comparison.json.
        data: data folder of the trials.
        key: key of the trials, in place of `data`.
        subset: only the trials of this subset.
        groups: what is drawn whole: a table of the key (`source`, `spk`), or `utt`; `source` is `utt` where
            the key has no such table.
        dev_first: the first system's scores of a development set (of its first seed).
        dev_second: the second system's scores of the same set.
        dev_data: data folder of the development set.
        dev_key: key of the development set, in place of `dev_data`.
        bootstrap: draws.
        seed: of the draws.
    """
    import numpy as np

    from masd.errors import MasdError
    from masd.metrics.bootstrap import paired_test, plain_eers
    from masd.metrics.eer import eer, split
    from masd.metrics.paired import mcnemar
    from masd.report.render import markdown
    from masd.stage.files import plain, write_json
    from masd.systems.score_files import read_labelled, refuse_common

    if (dev_first is None) != (dev_second is None):
        raise MasdError("--dev-first and --dev-second go together, for McNemar's test; give both or neither")
    if dev_first is None and (dev_data or dev_key):
        raise MasdError(
            "--dev-data and --dev-key say what --dev-first and --dev-second are of; give those too"
        )
    files = [[Path(word) for word in listed(each)] for each in (first, second)]
    trials = read_labelled([*files[0], *files[1]], data, key, subset)
    if len(files[0]) != len(files[1]):
        raise MasdError(f"--first names {len(files[0])} files, --second {len(files[1])}: one a seed in both")
    mine, theirs = trials.scores[: len(files[0])], trials.scores[len(files[0]) :]
    drawn = {utt: utt for utt in trials.utts}
    if groups != "utt" and (groups != "source" or "source" in trials.key.tables):
        drawn = trials.key.condition(groups)
    index = np.array([drawn.get(utt, utt) for utt in trials.utts])
    difference, p = paired_test(mine, theirs, trials.fake, index, bootstrap, seed)
    result = {
        "first": {"scores": first, "eer": plain_eers(mine, trials.fake)},
        "second": {"scores": second, "eer": plain_eers(theirs, trials.fake)},
        "difference": difference,
        "p": p,
        "groups": groups,
    }
    if dev_first is not None and dev_second is not None:
        dev = read_labelled([dev_first, dev_second], dev_data, dev_key, "", "dev-")
        refuse_common(dev.utts, trials.utts, dev_first)
        thresholds = [eer(*split(row, dev.fake))[1] for row in dev.scores]
        right = [(s[0] <= t) == trials.fake for s, t in zip((mine, theirs), thresholds, strict=True)]
        result["mcnemar"] = {"thresholds": thresholds, **vars(mcnemar(*right))}
    write_json(out / "comparison.json", plain(result))
    print(markdown("comparison.md", found=result, difference=difference), end="")


if __name__ == "__main__":
    run(compare)
