"""Tools for data folders: validate, fix, merge, split, subset, degrade, splice, prefix-speakers, utt2dur."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from masd.audio.augment import AugmentConfig
from masd.cli import Command, run_commands, say
from masd.errors import MasdError


def validate(data: Path, strict: bool = False, allow_pipes: bool = False) -> None:
    """Print all that is wrong with a data folder, a line each; exit 1 if anything is.

    Args:
        data: data folder.
        strict: decode every utterance too: damaged, silent, empty, NaN, not as long as utt2dur says.
        allow_pipes: with strict, run commands that stand in wav.scp.
    """
    from masd.data import checks
    from masd.data.folder import read_folder

    problems = checks.validate(data, strict, allow_pipes)
    for problem in problems:
        say(problem)
    if problems:
        raise MasdError(f"{data}: {len(problems)} problem(s); masd.bin.data fix repairs what can be repaired")
    folder = read_folder(data)
    say(f"{data}: valid, {len(folder.utt2spk)} utterances, {len(set(folder.utt2spk.values()))} speakers")
    if not checks.speaker_sorted(folder):
        say(f"{data}: note: ids do not sort by speaker, which MASD does not need but Kaldi's own tools do")


def fix(data: Path) -> None:
    """Repair a data folder in place and print what was done, a line each.

    Sorts every list, makes spk2utt, and drops utterances that lack audio, a speaker or a line in
    another list. The lists as they were are kept in its folder .backup.

    Args:
        data: data folder.
    """
    from masd.data import transform

    lines = transform.fix(data)
    for line in lines:
        say(line)
    say(f"{data}: {'repaired; the lists as they were are in .backup' if lines else 'nothing to repair'}")


def merge(data: list[Path], out: Path) -> None:
    """Write one data folder that holds the utterances of several; an id that occurs twice is an error.

    Args:
        data: data folders, as [data/a,data/b] or --data+ data/a --data+ data/b.
        out: data folder to write.
    """
    from masd.data import transform

    merged = transform.merge(out, data)
    say(f"{out}: {len(merged.utt2spk)} utterances of {len(data)} folders")


def split(
    data: Path, num_parts: int, out: Path | None = None, by: Literal["utterance", "speaker"] = "utterance"
) -> None:
    """Split a data folder into folders 1, 2, ... that together hold the same utterances.

    Args:
        data: data folder.
        num_parts: how many parts.
        out: folder that gets them; split<num_parts> in the data folder by default, as in Kaldi.
        by: utterance for parts of equal size, speaker to keep each speaker in one part.
    """
    from masd.data import transform

    for path in transform.split(data, f"{out or data / f'split{num_parts}'}/", num_parts, by):
        say(str(path))


def subset(
    data: Path,
    out: Path,
    utt_list: Path | None = None,
    spk_list: Path | None = None,
    first: int | None = None,
    random: int | None = None,
    per_speaker: int | None = None,
    seed: int = 0,
) -> None:
    """Write a data folder with a part of another's utterances, chosen in exactly one of five ways.

    Args:
        data: data folder to choose from.
        out: data folder to write.
        utt_list: file whose lines begin with the utterance ids to keep.
        spk_list: file whose lines begin with the speaker ids to keep.
        first: keep this many utterances, the first in order.
        random: keep this many utterances, chosen at random.
        per_speaker: keep at most this many utterances of each speaker, chosen at random.
        seed: seed of the random choices.
    """
    from masd.data import transform
    from masd.data.folder import read_folder

    ways = {"utt_list": utt_list, "spk_list": spk_list, "first": first, "random": random}
    given = [name for name, value in {**ways, "per_speaker": per_speaker}.items() if value is not None]
    if len(given) != 1:
        raise MasdError(
            f"give one of --utt-list, --spk-list, --first, --random, --per-speaker, not {len(given)}"
        )
    folder = read_folder(data)
    if utt_list is not None:
        utts = transform.read_ids(utt_list)
    elif spk_list is not None:
        utts = _of_speakers(folder.utt2spk, transform.read_ids(spk_list), data)
    elif first is not None:
        if not 0 < first <= len(folder.utts):
            raise MasdError(f"{data}: the first {first} utterances asked for, there are {len(folder.utts)}")
        utts = folder.utts[:first]
    elif random is not None:
        utts = transform.choose_random(folder.utts, random, seed)
    else:
        utts = transform.choose_per_speaker(folder, per_speaker or 0, seed)
    kept = transform.subset(data, out, utts)
    say(f"{out}: {len(kept.utt2spk)} of {len(folder.utt2spk)} utterances of {data}")


def _of_speakers(utt2spk: dict[str, str], speakers: list[str], data: Path) -> list[str]:
    unknown = set(speakers) - set(utt2spk.values())
    if unknown:
        raise MasdError(f"{data}: no speaker '{min(unknown)}'")
    return [utt for utt, spk in utt2spk.items() if spk in set(speakers)]


DEGRADE = AugmentConfig(
    equaliser=0.3, low_pass=0.35, room=0.25, rates=0.25, noise=0.4, noise_snr=(10.0, 40.0), codec=0.45,
    bit_rates=(0.03, 0.6), codecs=("ulaw", "alaw", "mp3", "vorbis", "opus"),
)  # fmt: skip


def degrade(
    data: Path,
    out: Path,
    wav_dir: Path,
    versions: int = 2,
    augment: AugmentConfig = DEGRADE,
    seed: int = 0,
    num_jobs: int = 1,
    max_fail: float = 0.01,
    tag: str = "v",
) -> None:
    """Stage 2: write a data folder of degraded copies of each utterance of a set, `<utt>-v1`, `<utt>-v2`, ...

    What is trained on them too does not need pristine audio. They keep labels, speakers and other lists.

    Args:
        data: data folder.
        out: data folder to write.
        wav_dir: where the copies' audio goes.
        versions: copies of each utterance.
        augment: what is done to them, drawn anew for each.
        seed: of all draws, with the utterance and the version's number.
        num_jobs: processes.
        max_fail: share of the copies, 0 to 1, that may be left out because their recordings cannot be used.
        tag: what stands for the `v` in ids, so that copies of several kinds can be merged.
    """
    from masd.data.degrade import degraded_set

    made = degraded_set(data, out, wav_dir, versions, augment, seed, num_jobs, max_fail, tag)
    say(f"{out}: {len(made.utt2spk)} degraded copies")


def splice(
    data: Path,
    out: Path,
    wav_dir: Path,
    genuine: float = 12.0,
    fake: float = 8.0,
    by: str = "spk",
    versions: int = 1,
    seed: int = 0,
) -> None:
    """Write a data folder of recordings that are fake in part, as a test set: speech with copies put into it.

    Of each attack a recording: bona fide utterances, with a stretch of the attack's at a place drawn by
    chance; and for each of these one of bona fide speech alone, joined at the same places, so that joins tell
    nothing. All utterances are brought to one level. utt2fake says which seconds are fake.

    Args:
        data: data folder with utt2lab and utt2attack.
        out: data folder to write.
        wav_dir: where the audio goes, as FLAC.
        genuine: seconds of bona fide speech around the stretch.
        fake: seconds of the stretch.
        by: what the joined utterances share: `spk`, or a table utt2<by>, such as repo in egs/demos.
        versions: recordings of each attack that a speaker (page, ...) has.
        seed: of the draws.
    """
    from masd.data.splice import spliced_set

    made = spliced_set(data, out, wav_dir, genuine, fake, by, versions, seed)
    say(f"{out}: {len(made.utt2spk)} recordings, half of them fake for {fake:g} s")


def prefix_speakers(data: Path, out: Path) -> None:
    """Write a data folder with ids `<spk>-<utt>`, which Kaldi's validator accepts.

    Kaldi's tools want the order of utterances to be that of speakers. MASD does not need this: keys and
    scores of a corpus go by its own ids.

    Args:
        data: data folder.
        out: data folder to write.
    """
    from masd.data import transform

    made = transform.prefix_speakers(data, out)
    say(f"{out}: {len(made.utt2spk)} utterances, {len(set(made.utt2spk.values()))} speakers")


def utt2dur(data: Path, job: int = 1, num_jobs: int = 1, force: bool = False) -> None:
    """Stage 1: read the durations of a data folder's recordings from their headers, one shard.

    Nothing is decoded. Ends with `python3 -m masd.bin.finish utt2dur` once all shards are there.

    Args:
        data: data folder.
        job: which shard, from 1.
        num_jobs: how many shards.
        force: read again though it is done; needed where audio was replaced under the same names.
    """
    from masd.data.durations import duration_shard

    duration_shard(data, job, num_jobs, force)


COMMANDS = (
    Command(validate, output=""),
    Command(fix, output=""),
    Command(merge),
    Command(split),
    Command(subset),
    Command(degrade),
    Command(splice),
    Command(prefix_speakers),
    Command(utt2dur, output=""),
)

if __name__ == "__main__":
    run_commands(COMMANDS)
