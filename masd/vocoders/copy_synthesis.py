"""Copy-synthesis of a data folder: shards that can be stopped at any moment, and the folder made of them."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import soundfile

from masd.audio import check_length, write_wav
from masd.data.folder import DataFolder, read_folder, write_folder
from masd.data.utterance import load_utterance
from masd.errors import Failures, MasdError
from masd.stage.files import Mark, check_name, digest, files_in, input_digest, read_yaml, write_lines
from masd.stage.lock import sole
from masd.stage.progress import Progress
from masd.stage.shards import NamedShards, failures_of
from masd.vocoders import REGISTRY, Adapter, get

log = logging.getLogger(__name__)

RATE = 16000
SHORTEST = 0.1  # seconds; what is shorter has too few frames for some of the vocoders
AT_ONCE = 64.0  # seconds that a GPU is given together


def vocoder_of(
    name: str, config: Mapping[str, Any] | Path | None, seed: int = 0, available: Path | None = None
) -> Adapter[Any]:
    """Return the vocoder of a configuration file (or its content); `seed` counts where that gives none.

    A file may come with data of somebody else. So it names a `module:Class`, which is code that is run, only
    where `available`, the user's own list of vocoders, gives this vocoder the same.

    Raises:
        MasdError: see `masd.vocoders.get`; the name cannot stand in an utterance id; or the file names code.
    """
    if not name or "/" in name or name.split() != [name]:
        raise MasdError(
            f"vocoder {name!r}: a name goes into utterance ids, so it has no white space or slash"
        )
    values = read_yaml(config) if isinstance(config, Path) else config
    if not isinstance(values or {}, Mapping):
        raise MasdError(f"{config}: a vocoder's configuration is keys and values")
    kind = (values or {}).get("type")
    if isinstance(config, Path) and kind not in (None, *REGISTRY) and kind != _own_type(name, available):
        raise MasdError(
            f"{config}: type {kind}: code is only named in your own conf/vocoders.yaml (--available FILE)"
        )
    return get(name, {"seed": seed, **(values or {})})


def _own_type(name: str, available: Path | None) -> object:
    try:
        return read_yaml(available)["vocoders"][name]["type"] if available else None
    except (KeyError, TypeError):
        return None


def copy_shard(
    data: Path,
    vocoder: Adapter[Any],
    out: Path,
    wav_dir: Path,
    suffix: Literal["wav", "flac"],
    job: int,
    num_jobs: int,
    allow_pipes: bool,
    force: bool,
) -> None:
    """Synthesise one shard of the utterances of `data` into `<wav_dir>/<vocoder>-<utt>.<suffix>` at 16 kHz.

    A file in place that was made of the same samples by the same vocoder is kept, whichever folder it was
    made for. An utterance that fails is one line in the log and in the shard's mark, in `<out>/.jobs`; it is
    tried again until `finish` has accepted it, and once its file is another. A GPU is given utterances of
    like length together, by the folder's utt2dur.

    Raises:
        MasdError: the data folder or the vocoder is unusable, or another process makes this shard.
    """
    mark = _shards(out).mark(job, num_jobs)
    work = digest(vocoder.digest(), input_digest(data), str(wav_dir), suffix, job, num_jobs, allow_pipes)
    if not force and mark.fresh(work) and accepted(mark.read(), out):
        log.info("job %d of %d: %s is done", job, num_jobs, out)
        return
    with sole(mark.path.parent, f"{job}of{num_jobs}"):
        Mark(out).clear()  # first: the folder of all copies is to be written again
        for path in mark.lost():  # or its header would say that it is the copy wanted
            path.unlink(missing_ok=True)
        mark.clear()
        folder = read_folder(data)
        utts = folder.shard(job, num_jobs)
        wav, seconds, failures = _copy_utterances(
            folder, utts, vocoder, (wav_dir, suffix), f"job {job} of {num_jobs}", allow_pipes, force
        )
        mark.write(
            work, wav.values(), vocoder=vocoder.name, vocoder_digest=vocoder.digest(),
            data=input_digest(data), wav=wav, seconds=seconds,
            failures=failures.reasons, unusable=failures.files,
        )  # fmt: skip


def _copy_utterances(
    folder: DataFolder,
    utts: Sequence[str],
    vocoder: Adapter[Any],
    where: tuple[Path, str],
    what: str,
    allow_pipes: bool,
    force: bool,
) -> tuple[dict[str, str], dict[str, float], Failures]:
    """Write the copies of `utts` that are not there; return paths and seconds of all, and the failures.

    The log says the real-time factor too: processor seconds a second of new audio.
    """
    import torch  # after the mark: it takes longer than all else where nothing is to be done

    torch.set_num_threads(1)  # jobs run in parallel; and samples must not depend on the machine's cores
    vocoder.prepare()
    wav_dir, suffix = where
    on_gpu = vocoder.device != "cpu"
    failures, progress = Failures(), Progress(log, len(utts))
    wav: dict[str, str] = {}
    seconds: dict[str, float] = {}
    waiting: list[_Copy] = []
    new, begin, start = 0.0, time.process_time(), time.monotonic()
    order = _by_length(folder, utts) if on_gpu else utts
    for done, utt in enumerate(order, 1):
        copy = f"{vocoder.name}-{utt}"
        path = wav_dir / f"{copy}.{suffix}"
        try:
            check_name(path)
            x = load_utterance(folder, utt, RATE, allow_pipes)
            check_length(x, utt, RATE, SHORTEST)
            wav[copy], seconds[copy] = str(path), len(x) / RATE
            made_of = _made_of(vocoder, x, utt)
            if force or not path.is_file() or comment(path) != made_of:
                waiting.append(_Copy(utt, x, path, made_of))
        except MasdError as error:
            failures.add(utt, error, folder.file(utt))
        if waiting and (not on_gpu or done == len(order) or _seconds(waiting) >= AT_ONCE):
            for one, error in _synthesise(vocoder, waiting):
                del wav[f"{vocoder.name}-{one.utt}"], seconds[f"{vocoder.name}-{one.utt}"]
                failures.add(one.utt, error, folder.file(one.utt))
            new += _seconds(waiting)
            waiting = []
        progress(done, len(failures.reasons))
    factors = [took / new if new else 0.0 for took in (time.process_time() - begin, time.monotonic() - start)]
    log.info(
        "%s, %s: %.1f s synthesised on %s, real-time factor %.3f; by the clock %.3f",
        *(vocoder.name, what, new, vocoder.device, *factors),
    )
    return wav, seconds, failures


class _Copy(NamedTuple):
    """A copy to be made: of `x` (N,) at 16 kHz, to `path`, whose comment will say `made_of`."""

    utt: str
    x: np.ndarray
    path: Path
    made_of: str


def _by_length(folder: DataFolder, utts: Sequence[str]) -> Sequence[str]:
    durations = folder.tables.get("utt2dur")
    return sorted(utts, key=lambda utt: (float(durations[utt]), utt)) if durations else utts


def _seconds(copies: Sequence[_Copy]) -> float:
    return sum(len(one.x) for one in copies) / RATE


def _synthesise(vocoder: Adapter[Any], wanted: Sequence[_Copy]) -> list[tuple[_Copy, MasdError]]:
    """Write copies; return those that cannot be had, and why.

    An output with peaks beyond full scale is scaled down as a whole.
    """
    failed = []
    made = vocoder.copies([(one.x, one.utt) for one in wanted], RATE)
    for one, y in zip(wanted, made, strict=True):
        if isinstance(y, MasdError):
            failed.append((one, y))
        else:
            write_wav(one.path, y / max(1.0, float(np.abs(y).max())), RATE, comment=one.made_of)
    return failed


def _made_of(vocoder: Adapter[Any], x: np.ndarray, utt: str) -> str:
    """Return what a copy's comment says: samples and vocoder."""
    samples = hashlib.sha256(np.ascontiguousarray(x, np.float32)).hexdigest()
    return f"masd copy-synthesis {digest(vocoder.digest(), utt, samples)}"


def accepted(content: Mapping[str, Any], out: Path) -> bool:
    """Return whether a shard's failures, if any, were accepted by `finish`."""
    return not content["failures"] or bool(Mark(out).read())


def comment(path: Path) -> str:
    """Return the comment in an audio file's header, empty if it is no audio file."""
    try:
        with soundfile.SoundFile(path) as stream:
            return stream.comment
    except soundfile.LibsndfileError:
        return ""


def _shards(out: Path) -> NamedShards:
    # stage 1 of mini makes copies too
    return NamedShards(out, "./run.sh with the same --stage (or copy_synthesis and finish copy-synthesis)")


def finish(data: Path, name: str, out: Path, num_jobs: int, max_fail: float, force: bool = False) -> None:
    """Make the data folder `out` of the copies: utterances `<vocoder>-<utt>`, speakers as in `data`.

    utt2lab is spoof, utt2attack and utt2vocoder name the vocoder, utt2source is the source's own, `failures`
    lists what there is no copy of, and why.

    Raises:
        MasdError: a shard is missing or stale, more than `max_fail` of the utterances failed, or another
            process joins them.
    """
    whole = _shards(out)
    shards, source = whole.read_all(num_jobs), input_digest(data)
    for job, one in enumerate(shards, 1):
        if one["vocoder"] != name or one["data"] != source:
            raise MasdError(
                f"{out}: shard {job} of {num_jobs} was made of other data than {data} or by "
                f"other than {name}; run {whole.again} again"
            )
    whole.check_same(shards, "vocoder_digest")
    failures = failures_of(shards, max_fail)
    wav = {copy: path for s in shards for copy, path in s["wav"].items()}
    # what is made of the copies stays made in whatever number of jobs they are asked for again
    work = digest(shards[0]["vocoder_digest"], source, wav, failures.reasons, max_fail)
    mark, former = Mark(out), digest([s["digest"] for s in shards], max_fail)  # `former`: as it once was
    if (mark.fresh(work) or mark.fresh(former)) and not force:
        whole.judge(failures, len(failures.reasons) + len(wav))
        whole.remove_others(num_jobs)
        log.info("%s is done", out)
        return
    with sole(out):
        mark.clear()
        folder = read_folder(data)
        write_lines(out / "failures", failures.lines())
        whole.judge(failures, len(folder.utts))
        write_copies(folder, name, out, wav, {copy: t for s in shards for copy, t in s["seconds"].items()})
        whole.remove_others(num_jobs)
        mark.write(work, files_in(out), utterances=len(wav), failed=len(failures.reasons))
    log.info("%s: %d utterances, %d failed", out, len(wav), len(failures.reasons))


def write_copies(
    folder: DataFolder, name: str, out: Path, wav: Mapping[str, str], seconds: Mapping[str, float]
) -> None:
    """Write the data folder of the copies in `wav`; their ids are those of `folder` after `<name>-`."""
    source = {f"{name}-{utt}": utt for utt in folder.utts}
    write_folder(
        out,
        wav=wav,
        utt2spk={copy: folder.spk(source[copy]) for copy in wav},
        utt2lab=dict.fromkeys(wav, "spoof"),
        utt2attack=dict.fromkeys(wav, name),
        utt2vocoder=dict.fromkeys(wav, name),
        utt2source={copy: folder.source(source[copy]) for copy in wav},
        utt2dur=dict(seconds),
    )
