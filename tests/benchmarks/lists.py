"""What long lists cost: time and memory until an entry point does its first piece of work.

    python3 tests/benchmarks/lists.py [--sizes 10000 100000 1000000] [--only pretrain dump_feats]

Makes data folders and dumps of so many lines in a temporary folder, every line naming the same recording and
the same stored matrix, and starts each entry point on them as the last of as many jobs (so that it works on
one utterance), pretraining on a seventh of the lines of recordings and six dumps of copies until its first
step, evaluation to its end without intervals. Prints wall and processor seconds and peak memory of each, and
how much more memory that is than with ten lines.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# everything else is imported where lists are made, in a process of its own: Linux counts the memory of the
# process that starts another one as that one's
ROOT = Path(__file__).parents[2]
VOCODERS = ("world", "waveglow", "melgan", "hifigan", "univnet", "bigvgan")
READY = "steps an epoch"  # what pretraining says before its first step
SMALL = ("--encoder.channels", "[8,8,8,8,8]", "--encoder.dim", "16")


def utterances(count: int, prefix: str = "") -> Iterator[str]:
    """Ids like LibriSpeech's, sorted."""
    return (f"{prefix}{i // 500:05d}-{i // 25 % 20:06d}-{i % 500:04d}" for i in range(count))


def make_data(folder: Path, count: int) -> None:
    """A data folder of one recording under many names."""
    import numpy as np
    import soundfile

    from masd.stage.files import write_lines

    wav = folder / "x.wav"
    folder.mkdir(parents=True)
    soundfile.write(wav, 0.1 * np.random.default_rng(0).standard_normal(16000), 16000)
    utts = list(utterances(count))
    lists = {
        "wav.scp": (f"{utt} {wav}" for utt in utts),
        "utt2spk": (f"{utt} {utt[:5]}" for utt in utts),
        "utt2lab": (f"{utt} {('bonafide', 'spoof')[i % 10 > 0]}" for i, utt in enumerate(utts)),
        "utt2attack": (f"{utt} {'A01' if i % 10 else '-'}" for i, utt in enumerate(utts)),
    }
    for name, lines in lists.items():
        write_lines(folder / name, lines)
    draws = np.random.default_rng(1).standard_normal(count)
    write_lines(folder / "scores.txt", (f"{utt} {draws[i] - (i % 10 > 0)}" for i, utt in enumerate(utts)))


def make_dump(folder: Path, count: int, prefix: str = "") -> None:
    """A dump of one matrix under many names."""
    import numpy as np

    from masd.data.archive import Writer
    from masd.feats.config import FeatsConfig
    from masd.stage.files import write_lines, write_yaml

    mel = np.random.default_rng(0).standard_normal((500, 64)).astype(np.float32)
    folder.mkdir(parents=True)
    with Writer(folder, "feats") as feats, Writer(folder, "hand") as hand:
        feats.write("x", mel)
        hand.write("x", np.ones(3, np.float32))
    for name in ("feats", "hand"):
        place = (folder / f"{name}.1.scp").read_text().split()[1]
        write_lines(folder / f"{name}.scp", (f"{utt} {place}" for utt in utterances(count, prefix)))
    write_lines(folder / "utt2num_frames", (f"{utt} 500" for utt in utterances(count, prefix)))
    write_yaml(folder / "feats.yaml", FeatsConfig())


def prepare(top: Path, count: int) -> dict[str, list[str]]:
    """Make everything for lists of `count` lines; return each entry point's arguments."""
    from masd.feats.config import FeatsConfig
    from masd.models.encoder import Encoder, EncoderConfig, save_encoder

    seventh = max(count // 7, 4)
    make_data(top / "data", count)
    make_dump(top / "dump", count)
    make_dump(top / "real", seventh)
    make_dump(top / "dev", 4)
    for vocoder in VOCODERS:
        make_dump(top / vocoder, seventh, f"{vocoder}-")
    config = EncoderConfig(channels=(8, 8, 8, 8, 8), dim=16)
    save_encoder(top / "ssl", Encoder(config), config, FeatsConfig(), {})
    one = ("--job", str(count), "--num_jobs", str(count))
    copies = ",".join(f"{vocoder}={top / vocoder}" for vocoder in VOCODERS)
    words = {
        "dump_feats": ["--data", top / "data", "--out", top / "o1", *one],
        "copy_synthesis": [
            "--data",
            top / "data",
            "--vocoder",
            "lpc",
            "--out",
            top / "o2",
            "--wav_dir",
            top / "w",
        ],
        "extract_embeddings": ["--model", top / "ssl", "--dump", top / "dump", "--out", top / "o3", *one],
        "pretrain": ["--train", top / "real", "--dev", top / "dev", "--vocoded", copies, "--out", top / "o4"],
        "evaluate": ["--scores", top / "data/scores.txt", "--data", top / "data", "--out", top / "o5"],
    }
    words["copy_synthesis"] += ["--wav_dir", top / "w", *one]
    words["pretrain"] += [*SMALL, "--ssl.statistics_utts", "4"]
    words["evaluate"] += ["--bootstrap", "0"]
    return {name: [str(word) for word in line] for name, line in words.items()}


def measure(name: str, words: list[str]) -> tuple[float, float, float]:
    """Return wall seconds, processor seconds and peak memory in MB of an entry point's start."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    begin = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", f"masd.bin.{name}", *words],
        env=environment, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        said = []
        for line in process.stderr or ():
            said.append(line)
            if READY in line:
                process.terminate()
                break
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode > 0:
        raise SystemExit(f"{name}: {''.join(said[-3:])}")
    return time.monotonic() - begin, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000


def table(sizes: list[int], only: list[str], show: Callable[[str], None]) -> None:
    """Measure and show a line for each entry point and size."""
    show(f"{'entry point':20s} {'lines':>9s} {'wall s':>7s} {'proc. s':>7s} {'peak MB':>8s} {'more MB':>8s}")
    least: dict[str, float] = {}
    for size in [10, *sizes]:
        with tempfile.TemporaryDirectory() as top:
            command = [sys.executable, __file__, "--prepare", top, str(size)]
            made = subprocess.run(command, check=True, capture_output=True, text=True)
            for name, words in json.loads(made.stdout).items():
                if only and name not in only:
                    continue
                wall, processor, peak = measure(name, words)
                more = peak - least.setdefault(name, peak)
                show(f"{name:20s} {size:9d} {wall:7.1f} {processor:7.1f} {peak:8.0f} {more:8.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--only", nargs="*", default=[], help="entry points; all without it")
    parser.add_argument("--prepare", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.prepare:
        print(json.dumps(prepare(Path(given.prepare[0]), int(given.prepare[1]))))
        sys.exit()
    table(given.sizes, given.only, lambda line: print(line, flush=True))
