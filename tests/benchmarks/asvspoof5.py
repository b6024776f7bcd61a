"""What the lists of ASVspoof 5's evaluation set cost, at their full size.

    python3 tests/benchmarks/asvspoof5.py [--trials 680774] [--folder DIR]

Makes a tree like the corpus's in a temporary folder (`--folder`: where), one short recording under all its
names by hard links, and runs what stages 1 and 7 of egs/asvspoof5 run, each on one core: preparation,
durations, validation, and the evaluation of drawn scores, with intervals and the recipe's breakdowns. Prints
seconds by the clock and of the processor, and peak memory.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "egs/asvspoof5"
BONAFIDE = 138_688 / 680_774
LINKS = 50_000  # of one file, fewer than any usual file system allows


def make_tree(top: Path, trials: int) -> None:
    """Lay out protocol and recordings."""
    import numpy as np
    import soundfile

    audio = top / "flac_E_eval"
    audio.mkdir(parents=True)
    x = 0.1 * np.random.default_rng(0).standard_normal(16000)
    attacks = [f"A{number}" for number in range(17, 33)]
    codecs = ["- 0 -", *(f"C{number:02d} 2 E_0009486171" for number in range(1, 12))]
    with (top / "ASVspoof5.eval.track_1.tsv").open("w") as lines:
        for i in range(trials):
            path, first = (audio / f"E_{k:010d}.flac" for k in (i, i - i % LINKS))
            if path == first:
                soundfile.write(path, x, 16000)
            else:
                os.link(first, path)
            real = int((i + 1) * BONAFIDE) > int(i * BONAFIDE)
            said = "- bonafide bonafide" if real else f"AC1 {attacks[i % 16]} spoof"
            lines.write(f"E_{i % 737:04d} {path.stem} {'FM'[i % 2]} {codecs[i % 12]} {said} -\n")


def make_scores(data: Path) -> None:
    """Draw a score of each trial, of an EER of 16 %."""
    import numpy as np

    from masd.metrics.scores import write_scores
    from masd.stage.tables import read_table

    label = read_table(data / "utt2lab")
    draws = np.random.default_rng(1).standard_normal(len(label))
    write_scores(
        data / "scores", {u: d + (label[u] == "bonafide") for u, d in zip(label, draws * 0.5, strict=True)}
    )


def measure(name: str, words: list[str | Path]) -> None:
    """Run a command in the recipe's folder on one core, and print what it took."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    begin = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *map(str, words)], cwd=RECIPE, env=environment, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{name} failed")
    wall, processor = time.monotonic() - begin, used.ru_utime + used.ru_stime
    print(f"{name:28s} {wall:8.1f} {processor:8.1f} {used.ru_maxrss / 1000:8.0f}", flush=True)


def main(trials: int, top: Path) -> None:
    """Make everything and measure."""
    make_tree(top / "corpus", trials)
    out, evaluate = top / "data", ["-m", "masd.bin.evaluate", "--breakdown", "codec,gender"]
    evaluate += ["--scores", str(out / "eval/scores"), "--data", str(out / "eval")]
    print(f"{trials} trials{'':15s} {'wall s':>8s} {'proc. s':>8s} {'peak MB':>8s}", flush=True)
    words = ["local/corpus.py", "prepare", "--corpus", top / "corpus", "--part", "conf/corpus_full.yaml"]
    measure("1 preparation", [*words, "--out", out, "--strict", "false"])
    measure("1 durations", ["-m", "masd.bin.data", "utt2dur", "--data", out / "eval"])
    measure("1 durations, joined", ["-m", "masd.bin.finish", "utt2dur", "--data", out / "eval"])
    measure("1 validation", ["-m", "masd.bin.data", "validate", "--data", out / "eval"])
    make_scores(out / "eval")
    measure("7 evaluation", [*evaluate, "--out", top / "results"])
    measure("7 evaluation, no intervals", [*evaluate, "--out", top / "bare", "--bootstrap", "0"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--trials", type=int, default=680_774)
    parser.add_argument("--folder", default=None, help="where the temporary folder is made")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        main(given.trials, Path(folder))
