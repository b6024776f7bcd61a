"""The front end's configuration: what contradicts itself or differs is named by its key."""

import dataclasses
import re

import pytest

from masd.errors import MasdError
from masd.feats.config import FeatsConfig, classify_frames, family_widths, hand_size
from masd.stage.files import plain


def test_the_defaults_are_those_of_the_method():
    config = FeatsConfig()
    assert (config.sample_rate, config.n_fft, config.hop_length, config.n_mels) == (16000, 400, 160, 64)
    assert (config.hand_n_fft, config.hand_hop, config.hfer_cutoff) == (2048, 160, 4000.0)
    assert config.pad == "none" and classify_frames(config) == 401


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hop_length", 0),
        ("win_length", 401),
        ("f_max", 8001.0),
        ("log_floor", 0.0),
        ("dither", -1e-5),
        ("pad", "repeat"),
        ("hfer_cutoff", 9000.0),
        ("min_seconds", 0.1),
        ("max_seconds", 0.1),
        ("classify_seconds", 0.2),
        ("hand_n_fft", 16000),
        ("families", ("mel_man",)),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(key, value):
    said = "min_seconds" if key == "hand_n_fft" else key
    with pytest.raises(MasdError, match=rf"feats\.{said}: "):
        FeatsConfig(**{key: value})


def test_a_stored_configuration_comes_back_and_unknown_or_missing_keys_are_named():
    config = FeatsConfig(hop_length=200, max_seconds=6.0)
    values = plain(config)
    assert FeatsConfig.from_dict(values) == config
    with pytest.raises(MasdError, match=r"x\.yaml: the key n_mels is missing"):
        FeatsConfig.from_dict({k: v for k, v in values.items() if k != "n_mels"}, "x.yaml")
    with pytest.raises(MasdError, match=r"x\.yaml: unknown key mels"):
        FeatsConfig.from_dict({**values, "mels": 3}, "x.yaml")
    for wrong in (None, [1], {**values, "sample_rate": "16000"}, {**values, "hop_length": None}):
        with pytest.raises(MasdError, match=r"x\.yaml"):
            FeatsConfig.from_dict(wrong, "x.yaml")


def test_what_was_stored_before_there_were_some_keys_is_still_the_same():
    new = ("families", "skip_silence")
    old = {key: value for key, value in dataclasses.asdict(FeatsConfig()).items() if key not in new}
    assert plain(FeatsConfig()) == old and FeatsConfig.from_dict(old) == FeatsConfig()
    config = FeatsConfig(families=["tones", "phase_mixed"])  # as YAML gives them
    assert plain(config)["families"] == ["tones", "phase_mixed"]
    assert FeatsConfig.from_dict(plain(config)) == config and hand_size(config) == 3 + 162 + 64


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(FeatsConfig)])
def test_every_key_counts_when_configurations_are_compared(field):
    base = FeatsConfig()
    changed = {
        "n_fft": 512,
        "win_length": 320,
        "f_max": 7600.0,
        "max_seconds": 8.0,
        "pad": "zero",
        "hand_center": True,
        "hfer_cutoff": 8000.0,
        "hand_n_fft": 1024,
        "families": ("tones",),
    }
    value = changed.get(field) or (getattr(base, field) * 1.5 or 1)
    value = field != "skip_silence" and type(getattr(base, field) or value)(value)
    other = dataclasses.replace(base, **{field: value})
    with pytest.raises(
        MasdError, match=re.escape(f"dump/x: made with feats.{field} {getattr(other, field)}")
    ):
        other.check_same(base, "dump/x")
    base.check_same(FeatsConfig(), "dump/x")


def test_widths_of_families_add_up_to_the_handcrafted_features():
    families = ("tones", "frame_lines")
    assert family_widths(families) == [3 + 162, 24]
    assert sum(family_widths(families)) == hand_size(FeatsConfig(families=families))
    with pytest.raises(MasdError, match="lfc"):
        family_widths(["lfc"])
