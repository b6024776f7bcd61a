"""Take a part of a data folder."""

from __future__ import annotations

from pathlib import Path

from masd.cli import run
from masd.errors import MasdError


def subset_data(
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
    from masd.data.folder import read_folder
    from masd.data.transform import choose_per_speaker, choose_random, read_ids, subset

    ways = {"utt_list": utt_list, "spk_list": spk_list, "first": first, "random": random}
    given = [name for name, value in {**ways, "per_speaker": per_speaker}.items() if value is not None]
    if len(given) != 1:
        raise MasdError(
            f"give one of --utt-list, --spk-list, --first, --random, --per-speaker, not {len(given)}"
        )
    folder = read_folder(data)
    if utt_list is not None:
        utts = read_ids(utt_list)
    elif spk_list is not None:
        utts = _of_speakers(folder.utt2spk, read_ids(spk_list), data)
    elif first is not None:
        if not 0 < first <= len(folder.utts):
            raise MasdError(f"{data}: the first {first} utterances asked for, there are {len(folder.utts)}")
        utts = folder.utts[:first]
    elif random is not None:
        utts = choose_random(folder.utts, random, seed)
    else:
        utts = choose_per_speaker(folder, per_speaker or 0, seed)
    kept = subset(data, out, utts)
    print(f"{out}: {len(kept.utt2spk)} of {len(folder.utt2spk)} utterances of {data}")


def _of_speakers(utt2spk: dict[str, str], speakers: list[str], data: Path) -> list[str]:
    unknown = set(speakers) - set(utt2spk.values())
    if unknown:
        raise MasdError(f"{data}: no speaker '{min(unknown)}'")
    return [utt for utt, spk in utt2spk.items() if spk in set(speakers)]


if __name__ == "__main__":
    run(subset_data)
