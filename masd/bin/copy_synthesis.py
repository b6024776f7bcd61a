"""Stage 2: copy-synthesis of a data folder through one vocoder, one shard."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from masd.cli import run


def copy_synthesis(
    data: Path,
    vocoder: str,
    out: Path,
    wav_dir: Path,
    vocoder_config: dict[str, Any] | Path | None = None,
    available: Path | None = None,
    audio_format: Literal["wav", "flac"] = "wav",
    device: Literal["auto", "cpu", "cuda"] = "auto",
    job: int = 1,
    num_jobs: int = 1,
    seed: int = 0,
    allow_pipes: bool = False,
    force: bool = False,
) -> None:
    """Pass the utterances of a data folder through a vocoder: the same words, speaker, length and level.

    Ends with `python3 -m masd.bin.finish copy-synthesis` once all shards are there. Each utterance is kept
    once made, so that a stopped shard goes on where it was; folders that share `wav_dir` share copies.

    Args:
        data: data folder of the recordings.
        vocoder: name of the vocoder in ids and tables; its kind too, unless the configuration says `type`.
        out: data folder of the copies.
        wav_dir: where the copies' audio goes, `<vocoder>-<utt>.wav`.
        vocoder_config: a YAML file, or its content: what the vocoder's adapter is set up with.
        available: your own list of vocoders (conf/vocoders.yaml): a configuration file names a `module:Class`
            only where this list does too.
        audio_format: wav or flac, 16 kHz, 16 bits.
        device: where networks compute; `auto` takes a GPU where there is one, a host's jobs its GPUs in turn.
            Shards made on a CPU and on a GPU are not joined.
        job: which shard, from 1.
        num_jobs: how many shards; the copies do not depend on it.
        seed: of the vocoder's randomness, unless the configuration says another.
        allow_pipes: run commands that stand in wav.scp.
        force: synthesise again what is there.
    """
    from masd.stage.devices import device_of
    from masd.vocoders.copy_synthesis import copy_shard, vocoder_of

    made = vocoder_of(vocoder, vocoder_config, seed, available)
    if made.network:
        made.place(device_of(device, job))
    copy_shard(data, made, out, wav_dir, audio_format, job, num_jobs, allow_pipes, force)


if __name__ == "__main__":
    run(copy_synthesis)
