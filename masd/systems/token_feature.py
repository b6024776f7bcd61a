"""Acoustic tokens as one more handcrafted feature: vectors of [PCS, HFER, SFI, log-likelihood]."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from masd.data.archive import Writer
from masd.data.folder import DataFolder
from masd.data.transform import restrict
from masd.errors import Failures, MasdError
from masd.feats.dump import LISTS, open_dump
from masd.stage.files import Mark, digest, files_in, input_digest, read_text, write_lines, write_text
from masd.stage.seeding import generator
from masd.systems.tokens import TokenSystem
from masd.systems.train import Job

log = logging.getLogger(__name__)


def cross_scores(job: Job, folds: int) -> dict[str, float]:
    """Return {utt: log-likelihood for a unit} of a training set, each by a model without its speaker.

    A model judges the speech it was made from too well; so speakers are dealt into folds, and units and
    unigram model of a fold come from the others' bona fide speech. Where bona fide speech is of fewer than
    two speakers as far as the data folder knows, recordings are dealt in place of speakers. Folds are at most
    as many as there are speakers; the job's development set is not looked at.

    Raises:
        MasdError: there are fewer than two recordings, or a fold leaves too little speech.
    """
    dealt = _dealt_by(job.train)
    groups = sorted(set(dealt.values()))
    folds = min(folds, len(groups))
    if folds < 2:
        raise MasdError(f"{job.train.path}: cross-fitting needs two speakers or recordings")
    generator(job.seed, "token folds").shuffle(groups)
    found: dict[str, float] = {}
    for k in range(folds):
        held = set(groups[k::folds])
        rest = [utt for utt in job.train.utts if dealt[utt] not in held]
        system = TokenSystem.learn(dataclasses.replace(job, train=restrict(job.train, rest)))
        mine = [utt for utt in job.train.utts if dealt[utt] in held]
        found |= likelihoods(system, job, job.train, mine)
        log.info("fold %d of %d: %d utterances of %d groups", k + 1, folds, len(mine), len(held))
    return found


def likelihoods(system: TokenSystem, job: Job, folder: DataFolder, utts: Sequence[str]) -> dict[str, float]:
    """Return {utt: log-likelihood for a unit} of utterances; too many unusable ones are an error."""
    found = job.speech(folder, utts, system.hearing)
    return {utt: float(system.raw([x], [""])[0]) for utt, x in found}


def _dealt_by(folder: DataFolder) -> dict[str, str]:
    """Return {utt: its speaker}, or its recording where fewer than two speakers are bona fide."""
    real = {folder.spk(utt) for utt in folder.utts if folder.lab(utt) == "bonafide"}
    if len(real) > 1:
        return dict(folder.utt2spk)
    log.info("%s: fewer than two bona fide speakers; recordings are dealt into folds", folder.path)
    return {utt: folder.source(utt) for utt in folder.utts}


def extend_dump(dump: Path, values: Mapping[str, float], out: Path, work: str, max_fail: float) -> None:
    """Write `out`, a dump with one more handcrafted feature; log-mels are those of `dump`, not copied.

    An utterance without a value is left out and listed in `failures`, of which `max_fail` (a share) may be.
    `work` is the digest of what went into it, for its mark.

    Raises:
        MasdError: too many utterances are without a value, or the new dump would take the place of the other.
    """
    if out.resolve() == dump.resolve():
        raise MasdError(f"{out}: is the dump itself; choose another --out")
    source, mark = open_dump(dump), Mark(out)
    failures = Failures("utterance", max_fail)
    kept = [utt for utt in source.utts if utt in values]
    for utt in source.utts:
        if utt not in values:
            failures.add(utt, "no token likelihood")
    failures.check(len(source.utts), dump)
    mark.clear()
    for name in LISTS:  # of a dump that was here: they point into an archive that goes
        (out / name).unlink(missing_ok=True)
    with Writer(out, "hand") as writer:
        for utt in kept:
            writer.write(utt, np.append(source.hand[utt], np.float32(values[utt])).astype(np.float32))
    for name in ("feats.scp", "feats.crc", "utt2num_frames"):
        if name == "feats.crc" and not (dump / name).is_file():
            continue  # of a dump of before there were checksums
        lines = [line for line in read_text(dump / name).splitlines() if line.split(maxsplit=1)[0] in values]
        write_lines(out / name, lines)
    write_text(out / "feats.yaml", read_text(dump / "feats.yaml"))
    write_lines(out / "failures", [*read_text(dump / "failures").splitlines(), *failures.lines()])
    for suffix in ("crc", "scp"):
        (out / f"hand.1.{suffix}").replace(out / f"hand.{suffix}")
    mark.write(work, [*files_in(out), out / "feats.yaml"], utterances=len(kept))


def work_digest(dump: Path, model: Path | None, ssl: Path | None, settings: object, data: Path) -> str:
    """Return the digest of what an extended dump is made of."""
    sources = [input_digest(p) for p in (dump, data / "wav.scp", data / "utt2spk")]
    sources += [input_digest(model / "model.yaml") if model else None, input_digest(ssl) if ssl else None]
    return digest("token feature", 2, sources, settings)
