"""A small corpus of demo pages: six repositories of git, and the lists of them that the recipe reads."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
from paper_recipes import clips

from masd.audio import resample, write_wav

COLUMNS = (
    "clip label generator kind neural base speaker language pair seconds source_rate source_format repo path"
)
# {set: {repository: (generator, kind, speaker)}}; no two sets share any of these
PAGES = {
    "train": {"anna/one": ("HiFi-GAN V1", "vocoder", "LJ"), "anna/two": ("Tacotron2+MelGAN", "tts", "p225")},
    "dev": {"ben/one": ("WaveNet (MoL)", "vocoder", "?"), "ben/two": ("DAC 6kbps", "codec", "p226")},
    "eval": {"carl/one": ("TTS+Vocos", "tts", "libri_19"), "carl/two": ("EnCodec 3kbps", "codec", "?carl")},
}
EACH = 4


def git(folder: Path, *words: str) -> str:
    """Run git in a folder, and return what it prints."""
    known = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    command = ["git", *known, "-C", str(folder), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def pages(folder: Path, conf: Path) -> Path:
    """Lay out <folder>/hub/<repository>, of 22.05 kHz, and return a copy of `conf` with lists of these."""
    rows, commits, protocol = [], [], ["clip\tset\tfold"]
    sounds = {label: iter(clips(label, 6 * EACH, 1.2)) for label in ("bonafide", "spoof")}
    for name, repo, page in [(name, *some) for name, part in PAGES.items() for some in part.items()]:
        hub = folder / "hub" / repo
        for number in range(EACH):
            for label, sound in sounds.items():
                path, clip = f"wavs/{label} {number}.wav", f"{repo.replace('/', '_')}_{label}_{number}"
                hub.joinpath("wavs").mkdir(parents=True, exist_ok=True)
                x = resample(next(sound), 16000, 22050)
                write_wav(hub / path, 0.9 * x / np.abs(x).max(), 22050)
                rows.append(line_of(clip, label, page, f"{name}-{number}", repo, path))
                protocol.append(f"{clip}\t{name}\t{'-' if name == 'eval' else 1 + (name == 'dev')}")
        commits.append(f"{repo}\t{publish(hub)}\tMIT")
    lists = shutil.copytree(conf, folder / "conf")
    header = "\t".join([*COLUMNS.split(), "sha256"])
    (lists / "clips.tsv").write_text("\n".join([header, *rows, ""]))
    (lists / "repositories.tsv").write_text("\n".join(["repo\tcommit\tlicence", *commits, ""]))
    (lists / "protocol.tsv").write_text("\n".join([*protocol, ""]))
    return lists


def line_of(clip: str, label: str, page: tuple[str, str, str], pair: str, repo: str, path: str) -> str:
    """Return a line of clips.tsv; its sha256 is no file's."""
    generator, kind, speaker = page
    made = (generator, kind, "yes") if label == "spoof" else ("natural", "natural", "no")
    known = ("base", speaker, "en", pair, "1.20", "22050", "wav")
    return "\t".join([clip, label, *made, *known, repo, path, "0" * 64])


def publish(hub: Path) -> str:
    """Make a repository of a folder that serves any commit, and return its commit."""
    git(hub, "init", "--quiet")
    git(hub, "config", "uploadpack.allowFilter", "true")
    git(hub, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(hub, "add", ".")
    git(hub, "commit", "--quiet", "-m", "page")
    return git(hub, "rev-parse", "HEAD")
