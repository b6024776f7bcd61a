"""Whether a data folder is fit for use: every problem, one line each."""

from __future__ import annotations

from pathlib import Path

from masd.data.folder import DataFolder, check_spk2utt, cross_check, scan_folder
from masd.errors import MasdError

# How far utt2dur may be from the audio: resampled lengths and rounded seconds differ by less.
DURATION_TOLERANCE = 0.05


def validate(path: str | Path, strict: bool = False, allow_pipes: bool = False) -> list[str]:
    """Return all that is wrong with a data folder, an empty list if nothing is.

    Checked are the form of each list, their agreement, spk2utt, and that audio files are there and
    not empty. Files are not opened unless `strict`.

    Args:
        path: the data folder.
        strict: decode every utterance too: damaged, silent, empty, not finite, not as long as utt2dur says.
        allow_pipes: with `strict`, run the commands in wav.scp.
    """
    folder, problems = scan_folder(path)
    if not Path(path).is_dir():
        return problems
    problems += cross_check(folder) + check_spk2utt(folder)
    if not (folder.path / "spk2utt").exists():
        problems.append(f"{folder.path}/spk2utt: missing; masd.bin.data fix makes it")
    problems += [f"{folder.path}/wav.scp: '{name}': {why}" for name, why in missing_audio(folder).items()]
    if strict:
        problems += _check_sound(folder, allow_pipes)
    return list(dict.fromkeys(problems))


def check_apart(train: DataFolder, dev: DataFolder, share_speakers: bool = False) -> None:
    """Refuse a development set that has something of the training set.

    Raises:
        MasdError: they share a recording (utt2source) or, unless `share_speakers` lets them, a speaker.
    """
    shared = set(train.utt2spk.values()) & set(dev.utt2spk.values())
    if shared and not share_speakers:
        raise MasdError(
            f"{dev.path}: speaker {min(shared)} is in {train.path} too; sets must not share speakers "
            "(--share-speakers true where a corpus has too few)"
        )
    both = {train.source(utt) for utt in train.utts} & {dev.source(utt) for utt in dev.utts}
    if both:
        raise MasdError(f"{dev.path}: source recording {min(both)} is in {train.path} too")


def missing_audio(folder: DataFolder) -> dict[str, str]:
    """Return the recordings whose file is missing or empty, with the reason; commands are taken as is."""
    from masd.audio.files import in_archive

    missing = {}
    for name, entry in folder.wav.items():
        if entry.endswith("|"):
            continue
        file, _ = in_archive(entry)
        if not file.is_file():
            missing[name] = f"no such file {entry}"
        elif file.stat().st_size == 0:
            missing[name] = f"empty file {entry}"
    return missing


def speaker_sorted(folder: DataFolder) -> bool:
    """Return whether order by utterance is order by speaker too, as Kaldi's own tools want it."""
    speakers = [folder.utt2spk[utt] for utt in folder.utts]
    return speakers == sorted(speakers)


def _check_sound(folder: DataFolder, allow_pipes: bool) -> list[str]:
    from masd.audio import check_audio
    from masd.data.utterance import load_utterance

    problems, lengths = [], folder.tables.get("utt2dur", {})
    for utt in folder.utts:
        try:
            x = load_utterance(folder, utt, allow_pipes=allow_pipes)
            check_audio(x, utt)
        except MasdError as error:
            problems.append(f"{folder.path}: utterance '{utt}': {error}")
            continue
        seconds = len(x) / 16000
        if utt in lengths and abs(_number(lengths[utt]) - seconds) > DURATION_TOLERANCE:
            problems.append(f"{folder.path}/utt2dur: '{utt} {lengths[utt]}': its audio lasts {seconds:.3f} s")
    return problems


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("inf")
