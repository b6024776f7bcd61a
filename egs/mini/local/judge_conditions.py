"""What `detect` says of genuine recordings: as they are, from a telephone, after silence, after codecs."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile

from masd.audio import read_audio, resample, write_wav
from masd.cli import run
from masd.data.folder import read_folder
from masd.data.utterance import load_utterance
from masd.errors import MasdError
from masd.judge.verdict import Judge
from masd.pretrained import PLUS
from masd.systems import load

RATE = 16000
SILENCE = 5  # seconds


def as_it_is(x: np.ndarray, folder: Path) -> Path:
    """Write x (N,) at 16 kHz into a folder and return the file."""
    write_wav(folder / "x.wav", x, RATE)
    return folder / "x.wav"


def telephone(x: np.ndarray, folder: Path) -> Path:
    """The same at 8 kHz in mu-law."""
    soundfile.write(folder / "x.wav", resample(x, RATE, 8000), 8000, subtype="ULAW")
    return folder / "x.wav"


def after_silence(x: np.ndarray, folder: Path) -> Path:
    """The same after 5 s of zeros."""
    return as_it_is(np.concatenate([np.zeros(SILENCE * RATE, np.float32), x]), folder)


def encoded(suffix: str, codec: str, bits: int) -> Callable[[np.ndarray, Path], Path]:
    """Return what encodes at so many bits a second."""

    def written(x: np.ndarray, folder: Path) -> Path:
        path = folder / f"x.{suffix}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=RATE, layout="mono")
            stream.bit_rate = bits
            samples = np.round(np.clip(x, -1, 1) * 32767).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return written


CONDITIONS = {
    "as they are": as_it_is,
    "8 kHz mu-law": telephone,
    f"{SILENCE} s of zeros before": after_silence,
    "MP3, 32 kbit/s": encoded("mp3", "libmp3lame", 32000),
    "Opus, 16 kbit/s": encoded("ogg", "libopus", 16000),
}


def judge_conditions(
    audio: list[Path],
    model: Path = PLUS,
    speakers: str = "",
    recordings: int = 40,
    prior: float | None = None,
) -> None:
    """Print a Markdown table: of genuine recordings in each condition the share of every label, in per cent.

    Args:
        audio: data folders, of which the bona fide utterances are taken, or files.
        model: model folder.
        speakers: of data folders, those whose recordings are taken, with commas; all where none is named.
        recordings: how many, the first in order.
        prior: as of `detect`.
    """
    judge = Judge(load(model), prior=prior)
    waves = list(_take(audio, set(filter(None, speakers.split(","))), recordings))
    if not waves:
        raise MasdError("no genuine recordings among what --audio and --speakers name")
    print(f"{judge.system.name} model {model}, {len(waves)} genuine recordings\n")
    print("| condition | bonafide | spoof | inconclusive | median P(fake) |\n|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for condition, render in CONDITIONS.items():
            verdicts = [judge.judge(render(x, Path(folder))) for x in waves]
            counts = Counter(verdict.label for verdict in verdicts)
            shares = " | ".join(
                f"{100 * counts[label] / len(waves):.1f}" for label in ("bonafide", "spoof", "inconclusive")
            )
            print(f"| {condition} | {shares} | {np.median([v.p_fake for v in verdicts]):.3f} |", flush=True)


def _take(audio: list[Path], speakers: set[str], most: int) -> Iterator[np.ndarray]:
    """Yield at most so many genuine recordings (N,) at 16 kHz."""
    taken = 0
    for path in audio:
        folder = read_folder(path) if path.is_dir() else None
        for utt in folder.utts if folder else [""]:
            if taken == most:
                return
            if folder and (folder.lab(utt) != "bonafide" or (speakers and folder.spk(utt) not in speakers)):
                continue
            yield load_utterance(folder, utt, RATE) if folder else read_audio(path, RATE)[0]
            taken += 1


if __name__ == "__main__":
    run(judge_conditions, output="")
