"""Stage 7, first half: a score file against its key."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from masd.cli import run
from masd.errors import MasdError

if TYPE_CHECKING:
    from masd.report.trials import Trials

log = logging.getLogger(__name__)


def evaluate(
    scores: Path,
    data: Path,
    out: Path,
    model: Path | None = None,
    trials: Path | None = None,
    excused: str = "",
    seen_attacks: str = "",
    apart: str = "",
    apart_scores: Path | None = None,
    apart_data: Path | None = None,
    apart_trials: Path | None = None,
    affine_scores: Path | None = None,
    asv_scores: Path | None = None,
    breakdown: str = "",
    prior: float | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    force: bool = False,
) -> None:
    """Evaluate a score file: error rates with intervals, per attack and speaker, decisions, calibration.

    Writes metrics.json, metrics.txt (the same to read) and trials.tsv (scores joined to their keys).

    Args:
        scores: score file, `<utt> <score>`, higher is more bona fide.
        data: data folder with utt2lab, utt2attack, utt2spk and where there is one utt2source.
        out: folder for the results.
        model: model folder, for temperature, affine map and development threshold.
        trials: trial list, `<utt> <label> <attack>`; all of utt2lab without one.
        excused: lists of failed utterances (id first), which may be without a score; separated by commas.
        seen_attacks: attacks known from training, separated by commas; the others count as unseen.
        apart: attacks reported apart and kept out of pooled figures, separated by commas.
        apart_scores: score file of a second set, all spoofed and all reported apart (needs `apart_data`).
        apart_data: data folder of that set.
        apart_trials: trial list of that set.
        affine_scores: affine-calibrated scores made elsewhere (prior 0.5), in place of the model's map.
        asv_scores: the challenge's score file of its speaker verifier, for the minimum t-DCF.
        breakdown: conditions to report by, each a table utt2<name> of `data`, separated by commas; two are
            crossed by a star: `codec,vocoder,codec*vocoder`.
        prior: a share of fakes at which ECE is given, beside the set's own and 0.5.
        bootstrap: draws for each interval; 0 for no intervals.
        seed: of the draws.
        force: evaluate again though the results are up to date.
    """
    from masd.files import Mark, digest
    from masd.report.breakdown import condition_files, parse_breakdown, read_conditions
    from masd.report.evaluation import Bootstrap, breakdowns, evaluate_trials, read_calibration, tandem
    from masd.report.trials import attack_names, join_apart, load_trials, read_excused

    if (apart_scores is None) != (apart_data is None):
        raise MasdError("--apart-scores and --apart-data go together; give both or neither")
    seen, separate = _names(seen_attacks), _names(apart)
    lists_of_failed = [Path(name) for name in _names(excused)]
    files = [scores, model and model / "model.yaml", trials, affine_scores, asv_scores, *lists_of_failed]
    files += [apart_scores, apart_data, apart_trials, *(data / name for name in LISTS)]
    conditions = parse_breakdown(breakdown)
    tables = condition_files(data, conditions)
    files += tables.values()
    work = digest(_digests(files), conditions, seen, separate, prior, bootstrap, seed)
    mark = Mark(out, "evaluate")
    if mark.fresh(work) and (out / "metrics.json").is_file() and not force:
        log.info("%s is up to date", out)
        return
    mark.clear()
    failed = read_excused(lists_of_failed)
    joined = load_trials(scores, data, trials, failed, seen, separate)
    values = read_conditions(tables, joined)
    by_condition = breakdowns(joined, conditions, values, Bootstrap(bootstrap, seed))
    if apart_scores and apart_data:
        joined = join_apart(joined, apart_scores, apart_data, apart_trials, failed)
    metrics = evaluate_trials(
        joined, read_calibration(model, affine_scores), Bootstrap(bootstrap, seed), prior
    )
    if conditions:
        metrics["breakdowns"] = by_condition
    if asv_scores:
        metrics["tandem"] = tandem(joined, asv_scores)
    names = [attack_names(folder, joined) for folder in (apart_data, data) if folder]
    metrics["attack_names"] = {attack: name for found in names for attack, name in found.items()}
    metrics["counts"]["excused"] = len(failed - set(joined.utts.tolist()))
    metrics["inputs"] = {"scores": scores, "data": data, "model": model, "trials": trials}
    _write(out, joined, metrics, f"{scores} against {trials or data}")
    mark.write(work)
    log.info("EER %.2f %% (%s); all of it in %s", 100 * metrics["pooled"]["eer"], scores, out / "metrics.txt")


LISTS = ("utt2lab", "utt2attack", "utt2spk", "utt2source", "utt2vocoder")


def _digests(files: Sequence[Path | None]) -> list[str | None]:
    """Return each input's digest; None for what is not given, and for lists a data folder does not have."""
    from masd.files import input_digest

    absent = {path for path in files if path and path.name in LISTS and not path.exists()}
    return [input_digest(path) if path and path not in absent else None for path in files]


def _write(out: Path, trials: Trials, metrics: dict[str, Any], title: str) -> None:
    from masd.files import write_json, write_text
    from masd.report.document import to_text
    from masd.report.tables import metrics_document
    from masd.report.trials import write_trials

    write_trials(out / "trials.tsv", trials)
    write_json(out / "metrics.json", metrics)
    write_text(out / "metrics.txt", to_text(metrics_document(metrics, title)))


def _names(words: str) -> list[str]:
    return sorted({word.strip() for word in words.split(",") if word.strip()})


if __name__ == "__main__":
    run(evaluate)
