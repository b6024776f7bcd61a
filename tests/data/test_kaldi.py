"""Data folders are Kaldi's: its validator and lhotse accept ours, and its users' own are read here."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from masd.audio import write_wav
from masd.data.checks import validate
from masd.data.folder import read_folder
from masd.data.transform import fix, merge, split, subset
from masd.data.utterance import load_utterance

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif("KALDI_ROOT" not in os.environ, reason="needs KALDI_ROOT, a Kaldi checkout")
def test_kaldi_accepts_every_folder_we_write(data, cut, tmp_path):
    subset(data, tmp_path / "sub", ["s1-u0", "s3-u1"])
    merge(tmp_path / "merged", [data, cut])
    (cut / "spk2utt").unlink()
    fix(cut)
    for path in (data, cut, tmp_path / "sub", tmp_path / "merged", *split(data, f"{tmp_path}/p", 2)):
        done = subprocess.run(
            ["bash", "utils/validate_data_dir.sh", "--no-feats", "--no-text", "--no-spk-sort", str(path)],
            cwd=Path(os.environ["KALDI_ROOT"]) / "egs/wsj/s5",
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_lhotse_imports_our_folders(data, cut, tmp_path):
    pytest.importorskip("lhotse")
    from lhotse.kaldi import load_kaldi_data_dir

    # lhotse, not Kaldi, asks for a text beside segments; an empty one will do.
    (cut / "text").write_text("".join(f"{utt}\n" for utt in read_folder(cut).utts))
    for path in (data, cut):
        folder = read_folder(path)
        recordings, supervisions, _ = load_kaldi_data_dir(path, 16000)
        assert {r.id for r in recordings} == set(folder.wav)
        assert {s.id: s.speaker for s in supervisions} == folder.utt2spk
        for one in supervisions:
            assert one.duration == pytest.approx(float(folder.tables["utt2dur"][one.id]))
            wave = recordings[one.recording_id].load_audio(offset=one.start, duration=one.duration)
            np.testing.assert_allclose(wave[0], load_utterance(folder, one.id), atol=1e-6)


def test_a_kaldi_users_own_folder_is_read(tmp_path):
    """As Kaldi's LibriSpeech and Switchboard recipes write them: pipes, segments, tabs, other lists."""
    x = np.random.default_rng(0).uniform(-0.3, 0.3, 32000).astype(np.float32)
    write_wav(tmp_path / "x.flac", x)
    data = tmp_path / "train"
    data.mkdir()
    flac = shutil.which("flac")
    decoder = (
        f"{flac} -c -d -s {tmp_path}/x.flac |"
        if flac
        else f"{sys.executable} -c 'import soundfile as s, sys, io; b = io.BytesIO(); "
        f's.write(b, *s.read("{tmp_path}/x.flac"), format="WAV"); sys.stdout.buffer.write(b.getvalue())\' |'
    )
    files = {
        "wav.scp": f"sw1-A {decoder}\n",
        "segments": "sw1-A_000-050 sw1-A 0.00 0.50\nsw1-A_050-200\tsw1-A\t0.50 2.00\n",
        "utt2spk": "sw1-A_000-050 sw1-A\nsw1-A_050-200 sw1-A\n",
        "spk2utt": "sw1-A sw1-A_000-050 sw1-A_050-200\n",
        "text": "sw1-A_000-050 hello\nsw1-A_050-200\n",
        "reco2file_and_channel": "sw1-A sw1 A\n",
        "feats.scp": "sw1-A_000-050 raw.ark:13\nsw1-A_050-200 raw.ark:999\n",
        "frame_shift": "0.01\n",
    }
    for name, text in files.items():
        (data / name).write_text(text)
    assert validate(data) == []
    folder = read_folder(data)
    y = load_utterance(folder, "sw1-A_050-200", allow_pipes=True)
    np.testing.assert_allclose(y, x[8000:], atol=2e-5)


def test_our_script_takes_kaldis_arguments(data):
    script = ROOT / "utils" / "validate_data_dir.sh"

    def call(*arguments):
        # The environment the tests run in, by whatever name.
        env = {**os.environ, "MASD_VENV": sys.prefix}
        return subprocess.run([script, *arguments], env=env, capture_output=True, text=True)

    done = call("--no-feats", "--no-text", "--no-spk-sort", str(data))
    assert (done.returncode, "valid, 9 utterances, 3 speakers" in done.stdout) == (0, True), done.stderr
    (data / "utt2lab").write_text("x spoof\n")
    done = call("--no-feats", str(data))
    assert done.returncode == 1 and "utt2lab: 'x' is not in utt2spk" in done.stdout
    for arguments in ((), ("--no-wav", str(data)), (str(data), str(data))):
        assert call(*arguments).returncode == 1
