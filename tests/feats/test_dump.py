"""Dumps: jobs, formats and threads do not change a bit; kills, reruns and bad audio leave them whole."""

import dataclasses
import json
import os
import re
import signal
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
from entry_points import call

from masd.data.archive import Writer
from masd.data.folder import write_folder
from masd.errors import MasdError
from masd.feats import dump as module
from masd.feats import extract
from masd.feats.config import FeatsConfig
from masd.feats.dump import dump_shard, finish_dump, open_dump
from masd.stage import shards
from masd.stage.files import input_digest
from masd.stage.threads import pinned

CONFIG = FeatsConfig()
LISTS = {
    "feats.crc",
    "hand.crc",
    "feats.scp",
    "hand.scp",
    "utt2num_frames",
    "feats.yaml",
    "failures",
    ".done.json",
}


@pytest.fixture
def data(tmp_path):
    """A data folder of 10 utterances of noise, 0.3 to 1.2 s, as FLAC."""
    rng = np.random.default_rng(0)
    (tmp_path / "wav").mkdir()
    wav = {}
    for i in range(10):
        wav[f"s-{i}"] = str(tmp_path / "wav" / f"{i}.flac")
        soundfile.write(wav[f"s-{i}"], 0.1 * rng.standard_normal(4800 + 1600 * i), 16000)
    write_folder(tmp_path / "data", wav=wav, utt2spk=dict.fromkeys(wav, "s"))
    return tmp_path / "data"


def make(data, out, jobs=1, finish=True, config=CONFIG, **options):
    for job in range(1, jobs + 1):
        dump_shard(data, out, config, job=job, num_jobs=jobs, **options)
    if finish:
        finish_dump(out, jobs, 0.5)
    return out


def content(out):
    """Every value of a dump, and its lists but for the places in the archives."""
    dump = open_dump(out, CONFIG)
    arrays = {utt: (dump.feats[utt].tobytes(), dump.hand[utt].tobytes()) for utt in dump.utts}
    texts = [(out / name).read_text() for name in ("utt2num_frames", "failures", "feats.yaml")]
    return arrays, texts


def names(out):
    return {p.name for p in out.iterdir()}


@pytest.mark.parametrize("fmt", ["ark", "h5"])
def test_more_jobs_than_utterances_are_harmless(data, tmp_path, fmt):
    many = make(data, tmp_path / "many", jobs=13, fmt=fmt)
    assert content(many) == content(make(data, tmp_path / "one", fmt=fmt))


def test_a_dump_holds_what_the_front_end_computes(data, tmp_path):
    dump = open_dump(make(data, tmp_path / "out", jobs=3), CONFIG)
    assert dump.utts == [f"s-{i}" for i in range(10)] and dump.config == CONFIG
    for i, utt in enumerate(dump.utts):
        x, _ = soundfile.read(tmp_path / "wav" / f"{i}.flac", dtype="float32")
        mel, hand = extract.front_end(x, utt, CONFIG)
        np.testing.assert_array_equal(dump.feats[utt], mel)
        np.testing.assert_array_equal(dump.hand[utt], hand)
        assert dump.feats.num_frames(utt) == len(mel) == 31 + 10 * i
        np.testing.assert_array_equal(dump.feats.crop(utt, 5, 20), mel[5:25])
    theirs = kaldiio.load_scp(str(tmp_path / "out" / "feats.scp"))
    np.testing.assert_array_equal(theirs["s-4"], dump.feats["s-4"])


def test_jobs_formats_and_threads_do_not_change_a_bit(data, tmp_path):
    whole = content(make(data, tmp_path / "one"))
    assert content(make(data, tmp_path / "four", jobs=4)) == whole
    assert content(make(data, tmp_path / "h5", jobs=2, fmt="h5")) == whole
    with pinned(4):
        assert content(make(data, tmp_path / "threads", jobs=12)) == whole  # two shards are empty


def test_compression_touches_the_log_mel_alone_and_little(data, tmp_path):
    plain = open_dump(make(data, tmp_path / "plain"))
    for fmt, bound in (("ark", 2.5e-4), ("h5", 0.008)):
        small = open_dump(make(data, tmp_path / fmt, fmt=fmt, compress=True))
        for utt in plain.utts:
            assert 0 < np.abs(small.feats[utt] - plain.feats[utt]).max() <= bound
            np.testing.assert_array_equal(small.hand[utt], plain.hand[utt])


def test_only_lists_and_archives_remain(data, tmp_path):
    out = make(data, tmp_path / "out", jobs=2)
    shards = {f"{name}.{job}.ark" for name in ("feats", "hand") for job in (1, 2)}
    assert names(out) == LISTS | shards


def test_what_is_done_is_not_done_again_unless_forced(data, tmp_path, caplog):
    caplog.set_level("INFO")
    out = make(data, tmp_path / "out", jobs=3, finish=False)
    (out / ".done.2.json").unlink()
    before = {p.name: p.stat().st_mtime_ns for p in out.iterdir()}
    make(data, out, jobs=3)
    assert caplog.text.count("nothing to do") == 2
    assert (out / "feats.1.ark").stat().st_mtime_ns == before["feats.1.ark"]
    assert (out / "feats.2.ark").stat().st_mtime_ns > before["feats.2.ark"]
    before = {p.name: p.stat().st_mtime_ns for p in out.iterdir()}
    make(data, out, jobs=5)  # finished: the number of jobs is nobody's business any more
    assert {p.name: p.stat().st_mtime_ns for p in out.iterdir()} == before
    values = content(out)
    make(data, out, jobs=3, force=True)
    assert (out / "feats.1.ark").stat().st_mtime_ns > before["feats.1.ark"]
    assert content(out) == values


def test_another_number_of_jobs_starts_afresh_and_leaves_nothing_stale(data, tmp_path):
    whole = content(make(data, tmp_path / "one"))
    out = make(data, tmp_path / "out", jobs=6, finish=False, fmt="h5")
    make(data, out, jobs=5, finish=False)
    for job in (1, 2):
        dump_shard(data, out, CONFIG, job=job, num_jobs=2)
    with pytest.raises(MasdError, match="shard 1 was one of 2, not of 5"):
        finish_dump(out, 5)
    finish_dump(out, 2)
    assert content(out) == whole
    assert names(out) == LISTS | {f"{name}.{job}.ark" for name in ("feats", "hand") for job in (1, 2)}


@pytest.mark.parametrize("change", ["config", "data", "format", "compress"])
def test_changed_inputs_make_a_dump_stale(data, tmp_path, change):
    out = make(data, tmp_path / "out", jobs=2)
    options = {
        "config": {"config": dataclasses.replace(CONFIG, dither=2e-5)},
        "format": {"fmt": "h5"},
        "compress": {"compress": True},
    }.get(change, {})
    if change == "data":
        wav = {f"s-{i}": str(tmp_path / "wav" / f"{i}.flac") for i in range(3)}
        write_folder(data, wav=wav, utt2spk=dict.fromkeys(wav, "s"))
    dump_shard(data, out, options.pop("config", CONFIG), job=1, num_jobs=2, **options)
    assert not names(out) & LISTS, "lists that name replaced archives must be gone"
    with pytest.raises(MasdError, match="no finished feature dump"):
        open_dump(out)
    with pytest.raises(MasdError, match="shard 2 of 2 is not finished"):
        finish_dump(out, 2)


def test_shards_of_different_configurations_are_not_joined(data, tmp_path):
    for job, dither in ((1, 1e-5), (2, 2e-5)):
        dump_shard(data, tmp_path / "out", FeatsConfig(dither=dither), job=job, num_jobs=2)
    with pytest.raises(MasdError, match="shards 1 and 2 differ"):
        finish_dump(tmp_path / "out", 2)


def test_another_configuration_is_refused_by_key(data, tmp_path):
    out = make(data, tmp_path / "out")
    with pytest.raises(MasdError, match=r"out: made with feats\.hop_length 160, but 200 is asked for"):
        open_dump(out, FeatsConfig(hop_length=200))
    (out / "feats.yaml").write_text("hop_length: 160\n")
    with pytest.raises(MasdError, match=r"feats\.yaml: the key sample_rate is missing"):
        open_dump(out)


def spoil(data, tmp_path):
    """Make seven of ten utterances unusable, each in another way; return what their failures must say."""
    wav = dict(line.split() for line in (data / "wav.scp").read_text().splitlines())
    for utt in ("s-2", "s-3"):
        wav[utt] = str(tmp_path / "wav" / f"{utt}.wav")
    soundfile.write(wav["s-0"], np.zeros(8000), 16000)
    soundfile.write(wav["s-1"], np.ones(2000) * 0.1, 16000)
    soundfile.write(wav["s-2"], np.full(8000, np.nan), 16000, subtype="FLOAT")
    soundfile.write(wav["s-3"], np.zeros(0), 16000)
    Path(wav["s-4"]).write_bytes(b"not audio")
    Path(wav["s-5"]).unlink()
    Path(wav["s-6"]).write_bytes(Path(wav["s-7"]).read_bytes()[:900])
    write_folder(data, wav=wav, utt2spk=dict.fromkeys(wav, "s"))
    return ["silent", "too short", "not finite", "empty", "not audio", "no such audio file", ""]


def test_unusable_audio_is_listed_and_the_rest_is_done(data, tmp_path):
    good = open_dump(make(data, tmp_path / "good"))
    said = spoil(data, tmp_path)
    out = tmp_path / "out"
    make(data, out, jobs=2, finish=False)
    with pytest.raises(MasdError, match=r"7 of 10 utterances failed in .*more than --max-fail 0\.01"):
        finish_dump(out, 2)
    assert not (out / "feats.scp").exists()
    lines = (out / "failures").read_text().splitlines()
    assert [line.split()[0] for line in lines] == [f"s-{i}" for i in range(7)]
    for line, words in zip(lines, said, strict=True):
        assert words in line
    finish_dump(out, 2, max_fail=0.7)  # a decision that costs no second pass over the audio
    dump = open_dump(out)
    assert dump.utts == ["s-7", "s-8", "s-9"]
    for utt in dump.utts:
        np.testing.assert_array_equal(dump.feats[utt], good.feats[utt])
    mark = json.loads((out / ".done.json").read_text())
    assert (mark["total"], mark["failed"]) == (10, 7)


def mend(data, tmp_path, good, utt):
    """Put the recording of `utt` where its folder has it."""
    wav = dict(line.split() for line in (data / "wav.scp").read_text().splitlines())
    Path(wav[utt]).write_bytes(good[utt])


@pytest.fixture
def mended(data, tmp_path):
    """The whole dump, and a folder in which s-1 (cut short) and s-8 (missing) may be mended."""
    whole, shorter = make(data, tmp_path / "whole"), tmp_path / "wav"
    good = {f"s-{i}": (shorter / f"{i}.flac").read_bytes() for i in range(10)}
    (shorter / "1.flac").write_bytes(good["s-1"][:500])
    (shorter / "8.flac").unlink()
    return content(whole), lambda utt: mend(data, tmp_path, good, utt)


@pytest.mark.parametrize("fmt", ["ark", "h5"])
def test_a_mended_utterance_is_tried_again_with_its_shard_alone(data, tmp_path, mended, fmt):
    whole, mend_one = mended
    out = make(data, tmp_path / "out", jobs=3, fmt=fmt)
    assert open_dump(out).utts == [f"s-{i}" for i in range(10) if i not in (1, 8)]
    digests = [input_digest(out)]
    for utt, shard in (("s-8", 3), ("s-1", 1)):
        mend_one(utt)
        before = {p.name: p.stat().st_mtime_ns for p in out.glob(f"feats.*.{fmt}")}
        make(data, out, jobs=3, fmt=fmt)
        after = {p.name: p.stat().st_mtime_ns for p in out.glob(f"feats.*.{fmt}")}
        assert [name for name in after if after[name] != before[name]] == [f"feats.{shard}.{fmt}"]
        assert utt in open_dump(out).utts
        digests.append(input_digest(out))
    assert content(out) == whole
    assert len(set(digests)) == 3, "what is made of the dump is stale then"
    assert names(out) == LISTS | {f"{name}.{job}.{fmt}" for name in ("feats", "hand") for job in (1, 2, 3)}


def test_a_mended_utterance_is_tried_again_before_failures_are_accepted(data, tmp_path, mended):
    whole, mend_one = mended
    out = make(data, tmp_path / "out", jobs=2, finish=False)
    with pytest.raises(
        MasdError, match=r"s-1: .*mend them and run \./run\.sh --stage 3 .*allow more by --max-fail"
    ):
        finish_dump(out, 2)
    for utt in ("s-1", "s-8"):
        mend_one(utt)
    make(data, out, jobs=2, finish=False)
    finish_dump(out, 2)
    assert content(out) == whole


def test_failures_that_nobody_has_mended_are_not_tried_again_but_told_and_judged(
    data, tmp_path, mended, caplog
):
    out = make(data, tmp_path / "out", jobs=2)
    before = {p.name: p.stat().st_mtime_ns for p in out.iterdir()}
    caplog.clear()
    make(data, out, jobs=2)
    assert {p.name: p.stat().st_mtime_ns for p in out.iterdir()} == before
    (line,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert line.startswith(f"{out}: 2 of 10 utterances failed and are left out, as --max-fail 0.5 allows")
    assert f"listed in {out}/failures" in line and "./run.sh --stage 3" in line
    with pytest.raises(MasdError, match=r"2 of 10 utterances failed .*--max-fail 0\.1 "):
        finish_dump(out, 2, 0.1)
    assert len(open_dump(out).utts) == 8, "what was accepted once stays there"


def test_a_dump_of_before_marks_said_what_failed_stays_finished(data, tmp_path, mended):
    out = make(data, tmp_path / "out", jobs=2)
    for path in list(out.iterdir()):
        if re.search(r"\.\d(\.scp|\.json)?$", path.name):  # nor did it keep its shards' lists and marks
            path.unlink()
    mark = json.loads((out / ".done.json").read_text())
    for key in ("unusable", "outputs", "sum"):
        mark.pop(key)
    (out / ".done.json").write_text(json.dumps(mark))
    mended[1]("s-1")
    before = {p.name: p.stat().st_mtime_ns for p in out.iterdir()}
    make(data, out, jobs=2)
    assert {p.name: p.stat().st_mtime_ns for p in out.iterdir()} == before


def test_the_cost_of_a_set_with_failures_is_counted_once(data, tmp_path, mended):
    """The marks of its shards stay, and each says what it took."""
    out = make(data, tmp_path / "out", jobs=3)
    marks = [json.loads(path.read_text()) for path in out.glob(".done*.json")]
    assert len(marks) == 4
    made = [mark["cost"]["processor"] for mark in marks if "work" in mark]
    (whole,) = [mark["cost"]["processor"] for mark in marks if "work" not in mark]
    assert whole < max(made)


def test_a_set_without_one_usable_utterance_is_an_error(data, tmp_path):
    for path in (tmp_path / "wav").iterdir():
        path.unlink()
    make(data, tmp_path / "out", finish=False)
    with pytest.raises(MasdError, match="not one of 10 utterances"):
        finish_dump(tmp_path / "out", 1, max_fail=1.0)


def test_pipes_run_only_when_allowed(data, tmp_path):
    wav = {"s-1": f"cat {tmp_path}/wav/1.flac |"}
    write_folder(data, wav=wav, utt2spk={"s-1": "s"})
    with pytest.raises(MasdError, match=r"wav\.scp: s-1 is a command"):
        dump_shard(data, tmp_path / "out", CONFIG)
    dump = open_dump(make(data, tmp_path / "out", allow_pipes=True))
    x, _ = soundfile.read(tmp_path / "wav" / "1.flac", dtype="float32")
    np.testing.assert_array_equal(dump.feats["s-1"], extract.front_end(x, "s-1", CONFIG)[0])


def killed(work):
    """Do `work` in a child process that is expected to be killed on the way."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def after(count, function):
    """Return `function`, but its call number `count` kills the process instead."""
    calls = iter(range(1, count + 1))
    return lambda *a, **k: die() if next(calls) == count else function(*a, **k)


MOMENTS = {
    "between utterances": (extract, "front_end", 4),
    "before the first list of a shard": (module, "write_lines", 1),
    "before the second shard's list": (module, "write_lines", 2),
    "while lists are joined": (shards, "write_table", 2),
    "before the dump's configuration": (module, "write_yaml", 1),
    "before the dump's last list": (shards, "write_table", 3),
    "before clearing up": (shards.ArchiveShards, "tidy", 1),
    "before the last bit of clearing up": (shards, "remove_leftovers", 3),
}


@pytest.mark.parametrize("fmt", ["ark", "h5"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_the_rerun_ends_the_same(data, tmp_path, monkeypatch, moment, fmt):
    whole = content(make(data, tmp_path / "whole", jobs=2, fmt=fmt))
    out, (where, name, count) = tmp_path / "out", MOMENTS[moment]
    with monkeypatch.context() as patch:
        patch.setattr(where, name, after(count, getattr(where, name)))
        killed(lambda: make(data, out, jobs=2, fmt=fmt))
    if not (out / ".done.json").exists() and (out / "feats.scp").exists():
        assert content(out) == whole  # a list never names what is not whole
    make(data, out, jobs=2, fmt=fmt)
    assert content(out) == whole
    assert names(out) == names(tmp_path / "whole")


@pytest.mark.parametrize("after_rename", ["ark", "scp"])
def test_killed_between_an_archive_and_its_list(data, tmp_path, monkeypatch, after_rename):
    whole = content(make(data, tmp_path / "whole"))
    out = make(data, tmp_path / "out", config=FeatsConfig(dither=1e-3))  # there is an old dump to replace
    with monkeypatch.context() as patch:
        if after_rename == "ark":
            patch.setattr("masd.data.archive.write_lines", die)
        else:
            leave = Writer.__exit__
            patch.setattr(Writer, "__exit__", lambda *a: (leave(*a), die()))
        killed(lambda: make(data, out))
    with pytest.raises(MasdError, match="no finished feature dump"):
        open_dump(out)
    assert content(make(data, out)) == whole
    assert names(out) == names(tmp_path / "whole")


def test_damaged_dumps_are_named(data, tmp_path):
    out = make(data, tmp_path / "out")
    scp = (out / "hand.scp").read_text().splitlines()
    (out / "hand.scp").write_text("\n".join(scp[1:]) + "\n")
    with pytest.raises(MasdError, match="different utterances or orders: s-0"):
        open_dump(out)
    with pytest.raises(MasdError, match="no finished feature dump"):
        open_dump(tmp_path / "nowhere")


def test_the_entry_points_do_it_with_paths_as_given(data, tmp_path):
    for job in (1, 2):
        done = call(
            *("dump_feats", "--data", "data", "--out", "dump/set", "--feats.max_seconds", "0.5"),
            *("--feats-format", "h5", "--compress", "true", "--job", job, "--num-jobs", 2),
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        assert "5 of 5 utterances, 0 failed" in done.stderr
    done = call("finish", "dump", "--out", "dump/set", "--num-jobs", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "dump" / "set"
    assert (out / "feats.scp").read_text().splitlines()[7] == "s-7 dump/set/feats.2.h5:s-7"
    assert open_dump(out, FeatsConfig(max_seconds=0.5)).feats.num_frames("s-9") == 51
    done = call("finish", "dump", "--out", "nowhere", cwd=tmp_path)
    assert done.returncode == 1 and "nowhere: shard 1 of 1 is not finished" in done.stderr
    assert len(done.stderr.splitlines()) == 1
