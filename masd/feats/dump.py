"""Feature dumps: both kinds of features of a data folder, in one pass over its audio.

A finished dump folder holds

- `feats.scp`: log-mel spectrograms (T, n_mels); `hand.scp`: vectors [PCS, HFER, SFI], then families;
- `feats.crc`, `hand.crc`: `<utt> <checksum>` of what these store, compared when it is first read;
- `utt2num_frames`: T of each utterance; `failures`: `<utt> <reason>` of those left out;
- `feats.yaml`: the configuration they were made with; `.done.json`: the mark.

While shards are being made it has none of these lists, so that nobody reads half a dump.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

from masd.data.archive import Reader, Writer, open_reader
from masd.data.folder import DataFolder, read_folder
from masd.data.utterance import load_utterance
from masd.errors import Failures, MasdError
from masd.feats import families
from masd.feats.config import FeatsConfig
from masd.stage.files import digest, input_digest, read_yaml, stream_lines, write_lines, write_yaml
from masd.stage.lock import sole
from masd.stage.progress import Progress
from masd.stage.shards import ArchiveShards
from masd.stage.threads import pinned

log = logging.getLogger(__name__)

VERSION = 4  # raise it when the same configuration comes to mean other numbers
LISTS = ("feats.scp", "hand.scp", "utt2num_frames", "feats.yaml", "feats.crc", "hand.crc", "failures")


@dataclass
class Dump:
    """A finished dump, open for reading.

    Attributes:
        path: its folder.
        feats: log-mel spectrograms, (T, n_mels) float32 by utterance.
        config: the configuration it was made with.
    """

    path: Path
    feats: Reader
    config: FeatsConfig

    @cached_property
    def hand(self) -> Reader:
        """[PCS, HFER, SFI], then families, (D,) float32; its list is read when it is first asked for."""
        return open_reader(self.path / "hand.scp")

    @property
    def utts(self) -> list[str]:
        """Utterance ids in LC_ALL=C order."""
        return self.feats.utts


def dump_shard(
    data: str | Path,
    out: str | Path,
    config: FeatsConfig,
    fmt: str = "ark",
    compress: bool = False,
    job: int = 1,
    num_jobs: int = 1,
    allow_pipes: bool = False,
    force: bool = False,
) -> None:
    """Dump the features of one contiguous part of a data folder; skip it if that is done.

    Utterances that cannot be used are recorded, and judged by `finish_dump` over the whole set; once the
    file of one is another, the shard is not done any more. The values do not depend on `num_jobs`, on
    threads or on what else the folder holds.

    Raises:
        MasdError: the data folder or the shard number is wrong, there are pipes and they are not allowed, or
            another process makes this shard.
    """
    out = Path(out)
    versions = (VERSION, families.VERSION) if config.families else (VERSION,)
    work = digest("feats", *versions, input_digest(data), config, fmt, compress)
    shards = _shards(out)
    if not force and shards.done(work, job, num_jobs):
        return
    with sole(out, str(job)):
        folder = read_folder(data)
        _refuse_pipes(folder, allow_pipes)
        utts = folder.shard(job, num_jobs)
        mark = shards.begin(job, num_jobs)
        failures = Failures("utterance")
        feats, hand = Writer(out, "feats", job, fmt, compress), Writer(out, "hand", job, fmt)
        with feats, hand, pinned():  # the same bits whatever the number of threads, no fight between jobs
            frames = _dump_utterances(folder, utts, config, (feats, hand), failures, allow_pipes)
        write_lines(out / f"utt2num_frames.{job}", (f"{utt} {count}" for utt, count in frames.items()))
        how = {"config": config, "format": fmt, "compress": compress}
        shards.end(mark, work, job, num_jobs, len(utts), failures, **how)


def _refuse_pipes(folder: DataFolder, allow_pipes: bool) -> None:
    pipe = next((name for name, value in folder.wav.items() if value.endswith("|")), None)
    if pipe is not None and not allow_pipes:
        raise MasdError(
            f"{folder.path}/wav.scp: {pipe} is a command; --allow-pipes true runs it if you trust it"
        )


def _dump_utterances(
    folder: DataFolder,
    utts: Sequence[str],
    config: FeatsConfig,
    writers: tuple[Writer, Writer],
    failures: Failures,
    allow_pipes: bool,
) -> dict[str, int]:
    """Write the features of `utts`; return the number of log-mel frames of those that worked."""
    from masd.feats.extract import front_end

    frames: dict[str, int] = {}
    progress = Progress(log, len(utts))
    for done, utt in enumerate(utts, 1):
        try:
            x = load_utterance(folder, utt, config.sample_rate, allow_pipes)
            mel, hand = front_end(x, utt, config)
        except MasdError as error:
            failures.add(utt, error, folder.file(utt))
        else:
            writers[0].write(utt, mel)
            writers[1].write(utt, hand)
            frames[utt] = len(mel)
        progress(done, len(failures.reasons))
    return frames


def finish_dump(out: str | Path, num_jobs: int, max_fail: float = 0.01) -> None:
    """Check that all shards are there, write the set's lists and its mark, and clear away the shards' own.

    Raises:
        MasdError: a shard is missing or made from other inputs, more than `max_fail` of the utterances
            failed, or another process joins them.
    """
    shards = _shards(Path(out))

    def write_lists(first: dict[str, Any]) -> None:
        # feats.scp comes last, since it is what readers look for
        shards.join("utt2num_frames", num_jobs)
        write_yaml(shards.out / "feats.yaml", first["config"])
        shards.join("hand.scp", num_jobs)
        shards.join("feats.scp", num_jobs)

    shards.finish(num_jobs, max_fail, write_lists)


def _shards(out: Path) -> ArchiveShards:
    kept = ("num_jobs", "format", "compress")
    again = "./run.sh --stage 3 (or dump_feats and finish dump)"
    return ArchiveShards(out, again, ("feats", "hand"), LISTS, kept, ("utt2num_frames",))


def open_dump(path: str | Path, expected: FeatsConfig | None = None, families: bool = True) -> Dump:
    """Open a finished dump.

    Args:
        path: the dump folder.
        expected: the configuration it must have been made with; None to take what there is.
        families: whether the families must be the same too, which an encoder does not take.

    Raises:
        MasdError: the dump is not finished, damaged, or of another configuration; the first key is named.
    """
    path = Path(path)
    for name in ("feats.scp", "hand.scp", "feats.yaml"):
        if not (path / name).is_file():
            raise MasdError(
                f"{path}: no finished feature dump ({name} is missing); run dump_feats and finish dump"
            )
    config = FeatsConfig.from_dict(read_yaml(path / "feats.yaml"), path / "feats.yaml")
    if expected is not None:
        config.check_same(expected, path, families)
    feats = open_reader(path / "feats.scp")
    if (path / "utt2num_frames").is_file():
        feats.read_lengths(path / "utt2num_frames")
    others = (line.partition(" ")[0] for line in stream_lines(path / "hand.scp"))
    for utt, other in zip_longest(feats.utts, others):
        if utt != other:
            odd = min(filter(None, (utt, other)))
            raise MasdError(f"{path}: feats.scp and hand.scp list different utterances or orders: {odd}")
    return Dump(path, feats, config)
