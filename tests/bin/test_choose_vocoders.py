"""Which vocoders a pretraining set goes through: what is refused before days of copying."""

import pytest

from masd.bin.choose_vocoders import choose_vocoders
from masd.errors import MasdError


def test_a_vocoder_without_a_difficulty_is_refused_before_the_copies_are_made(tmp_path):
    available = tmp_path / "vocoders.yaml"
    available.write_text("default: {full: [world]}\nvocoders: {mine: {type: lpc}, world: null}\n")
    rest = {"available": available, "size": "full", "checkpoints": tmp_path, "out": tmp_path / "out"}
    choose_vocoders(**rest)
    assert (tmp_path / "out" / "pretrain_tags").read_text() == "world\n"
    with pytest.raises(MasdError, match=r"no value for the vocoder mine.*conf/masd\.yaml"):
        choose_vocoders(**rest, vocoders="mine world")
    assert (tmp_path / "out" / "pretrain_tags").read_text() == "world\n"
    files = [tmp_path / "masd.yaml", tmp_path / "full.yaml"]
    files[0].write_text("pretrain: {ssl: {difficulty: {mine: 3}}}\n")
    files[1].write_text("pretrain: {ssl: {epochs: 3}}\ndump_feats: {}\n")
    choose_vocoders(**rest, vocoders="mine world", pretraining=",".join(map(str, files)))
    assert (tmp_path / "out" / "pretrain_tags").read_text() == "mine\nworld\n"
    assert (tmp_path / "out" / "network_tags").read_text() == "", "signal processing stays on the CPU"


def test_what_computes_on_a_gpu_is_listed(tmp_path):
    (tmp_path / "melgan.pt").write_bytes(b"read by the stage's jobs")
    available = tmp_path / "vocoders.yaml"
    available.write_text(
        "default: {full: [lpc, melgan]}\nvocoders: {lpc: {}, melgan: {checkpoint: melgan.pt}}\n"
    )
    choose_vocoders(available, "full", tmp_path, tmp_path / "out")
    assert (tmp_path / "out" / "network_tags").read_text() == "melgan\n"
