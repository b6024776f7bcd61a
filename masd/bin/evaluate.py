"""Stage 7, first half: a score file against its key."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from masd.cli import listed, run
from masd.errors import MasdError

log = logging.getLogger(__name__)


def evaluate(
    scores: Path,
    out: Path,
    data: Path | None = None,
    key: Path | None = None,
    subset: str = "",
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
    dev_scores: Path | None = None,
    dev_data: Path | None = None,
    dev_key: Path | None = None,
    dev_excused: str = "",
    breakdown: str = "",
    prior: float | None = None,
    cost_miss: float = 1.0,
    cost_fa: float = 10.0,
    prior_spoof: float = 0.05,
    polarity: Literal["bonafide", "spoof"] = "bonafide",
    segments: Path | None = None,
    sasv: Literal["", "asvspoof5", "own"] = "",
    bootstrap: int = 1000,
    seed: int = 0,
    force: bool = False,
) -> None:
    """Evaluate a score file, of this project or of another: error rates with intervals, per attack, speaker
    and condition, detection costs, decisions, calibration.

    Prints the error rates as a table; writes metrics.json, metrics.txt (all of it to read) and trials.tsv
    (scores joined to their keys). With `sasv`, of a countermeasure with a speaker verifier (ASVspoof 5 track
    2), it writes sasv.json alone: a-DCF of the joint score, and min t-DCF (2021 form) of the
    countermeasure's.

    Args:
        scores: score file: `<utt> <score>`; `<utt> <attack> <label> <score>` (ASVspoof 2019, AASIST); a table
            with a header that names the file and score, cm-score or p_fake; or what `detect --json` prints.
            Higher is more bona fide.
        out: folder for the results.
        data: data folder with utt2lab, utt2attack, utt2spk and where there is one utt2source.
        key: in place of `data`, a challenge's key: the CM protocol of ASVspoof 2019 LA, trial_metadata.txt of
            ASVspoof 2021 LA or DF (8 or 13 columns), a protocol or headed key of ASVspoof 5,
            `<utt> <label> [<attack>]` lines, or a table with a header that names file and label.
        subset: only the trials of this subset (`eval` of ASVspoof 2021); scores of others are passed over.
        model: model folder, for temperature, affine map and development threshold.
        trials: trial list, `<utt> <label> <attack>`; all of the key without one.
        excused: lists of failed utterances (id first), which may be without a score; separated by commas.
        seen_attacks: attacks known from training, separated by commas, or `none`; the others count as unseen.
            Without it they are not told apart.
        apart: attacks reported apart and kept out of pooled figures, separated by commas.
        apart_scores: score file of a second set, all spoofed and all reported apart (needs `apart_data`).
        apart_data: data folder of that set.
        apart_trials: trial list of that set.
        affine_scores: affine-calibrated scores made elsewhere (prior 0.5), in place of the model's map.
        asv_scores: the challenge's score file of its speaker verifier, for the minimum t-DCF.
        dev_scores: the same system's scores of a development set, to which calibrations are fitted and on
            which the decision threshold for the stated costs is chosen.
        dev_data: data folder of the development set.
        dev_key: key of the development set, in place of `dev_data`.
        dev_excused: lists of failed utterances of the development set, separated by commas.
        breakdown: conditions to report by, each a table utt2<name> of `data` or a column of `key`, separated
            by commas; two or three are crossed by stars: `codec,vocoder,codec*vocoder`.
        prior: a share of fakes at which ECE is given, beside the set's own and 0.5.
        cost_miss: cost of a rejected bona fide trial, of minDCF, actDCF and the chosen threshold.
        cost_fa: cost of an accepted spoofed trial.
        prior_spoof: prior of spoofed trials.
        polarity: the class whose scores are higher in the score files, where no column says so (p_fake).
        segments: windows of recordings that are spoofed in part, as `detect --json` prints them, or lines
            `<utt> <start> <end> <score>`: also writes segments.json, the segment EER at 160 to 640 ms
            (PartialSpoof's), how well the most suspicious window tells recordings, and how often it lies in
            spoofed speech. `data` has utt2fake then, the spoofed seconds, as `data splice` writes it.
        sasv: whose errors the t-DCF of tandem scores is computed with: those that the ASVspoof 5 organisers
            fixed, or those of `asv-score` at its own EER threshold. `scores` has the header `spk filename
            cm-score asv-score sasv-score`, all higher for the claimed speaker's bona fide speech (`-` where a
            system has no such score), `key` the header `spk filename cm-label asv-label` (target, nontarget,
            spoof).
        bootstrap: draws for each interval; 0 for no intervals.
        seed: of the draws.
        force: evaluate again though the results are up to date.
    """
    from masd.metrics.dcf import DetectionCosts
    from masd.report.evaluate import Request, compute, write_evaluation
    from masd.report.metrics_json import Bootstrap
    from masd.report.render import sections
    from masd.stage.files import Mark, digest, plain, read_text

    if sasv:
        _evaluate_sasv(scores, key, out, sasv)
        return
    request = Request(
        scores=scores,
        data=data,
        key=key,
        subset=subset,
        model=model,
        trials=trials,
        apart_scores=apart_scores,
        apart_data=apart_data,
        apart_trials=apart_trials,
        affine_scores=affine_scores,
        asv_scores=asv_scores,
        dev_scores=dev_scores,
        dev_data=dev_data,
        dev_key=dev_key,
        breakdown=breakdown,
        prior=prior,
        polarity=polarity,
        excused=_paths(excused),
        dev_excused=_paths(dev_excused),
        seen_attacks=_names(seen_attacks),
        apart=_names(apart),
        costs=DetectionCosts(prior_spoof, cost_miss, cost_fa),
        bootstrap=Bootstrap(bootstrap, seed),
    )
    digests = request.digests()
    work = digest("evaluation", 3, plain(request), digests)
    mark = Mark(out, "evaluate")
    if not force and mark.fresh(work):
        log.info("%s is up to date", out)
    else:
        mark.clear()
        joined, metrics = compute(request)
        metrics["inputs"] = {"request": plain(request), "files": digests}
        write_evaluation(out, joined, metrics, f"{scores} against {trials or data or key}")
        mark.write(work, [out / name for name in ("trials.tsv", "metrics.json", "metrics.txt")])
        rate = 100 * metrics["pooled"]["eer"]
        log.info("EER %.2f %% (%s); all of it in %s", rate, scores, out / "metrics.txt")
    print(dict(sections(read_text(out / "metrics.txt")))["Error rates"].strip())
    if segments is not None:
        _evaluate_segments(segments, data, out)


def _evaluate_segments(path: Path, data: Path | None, out: Path) -> None:
    from masd.data.folder import read_folder
    from masd.metrics.scores import ScoreFile, align, join
    from masd.metrics.segments import read_spans, read_windows, segment_metrics
    from masd.report.render import markdown
    from masd.stage.files import sha256, write_json

    if data is None:
        raise MasdError("--segments needs the spoofed seconds: --data FOLDER with utt2fake")
    folder, windows = read_folder(data), read_windows(path)
    spans = {utt: read_spans(text, f"{data}/utt2fake") for utt, text in folder.table("utt2fake").items()}
    place = dict(enumerate(windows.values()))
    named = align(ScoreFile({utt: float(i) for i, utt in enumerate(windows)}, {}), spans, path).scores
    utts, order = join(named, spans, where=path)
    windows = {utt: place[int(i)] for utt, i in zip(utts, order, strict=True)}
    durations = folder.tables.get("utt2dur", {})
    seconds = {utt: float(durations.get(utt, max(w[1] for w in windows[utt]))) for utt in utts}
    found = segment_metrics(windows, spans, seconds)
    inputs = {"segments": str(path), "data": str(data), "sha256": [sha256(path), sha256(data / "utt2fake")]}
    write_json(out / "segments.json", {**found, "inputs": inputs})
    print("\n" + markdown("segments.md", found=found), end="")


def _evaluate_sasv(scores: Path, key: Path | None, out: Path, verifier: str) -> None:
    from masd.metrics.sasv import read_tandem, sasv_metrics
    from masd.stage.files import sha256, write_json

    if key is None:
        raise MasdError("--sasv needs the trials' labels: --key FILE")
    result = sasv_metrics(read_tandem(scores, key), verifier)
    inputs = {"scores": str(scores), "key": str(key), "sha256": [sha256(scores), sha256(key)]}
    write_json(out / "sasv.json", {**result, "inputs": inputs})
    log.info("a-DCF %.5f of %d trials; all of it in %s", result["a_dcf"], result["trials"], out / "sasv.json")


def _names(words: str) -> list[str]:
    return sorted(set(listed(words)))


def _paths(words: str) -> list[Path]:
    return [Path(name) for name in _names(words)]


if __name__ == "__main__":
    run(evaluate)
