"""Stages 0 and 1 of MLAAD with the bona fide speech of M-AILABS: its meta.csv files; audio is not opened."""

from __future__ import annotations

import logging
from pathlib import Path

from masd.audio.walk import audio_paths
from masd.cli import Command, run_commands
from masd.data.corpus import Findings, complete, evaluation_only, find_root, id_of, write_sets
from masd.data.keys import Key, file_key
from masd.errors import MasdError
from masd.stage.files import read_yaml

log = logging.getLogger(__name__)

CORPUS = "MLAAD"
LAYOUT = "DIR/fake/<language>/<model>/meta.csv and *.wav beside it"
MAILABS = "DIR/<locale>/by_book/<gender>/<speaker>/<book>/wavs/*.wav, such as en_US"


def locate(corpus: str = "", mailabs: str = "", zero_shot: bool = True) -> None:
    """Say where both corpora are, or which is missing; they have no training part."""
    evaluation_only(CORPUS, zero_shot)
    log.info("%s: %s, M-AILABS: %s", CORPUS, *find(corpus, mailabs))


def find(corpus: str, mailabs: str) -> tuple[Path, Path]:
    """Return the folder that holds fake, and the one that holds M-AILABS' locales."""
    root = find_root(corpus, ["fake"], CORPUS, LAYOUT, "--corpus")
    if not mailabs:
        raise MasdError(
            f"no --mailabs given: {CORPUS} is fakes alone, and it says where M-AILABS is ({MAILABS})"
        )
    places = sorted(Path(mailabs).glob("*_*/by_book")) or sorted(Path(mailabs).glob("*/*_*/by_book"))
    if not places:
        raise MasdError(f"--mailabs {mailabs}: no <locale>/by_book in it; M-AILABS looks like {MAILABS}")
    return root, places[0].parents[1]


def prepare(
    corpus: str, part: Path, out: Path, mailabs: str = "", zero_shot: bool = True, strict: bool = True
) -> None:
    """Write `<out>/eval`, the fakes and the recordings of M-AILABS whose sentences they say, and
    `<out>/breakdown`.

    Args:
        corpus: folder with fake.
        part: conf/corpus_<size>.yaml, how much of the corpora is taken.
        out: data/<size>.
        mailabs: folder with M-AILABS.
        zero_shot: must be true, for there is no training part.
        strict: stop where recordings are missing; else go on with what there is.

    Raises:
        MasdError: a part is not where it should be, damaged, or (strict) recordings are missing.
    """
    evaluation_only(CORPUS, zero_shot)
    root, real = find(corpus, mailabs)
    findings, key, audio = Findings(CORPUS, strict), Key(CORPUS, {}, {}, {}), {}
    originals: set[str] = set()
    metas = sorted(root.glob("fake/*/*/meta.csv"))
    if not metas:
        raise MasdError(f"{root}: no fake/<language>/<model>/meta.csv in it; {CORPUS} looks like {LAYOUT}")
    for meta in metas:
        fakes = {fake_id(meta.parent, path): path for path in audio_paths(meta.parent, (".wav",), deep=False)}
        read = file_key(meta)
        originals |= set(read.tables.get("original_file", {}).values())
        one = read.rename(lambda name, folder=meta.parent: fake_id(folder, name))
        key.extend(complete(findings, str(meta), of_model(one, meta.parent), fakes, meta.parent, {}))
        audio |= fakes
    files = {original: real / original.removeprefix("./") for original in sorted(originals - {"", "-"})}
    found = {name: path for name, path in files.items() if path.is_file()}
    log.info("%d of the %d recordings that the fakes are of are in %s", len(found), len(files), real)
    if not found:
        raise MasdError(
            f"--mailabs {mailabs}: has none of the recordings that meta.csv names, {list(files)[:1]}"
        )
    key.extend(bona_fide(found))
    audio |= {real_id(name): str(path) for name, path in found.items()}
    findings.settle()
    write_sets(out, {"eval": key}, audio, read_yaml(part), "language,architecture,language*architecture")


def fake_id(folder: Path, name: str) -> str:
    """Return a fake's id: names repeat from model to model, and models from language to language."""
    return id_of("-".join((folder.parent.name, folder.name, Path(name).stem)))


def real_id(original: str) -> str:
    """Return the id of a recording of M-AILABS; names repeat from locale to locale."""
    return id_of("-".join((original.removeprefix("./").split("/")[0], Path(original).stem)))


def of_model(key: Key, folder: Path) -> Key:
    """Return what is kept of a meta.csv: its architectures, and the model and language of its folder."""
    keep = {
        "language": dict.fromkeys(key.label, folder.parent.name),
        "architecture": {utt: key.tables["architecture"].get(utt) or "-" for utt in key.label},
    }
    original = key.tables.get("original_file", {})
    keep["source"] = {utt: real_id(original[utt]) if original.get(utt) else utt for utt in key.label}
    return Key(key.name, key.label, dict.fromkeys(key.label, id_of(folder.name)), keep)


def bona_fide(found: dict[str, Path]) -> Key:
    """Return the key of recordings of M-AILABS; `mix` has several speakers, who are not named."""
    ids = {real_id(name): name.removeprefix("./").split("/") for name in found}
    return Key(
        "M-AILABS",
        dict.fromkeys(ids, "bonafide"),
        dict.fromkeys(ids, "-"),
        {
            "language": {utt: parts[0].split("_")[0] for utt, parts in ids.items()},
            "architecture": dict.fromkeys(ids, "-"),
            "source": {utt: utt for utt in ids},
            "spk": {u: f"{p[0]}-{p[3]}" for u, p in ids.items() if len(p) > 4 and p[2] in ("female", "male")},
        },
    )


if __name__ == "__main__":
    run_commands((Command(locate, output=""), Command(prepare, output="")))
