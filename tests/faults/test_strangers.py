"""What files of strangers may not do: run code, follow links, take memory, forge lines."""

import errno
import json
import lzma
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from masd.cli import say
from masd.data.archive import Writer, open_reader, split_place
from masd.data.folder import write_folder
from masd.errors import MasdError, printable
from masd.stage.files import atomic, config_from, read_json, read_yaml, write_yaml
from masd.stage.lock import sole
from masd.stage.tables import read_table, write_table
from masd.vocoders.copy_synthesis import copy_shard, vocoder_of

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "utils"))
import jobs  # noqa: E402

# 1, 2: code


def test_a_data_folder_names_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_vocoder.py").write_text(
        "from masd.vocoders.griffin_lim import GriffinLim\nclass Mine(GriffinLim): pass\nopen('ran', 'w')\n"
    )
    stated = {"type": "own_vocoder:Mine"}
    write_yaml("vocoder.yaml", stated)
    write_yaml("conf.yaml", {"vocoders": {"mine": stated, "other": {}}})
    for available in (None, tmp_path / "conf.yaml"):
        with pytest.raises(MasdError, match="code is only named in your own conf"):
            vocoder_of("other", tmp_path / "vocoder.yaml", available=available)
    assert not (tmp_path / "ran").exists()
    assert vocoder_of("mine", tmp_path / "vocoder.yaml", available=tmp_path / "conf.yaml").name == "mine"
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["null", "7", "[a]", "''"])
def test_a_type_that_is_no_name_is_one_line(tmp_path, kind):
    (tmp_path / "v.yaml").write_text(f"type: {kind}\n")
    with pytest.raises(MasdError):
        vocoder_of("x", tmp_path / "v.yaml")


@pytest.mark.parametrize("words", [["-m", "masd.bin.detect"], ["-um", "masd", "detect"]])
def test_files_of_the_working_directory_are_not_run(tmp_path, words):
    for name in ("soundfile", "jsonargparse", "av", "torch", "numpy", "yaml"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w')\nraise SystemExit(7)\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *words, "gone.wav"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert "gone.wav: no such audio file" in done.stderr
    assert not (tmp_path / "ran").exists()


# 3: links


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_lock_that_is_another_file_is_refused_and_left(tmp_path, link):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "work").mkdir()
    link(victim, tmp_path / "work" / ".lock")
    with pytest.raises(MasdError, match=r"\.lock: .*no lock"), sole(tmp_path / "work"):
        pass
    assert victim.read_text() == "precious"


def test_a_log_follows_no_link(tmp_path):
    victim = tmp_path / "victim"
    for link, code in ((os.symlink, errno.ELOOP), (os.link, errno.EMLINK)):
        victim.write_text("precious")
        link(victim, tmp_path / "x.log")
        with pytest.raises(OSError) as error:
            jobs.open_log(tmp_path / "x.log", anew=True)
        assert error.value.errno == code
        assert victim.read_text() == "precious"
        (tmp_path / "x.log").unlink()
        os.symlink(victim, tmp_path / f"kept.tmp{os.getpid()}")
        jobs.write_whole(tmp_path / "kept", "new")
        assert victim.read_text() == "precious"


# 6: bombs


def within(mib, code, *words):
    """Run code in a process of its own; return its output, and fail if it took more memory than `mib`."""
    code += "\nprint('peak', re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    words = [sys.executable, "-P", "-c", f"import re\n{code}", *map(str, words)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    said, _, peak = done.stdout.rpartition("peak ")
    assert int(peak) < mib * 1024
    return said


def test_yaml_aliases_and_nesting_are_one_line(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 12)]
    for name, text in {
        "bomb": "\n".join(lines),
        "itself": "a: &a [*a]",
        "deep": "[" * 50_000,
        "long": "x" * (17 << 20),
        "number": "a: " + "9" * 6000,
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(MasdError, match="not valid YAML"):
            read_yaml(tmp_path / name)
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(MasdError, match="not valid JSON"):
        read_json(tmp_path / "deep.json")
    (tmp_path / "few").write_text("a: &a [1, 2]\nb: *a\n")
    assert read_yaml(tmp_path / "few") == {"a": [1, 2], "b": [1, 2]}


def test_a_proof_that_unpacks_to_gigabytes_is_refused_early(tmp_path):
    with tarfile.open(tmp_path / "many.proof.tar.xz", "w:xz", preset=1) as archive:
        for k in range(10_001):
            archive.addfile(tarfile.TarInfo(f"f{k}"))
    for name, kind in (("large", tarfile.REGTYPE), ("header", tarfile.XHDTYPE)):
        member = tarfile.TarInfo("a")
        member.size, member.type = 300 << 20, kind
        with lzma.open(tmp_path / f"{name}.proof.tar.xz", "w", preset=0) as stream:
            stream.write(member.tobuf())
            for _ in range(300):
                stream.write(bytes(1 << 20))
    code = (
        "import sys, pathlib, tempfile\nfrom masd.report.proof import unpack\n"
        "from masd.errors import MasdError\n"
        "try: unpack(pathlib.Path(sys.argv[1]), pathlib.Path(tempfile.mkdtemp(dir=sys.argv[2])))\n"
        "except MasdError as error: print('one line:', error)"
    )
    for name in ("large", "many", "header"):
        said = within(700, code, tmp_path / f"{name}.proof.tar.xz", tmp_path)
        assert "one line:" in said and "more than" in said, said


def test_hours_of_silence_in_a_small_file_are_one_line(tmp_path):
    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", 8000, 1, format="FLAC") as stream:
        for _ in range(3700):
            stream.write(np.zeros(8000, np.int16))
    code = (
        "import sys\nfrom masd.audio import read_audio\nfrom masd.errors import MasdError\n"
        "try: read_audio(sys.argv[1], 8000)\nexcept MasdError as error: print('one line:', error)"
    )
    assert "longer than an hour" in within(700, code, path)


def test_a_graph_with_a_loop_is_not_run(tmp_path):
    onnx = pytest.importorskip("onnx")
    from masd.models.config import EncoderConfig
    from masd.models.onnx_encoder import OnnxEncoder

    node = onnx.helper.make_node("Loop", ["m", "", "mel"], ["z"], body=onnx.GraphProto())
    graph = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], []))
    path = tmp_path / "encoder.onnx"
    path.write_bytes(graph.SerializeToString())
    with pytest.raises(MasdError, match="has the operator Loop"):
        OnnxEncoder(path, EncoderConfig())


def test_an_h5_that_states_more_than_it_stores_is_one_line(tmp_path):
    import h5py

    with h5py.File(tmp_path / "x.h5", "w") as stored:
        stored.create_dataset("u", shape=(1 << 30, 64), dtype="<f4", chunks=(1024, 64))
        stored.create_dataset("v", data=[b"a", b"b"])
    (tmp_path / "x.scp").write_text(f"u {tmp_path}/x.h5:u\nv {tmp_path}/x.h5:v\n")
    reader = open_reader(tmp_path / "x.scp")
    for utt in ("u", "v"):
        with pytest.raises(MasdError, match=rf"{utt}: .*x\.h5"):
            reader[utt]


# 7: names

EVIL = ("a\nbonafide 0.01", "\x1b[2Ja", "a\u202eb", "a\x00b", "a\u2066b", "\x9b31m")


@pytest.mark.parametrize("name", EVIL)
def test_names_forge_no_line_and_order_no_terminal_about(tmp_path, name, capsys):
    say(f"x {name} y")
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and out[:-1].isprintable()
    assert printable(out[:-1]) == out[:-1]
    with pytest.raises(MasdError):
        write_table(tmp_path / "wav.scp", {name.replace("\n", "\x85"): "x"})
    with pytest.raises(MasdError), Writer(tmp_path, "feats") as writer:
        writer.write(name, np.zeros((2, 2)))
    if "\n" not in name:
        (tmp_path / "utt2spk").write_text(f"{name} s\n")
        with pytest.raises(MasdError, match="control characters"):
            read_table(tmp_path / "utt2spk")
        (tmp_path / "feats.scp").write_text(f"{name} x.ark:5\n")
        with pytest.raises(MasdError, match="control characters"):
            open_reader(tmp_path / "feats.scp")
        (tmp_path / "scores").write_text(f"{name} 0.5\nb 0.7\n", encoding="utf-8")
        from masd.metrics.scores import read_scores

        with pytest.raises(MasdError):
            read_scores(tmp_path / "scores")


def test_logs_and_detect_show_such_names_in_one_line(tmp_path):
    name = tmp_path / "a.wav\nbonafide 0.0100 9.9 real.wav\x1b[2J"
    name.write_bytes(b"no audio")
    words = [sys.executable, "-P", "-m", "masd.bin.detect", str(name), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert all(line.isprintable() for line in (done.stdout + done.stderr).splitlines())
    assert not any(line.startswith("bonafide") for line in (done.stdout + done.stderr).splitlines())


def test_an_id_too_long_for_a_file_is_one_failure(tmp_path):
    utts = ["u" * 230, "v"]
    for utt in utts:
        soundfile.write(tmp_path / f"{utt[0]}.wav", np.random.default_rng(0).normal(size=8000) * 0.1, 16000)
    write_folder(
        tmp_path / "data", wav={u: tmp_path / f"{u[0]}.wav" for u in utts}, utt2spk=dict.fromkeys(utts, "s")
    )
    out = tmp_path / "out"
    copy_shard(tmp_path / "data", vocoder_of("lpc", {}), out, tmp_path / "wav", "flac", 1, 1, False, False)
    mark = json.loads((out / ".jobs" / ".done.1of1.json").read_text())
    assert list(mark["failures"]) == utts[:1] and "too long" in mark["failures"][utts[0]]
    assert list(mark["wav"]) == ["lpc-v"]
    with pytest.raises(MasdError, match="too long"), atomic(tmp_path / ("x" * 254)):
        pass


# 8: values


@pytest.mark.parametrize(
    "values",
    [
        {"dim": "x"}, {"dim": 10**12}, {"dim": 0}, {"dim": True}, {"dim": None}, {"dim": {}}, {"channels": 3},
        {"channels": [1, "b"]}, {"channels": []}, {"channels": [10**9] * 5}, {"bands": "three"},
        {"strange": 1},        {"bn_momentum": float("nan")}, {"edge_frames": -1}, {"time_stride": [[1]]},
    ],
)  # fmt: skip
def test_an_encoder_that_cannot_be_is_one_line_before_anything_is_allocated(values):
    from masd.models.config import EncoderConfig

    with pytest.raises(MasdError):
        config_from(EncoderConfig, values, "encoder.yaml")


@pytest.mark.parametrize("key", ["bonafide.means", "spoof.variances", "spoof.weights"])
@pytest.mark.parametrize("change", ["gone", "shape", "integers", "negative"])
def test_a_mixture_that_does_not_fit_together_is_one_line(tmp_path, key, change):
    from masd.systems.gmm import GmmSystem

    tensors = {f"{kind}.{name}": np.ones(shape) for kind in ("bonafide", "spoof")
               for name, shape in (("weights", 4), ("means", (4, 60)), ("variances", (4, 60)))}  # fmt: skip
    assert GmmSystem.of("lfcc_gmm", {"gmm": {}}, tensors, tmp_path)
    if change == "gone":
        del tensors[key]
    else:
        new = {"shape": np.ones((5, 61)), "integers": tensors[key].astype(int), "negative": -tensors[key]}[
            change
        ]
        tensors[key] = new
        if change == "negative" and key.endswith("means"):
            return
    with pytest.raises(MasdError):
        GmmSystem.of("lfcc_gmm", {"gmm": {}}, tensors, tmp_path)


@pytest.mark.parametrize("place", ["x.ark:99999999999999999999", "x.ark:" + "9" * 5000, "x.ark:\u0663"])
def test_an_offset_beyond_all_files_is_one_line(tmp_path, place):
    (tmp_path / "feats.scp").write_text(f"u {place}\n", encoding="utf-8")
    with pytest.raises(MasdError):
        open_reader(tmp_path / "feats.scp")["u"]
    assert split_place("x.ark:12") == ("x.ark", "12")


# 9: the placeholder


def test_only_the_placeholder_is_replaced():
    call = jobs.parse(
        ["JOB=1:2", "JOBS/x.JOB.log", "cmd", "/x/JOBdl", "--job", "JOB", "--jobs=MYJOB", "f.JOB.scp"]
    )
    assert call.command_of(2) == ["cmd", "/x/JOBdl", "--job", "2", "--jobs=MYJOB", "f.2.scp"]
    assert str(call.log_of(2)) == "JOBS/x.2.log"
    with pytest.raises(SystemExit, match="cannot share one log"):
        jobs.parse(["JOB=1:2", "JOBS.log", "cmd"])
