"""Stage 0: the clips, from a folder that has them or from the repositories that published them."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from clips import RATE, Clip, load_clip, load_clips

from masd.audio import audio_files, read_audio, write_wav
from masd.cli import run
from masd.data.corpus import Findings
from masd.errors import MasdError

log = logging.getLogger("gather")

CORPUS = "demos"
REPOSITORIES = "https://github.com/{repo}"


def gather(
    corpus: str = "", downloads: Path = Path("downloads"), repositories: str = "", strict: bool = True
) -> None:
    """Find every clip, or clone the repositories and convert what was published; say what is missing.

    Args:
        corpus: folder with the clips, see `places`.
        downloads: where clips go, as <downloads>/clips/<clip>.flac, if no `corpus` is given.
        repositories: address of a repository, with {repo} for its owner and name.
        strict: stop where a clip is missing; else go on with what there is.

    Raises:
        MasdError: none is there, or (strict) one is missing.
    """
    clips = load_clips()
    why: dict[str, str] = {}
    if not corpus:
        why = clone_all(clips, downloads / "clips", repositories or REPOSITORIES)
    found = places(corpus, downloads, clips)
    report(clips, found, why, strict)


def places(corpus: str, downloads: Path, clips: Iterable[Clip]) -> dict[str, Path]:
    """Return {clip: its file} of those that are there.

    A folder has them by their names (<clip>.flac, in clips/ too), as the repositories have them
    (<owner>/<name>/<path>), or by any names, where samples are told by their sha256.
    """
    root = Path(corpus) if corpus else downloads
    found, missing = {}, {}
    for clip in clips:
        tried = (
            root / "clips" / f"{clip.clip}.flac",
            root / f"{clip.clip}.flac",
            root / clip.repo / clip.path,
        )
        path = next((path for path in tried if path.is_file()), None)
        if path is None:
            missing[clip.sha256] = clip.clip
        else:
            found[clip.clip] = path
    if corpus and missing:
        used = set(found.values())
        for path in audio_files(root):
            name = missing.get(fingerprint_of(path)) if path not in used else None
            if name:
                found[name] = path
    return found


def fingerprint_of(path: Path) -> str:
    """Return the sha256 of the 16-bit samples of a file; nothing of one that cannot be read."""
    try:
        return fingerprint(read_audio(path, RATE)[0])
    except MasdError:
        return ""


def fingerprint(x: np.ndarray) -> str:
    """Return the sha256 of a waveform (N,) as 16-bit little-endian integers."""
    return hashlib.sha256(np.clip(np.round(x * 32768.0), -32768, 32767).astype("<i2").tobytes()).hexdigest()


def clone_all(clips: list[Clip], out: Path, repositories: str) -> dict[str, str]:
    """Convert what is missing to <out>/<clip>.flac; return {repository: what went wrong}."""
    wanted: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        if not (out / f"{clip.clip}.flac").is_file():
            wanted[clip.repo].append(clip)
    why = {}
    for repo, missing in sorted(wanted.items()):
        log.info("%s: %d clips", repo, len(missing))
        try:
            clone(missing, out, repositories.format(repo=repo))
        except MasdError as error:
            why[repo] = str(error)
    return why


def clone(clips: list[Clip], out: Path, address: str) -> None:
    """Take the clips of one repository, at its commit, and write them as 16 kHz FLAC.

    Only this commit and the files asked for are transferred where the server can do that.

    Raises:
        MasdError: it cannot be cloned, or a file is not in it or is no audio; the others are written.
    """
    out.mkdir(parents=True, exist_ok=True)
    problems = []
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        git(scratch, "init", "--quiet")
        git(scratch, "remote", "add", "origin", address)
        git(scratch, "fetch", "--quiet", "--depth=1", "--filter=blob:none", "origin", clips[0].commit)
        listed = set(git(scratch, "ls-tree", "-r", "-z", "--name-only", clips[0].commit).split("\0"))
        there = [clip for clip in clips if clip.path in listed]
        problems += [f"no {clip.path}" for clip in clips if clip.path not in listed]
        if there:
            git(
                scratch, "checkout", "--quiet", clips[0].commit, "--", *(f":(literal){c.path}" for c in there)
            )
        for clip in there:
            try:
                write_wav(out / f"{clip.clip}.flac", load_clip(clip, Path(scratch) / clip.path), RATE)
            except MasdError as error:
                problems.append(str(error).removeprefix(f"{scratch}/"))
    if problems:
        raise MasdError(problems[0])


def git(folder: str, *words: str) -> str:
    """Run git in a folder and return what it prints; its complaint becomes the error."""
    slow = ("-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60")
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1"}
    try:
        done = subprocess.run(
            ["git", *slow, "-C", folder, *words],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
        )
    except OSError as error:
        raise MasdError(f"git cannot be run ({error.strerror}); install it") from None
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        said = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1])
        raise MasdError(f"git {words[0]}: {said}")
    return done.stdout


def report(clips: list[Clip], found: dict[str, Path], why: dict[str, str], strict: bool) -> None:
    """Compare the clips with the list; one table says of which repositories what is missing or differs."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for clip in clips:
        for name in compare(clip, found.get(clip.clip), why):
            counts[clip.repo][name] += 1
    columns = ("here", "missing", "unusable", "other samples")
    odd = {repo: row for repo, row in sorted(counts.items()) if any(row[name] for name in columns[1:])}
    for repo, row in [("repository", dict(zip(columns, columns, strict=True))), *odd.items()] if odd else ():
        numbers = "".join(f"{row[name]:>15}" for name in columns)
        print(f"{repo:44}{numbers}  {why.get(repo, '')}".rstrip())
    here, other = (sum(row[name] for row in counts.values()) for name in ("here", "other samples"))
    if not here:
        first = next(iter(why.values()), "no file in it is one of conf/clips.tsv")
        raise MasdError(f"no clip of {CORPUS} is there: {first}; --corpus takes a folder that has them")
    log.info(
        "%d of %d clips, %d of them by another decoder or resampler (other samples, the same length)",
        *(here, len(clips), other),
    )
    findings = Findings(CORPUS, strict)
    if here < len(clips):
        lost = len(clips) - here
        findings.add(f"{lost} of {len(clips)} clips are missing or unusable, see the table in the log")
    findings.settle()


def compare(clip: Clip, path: Path | None, why: dict[str, str]) -> list[str]:
    """Return what is to be counted of a clip; `why` gets the first reason of its repository."""
    if path is None:
        return ["missing"]
    try:
        x = load_clip(clip, path)
    except MasdError as error:
        why.setdefault(clip.repo, str(error))
        return ["unusable"]
    return ["here"] if fingerprint(x) == clip.sha256 else ["here", "other samples"]


if __name__ == "__main__":
    run(gather, output="")
