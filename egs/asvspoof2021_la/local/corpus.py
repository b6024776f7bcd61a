"""Stages 0 and 1 of ASVspoof 2021 LA: its keys and a listing of the audio, which is not opened."""

from __future__ import annotations

import logging
from pathlib import Path

from masd.cli import Command, run_commands
from masd.data.corpus import (
    Findings,
    check_counts,
    complete,
    evaluation_only,
    find_root,
    list_audio,
    read_rows,
    write_sets,
)
from masd.data.keys import file_key
from masd.errors import MasdError
from masd.stage.files import read_yaml, write_changed

log = logging.getLogger(__name__)

CORPUS = "ASVspoof 2021 LA"
AUDIO = "ASVspoof2021_LA_eval/flac"
KEYS = ("keys/LA", "keys", "LA-keys-full/keys/LA")
TRIALS = "trial_metadata.txt"
LAYOUT = f"DIR/{AUDIO}/*.flac and DIR/keys/LA/CM/{TRIALS}, as the archives of Zenodo and asvspoof.org unpack"
ASV_ROW = "LA_0007-alaw-ita_tx LA_E_5013670-alaw-ita_tx alaw ita_tx bonafide nontarget notrim eval"
ASV_SCORE = "LA_0007-alaw-ita_tx LA_E_5013670-alaw-ita_tx -4.8546"


def locate(corpus: str = "", zero_shot: bool = True) -> None:
    """Say where audio and keys are, or which is missing; the corpus has no training part."""
    evaluation_only(CORPUS, zero_shot)
    log.info("%s: audio in %s, keys in %s", CORPUS, *find(corpus))


def find(corpus: str) -> tuple[Path, Path]:
    """Return the folder of the audio and that of the keys, which holds CM and, for t-DCF, ASV."""
    root = find_root(corpus, [AUDIO], CORPUS, LAYOUT, "--corpus")
    places = [place / name for place in (root, Path(corpus), root.parent) for name in KEYS]
    keys = next((place for place in places if (place / "CM" / TRIALS).is_file()), None)
    if keys is None:
        raise MasdError(
            f"--corpus {corpus}: no {root / KEYS[0] / 'CM' / TRIALS}; the keys are an archive of their own, "
            "LA-keys-full.tar.gz, to be unpacked beside the audio"
        )
    return root / AUDIO, keys


def prepare(
    corpus: str,
    part: Path,
    out: Path,
    zero_shot: bool = True,
    published: Path = Path("conf/published.yaml"),
    strict: bool = True,
) -> None:
    """Write `<out>/{eval,progress,hidden}`, the subsets of the keys, of which eval is reported, and
    `<out>/breakdown`; `<out>/asv_scores` where the keys hold the speaker verifier's scores.

    Args:
        corpus: folder with the audio and the keys.
        part: conf/corpus_<size>.yaml, how much of the corpus is taken.
        out: data/<size>.
        zero_shot: must be true, for the corpus has no training part.
        published: the published counts.
        strict: stop where the corpus is not as published; else go on with what there is.

    Raises:
        MasdError: keys or audio are not where they should be, damaged, or (strict) not as published.
    """
    evaluation_only(CORPUS, zero_shot)
    (folder, keys), findings, counts = find(corpus), Findings(CORPUS, strict), read_yaml(published)
    whole, audio = file_key(keys / "CM" / TRIALS), list_audio(folder, (".flac",))
    check_counts(findings, "keys", {"trials": len(whole.label)}, counts["all"])
    sets = {}
    for name in sorted(set(whole.tables["subset"].values())):
        sets[name] = complete(findings, name, whole.subset(name), audio, folder, counts.get(name, {}))
    findings.settle()
    write_sets(out, sets, audio, read_yaml(part), "codec,transmission,codec*transmission")
    write_asv_scores(keys / "ASV", out / "asv_scores", whole.name)


def write_asv_scores(folder: Path, out: Path, name: str) -> None:
    """Write the verifier's scores of subset eval as t-DCF takes them, `<attack> <kind> <score>`.

    Raises:
        MasdError: a trial of the verifier has no score.
    """
    scored = sorted(folder.glob("*/score.txt"))
    if not scored or not (folder / TRIALS).is_file():
        log.warning("%s: no %s with */score.txt beside CM, so no t-DCF", name, folder / TRIALS)
        out.unlink(missing_ok=True)
        return
    score = {(spk, utt): value for spk, utt, value in read_rows(scored[0], (3,), ASV_SCORE)}
    lines = []
    for spk, utt, _, _, attack, kind, _, subset in read_rows(folder / TRIALS, (8,), ASV_ROW):
        if subset == "eval":
            if (spk, utt) not in score:
                raise MasdError(f"{scored[0]}: no score of {utt} for {spk}; take the corpus's own file again")
            lines.append(f"{attack} {kind} {score[spk, utt]}\n")
    write_changed(out, "".join(lines))


if __name__ == "__main__":
    run_commands((Command(locate, output=""), Command(prepare, output="")))
