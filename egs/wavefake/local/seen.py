"""Stage 7: which folders of copies are by vocoders that the model heard in training, as evaluate's option."""

from __future__ import annotations

from pathlib import Path

from masd.cli import run
from masd.stage.files import read_yaml
from masd.stage.tables import read_table

# What copy-synthesis calls a vocoder, and what WaveFake calls those of the same architecture.
SAME = {
    "melgan": {"melgan", "melgan_large"},
    "mb_melgan": {"multi_band_melgan"},
    "hifigan": {"hifigan"},
    "hifigan_lj": {"hifigan"},
    "waveglow": {"waveglow"},
}


def seen(data: Path, model: Path | None = None, zero_shot: bool = True) -> None:
    """Print `--seen-attacks <attack>,...`, `--seen-attacks none` where none was seen, nothing if unknown.

    Of a model trained elsewhere these are the vocoders its encoder was pretrained with (encoder.yaml);
    other weights of the same architecture count as seen. Of one trained here, those of data/<size>/train.

    Args:
        data: data/<size>.
        model: model folder; of one without encoder, and of released weights, it is unknown what they heard.
        zero_shot: whether the model was trained elsewhere.
    """
    vocoder, attack = (read_table(data / "eval" / name) for name in ("utt2vocoder", "utt2attack"))
    if zero_shot:
        path = model and model / "encoder.yaml"
        if not path or not path.is_file():
            return
        heard = (read_yaml(path).get("extra") or {}).get("vocoders", [])
        names = set().union(*(SAME.get(tag, set()) for tag in heard))
        attacks = {attack[utt] for utt in attack if vocoder[utt] in names}
    else:
        attacks = set(read_table(data / "train" / "utt2attack").values()) - {"-"}
    print("--seen-attacks", ",".join(sorted(attacks)) or "none")


if __name__ == "__main__":
    run(seen, output="")
