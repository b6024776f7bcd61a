"""How long a model takes on recordings: its real-time factor."""

from __future__ import annotations

from pathlib import Path

from masd.cli import run


def time_model(model: Path, data: Path, out: Path, utterances: int = 30, allow_pipes: bool = False) -> None:
    """Measure MASD's processor time on recordings, decoding left out; writes OUT/timing.json.

    Args:
        model: model folder that fit_svm made.
        data: data folder.
        out: folder for timing.json.
        utterances: how many, the first in order; one more before them is not timed.
        allow_pipes: run commands in wav.scp.
    """
    import time

    from masd.data.folder import read_folder
    from masd.data.utterance import load_utterance
    from masd.errors import MasdError
    from masd.stage.files import write_json
    from masd.svm.detector import Detector

    if utterances < 1:
        raise MasdError(f"--utterances {utterances}: give how many recordings of {data} to time, at least 1")
    detector, folder = Detector(model), read_folder(data)
    utts = folder.utts[:utterances]
    rate = detector.config.sample_rate
    waves = {utt: load_utterance(folder, utt, rate, allow_pipes) for utt in utts}
    seconds = 0.0
    for number, utt in enumerate([utts[0], *utts]):
        begin = time.process_time()
        detector.decide(detector.pieces(waves[utt]))
        seconds += (time.process_time() - begin) if number else 0.0
    audio = sum(len(x) for x in waves.values()) / rate
    parts = [detector.encoder, detector.system.features.fusion]
    count = sum(p.numel() for part in parts if part is not None for p in part.parameters())
    timing = {"seconds": seconds, "audio_seconds": audio, "real_time_factor": seconds / audio}
    write_json(out / "timing.json", timing | {"parameters": count})


if __name__ == "__main__":
    run(time_model)
