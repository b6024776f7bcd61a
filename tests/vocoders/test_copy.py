"""Copy-synthesis of data folders: resumable, sharded, shared, and what happens to failures."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from entry_points import call
from vocoder_samples import save_hifigan, speech

from masd.audio import write_wav
from masd.bin.copy_synthesis import copy_synthesis
from masd.bin.finish import copy_synthesis as finish_copy_synthesis
from masd.data.folder import read_folder, write_folder
from masd.data.utterance import load_utterance
from masd.errors import MasdError
from masd.stage.files import Mark, digest, input_digest, read_json, write_yaml
from masd.vocoders import base
from masd.vocoders.copy_synthesis import vocoder_of

UTTS = ["s1-a", "s1-b", "s2-c"]


def corpus(folder, utts=UTTS, wav="audio", **tables):
    for i, utt in enumerate(utts):
        write_wav(folder / wav / f"{utt}.wav", speech(0.4, seed=i))
    return write_folder(
        folder / "src",
        wav={u: folder / wav / f"{u}.wav" for u in utts},
        utt2spk={u: u[:2] for u in utts},
        **tables,
    ).path


@pytest.fixture
def copy(tmp_path):
    """Runs copy_synthesis and finish copy-synthesis by their arguments."""

    def run(data, out="out", vocoder="lpc", finish=True, num_jobs=1, max_fail=0.01, **more):
        for job in range(1, num_jobs + 1):
            copy_synthesis(
                data, vocoder, tmp_path / out, tmp_path / "wav", job=job, num_jobs=num_jobs, **more
            )
        if finish:
            finish_copy_synthesis(data, vocoder, tmp_path / out, num_jobs, max_fail)
        return tmp_path / out

    return run


def stamps(folder):
    return {p.name: p.stat().st_mtime_ns for p in Path(folder).iterdir()}


def test_the_folder_of_the_copies(tmp_path, copy):
    data = corpus(tmp_path, utt2source={"s1-a": "rec1", "s1-b": "rec1", "s2-c": "rec2"})
    got = read_folder(copy(data, vocoder="lpc20", vocoder_config={"type": "lpc"}, num_jobs=2))
    assert got.utts == [f"lpc20-{u}" for u in UTTS]
    assert got.utt2spk == {f"lpc20-{u}": u[:2] for u in UTTS}
    assert set(got.table("utt2lab").values()) == {"spoof"}
    assert set(got.table("utt2attack").values()) == set(got.table("utt2vocoder").values()) == {"lpc20"}
    assert [got.source(u) for u in got.utts] == ["rec1", "rec1", "rec2"]
    source = read_folder(data)
    for u in UTTS:
        x, y = load_utterance(source, u), load_utterance(got, f"lpc20-{u}")
        assert x.shape == y.shape
        assert float(got.table("utt2dur")[f"lpc20-{u}"]) == pytest.approx(len(x) / 16000)
        assert np.sqrt(np.mean(y**2)) == pytest.approx(np.sqrt(np.mean(x**2)), rel=1e-3)
        assert soundfile.info(got.wav[f"lpc20-{u}"]).subtype == "PCM_16"


def test_without_utt2source_the_utterance_is_its_own_source(tmp_path, copy):
    assert read_folder(copy(corpus(tmp_path))).source("lpc-s1-b") == "s1-b"


def test_a_rerun_does_nothing_and_a_stopped_run_only_what_is_missing(tmp_path, copy, monkeypatch):
    data = corpus(tmp_path)
    out = copy(data)
    before = stamps(tmp_path / "wav")
    content = {p.name: p.read_bytes() for p in (tmp_path / "wav").iterdir()}
    monkeypatch.setattr(base.Adapter, "copies", lambda *a: pytest.fail("synthesised again"))
    copy(data)
    assert stamps(tmp_path / "wav") == before
    monkeypatch.undo()
    (tmp_path / "wav" / "lpc-s1-b.wav").unlink()
    copy(data)
    after = stamps(tmp_path / "wav")
    assert {u for u in after if after[u] != before[u]} == {"lpc-s1-b.wav"}
    assert content == {p.name: p.read_bytes() for p in (tmp_path / "wav").iterdir()}
    copy(data, force=True)
    assert all(stamps(tmp_path / "wav")[u] != after[u] for u in after)
    assert content == {p.name: p.read_bytes() for p in (tmp_path / "wav").iterdir()}
    assert sorted(p.name for p in out.iterdir() if p.name.startswith(".")) == [".done.json", ".jobs"]


def test_the_samples_do_not_depend_on_the_number_of_jobs(tmp_path, copy):
    data = corpus(tmp_path)
    copy(data, num_jobs=3)
    content = {p.name: p.read_bytes() for p in (tmp_path / "wav").iterdir()}
    copy(data, num_jobs=1, force=True)
    assert content == {p.name: p.read_bytes() for p in (tmp_path / "wav").iterdir()}


def test_what_was_made_of_the_copies_is_not_made_again_in_another_number_of_jobs(tmp_path, copy):
    """Dumps and encoder depend on the folder's digest: `--nj` alone must not retrain it."""
    data = corpus(tmp_path)
    before = input_digest(copy(data, num_jobs=2))
    assert input_digest(copy(data, num_jobs=3)) == input_digest(copy(data)) == before
    assert [p.name for p in (tmp_path / "out/.jobs").iterdir()] == [".done.1of1.json"]
    assert input_digest(copy(data, vocoder_config={"order": 12}, num_jobs=2)) != before


def test_folders_finished_under_the_former_digest_stay_finished(tmp_path, copy):
    """Marks once held the digests of the jobs: their work is not stale."""
    data = corpus(tmp_path)
    out = copy(data, num_jobs=2)
    jobs = [read_json(out / f".jobs/.done.{job}of2.json")["digest"] for job in (1, 2)]
    Mark(out).write(digest(jobs, 0.01))
    before = input_digest(out), stamps(out)["wav.scp"]
    copy(data, num_jobs=2)
    assert (input_digest(out), stamps(out)["wav.scp"]) == before


def test_another_configuration_seed_or_source_makes_new_copies(tmp_path, copy):
    data = corpus(tmp_path)
    copy(data)
    first = stamps(tmp_path / "wav")
    copy(data, vocoder_config={"order": 12})
    second = stamps(tmp_path / "wav")
    assert all(second[u] != first[u] for u in first)
    copy(data, vocoder_config={"order": 12}, seed=5)
    third = stamps(tmp_path / "wav")
    assert all(third[u] != second[u] for u in first)
    write_wav(tmp_path / "audio/s1-a.wav", speech(0.4, seed=77))
    (tmp_path / "out/.jobs/.done.1of1.json").unlink()
    copy(data, vocoder_config={"order": 12}, seed=5)
    fourth = stamps(tmp_path / "wav")
    assert {u for u in first if fourth[u] != third[u]} == {"lpc-s1-a.wav"}


def test_two_folders_with_the_same_recording_share_its_copy(tmp_path, copy):
    data = corpus(tmp_path)
    copy(data)
    before = stamps(tmp_path / "wav")
    source = read_folder(data)
    other = write_folder(tmp_path / "part", {"s1-b": source.wav["s1-b"]}, {"s1-b": "s1"}).path
    got = read_folder(copy(other, out="part_out"))
    assert got.utts == ["lpc-s1-b"] and stamps(tmp_path / "wav") == before


def test_what_fails_is_named_and_the_rest_is_done(tmp_path, copy, caplog):
    data = corpus(tmp_path)
    write_wav(tmp_path / "audio/s1-b.wav", np.zeros(4000))
    with pytest.raises(MasdError, match=r"1 of 3 utterances failed .*--max-fail 0.01.*s1-b.*non-silent"):
        copy(data)
    assert sum("s1-b" in r.message for r in caplog.records) == 1
    assert not (tmp_path / "out/wav.scp").exists()
    out = copy(data, max_fail=0.5)
    lines = len(caplog.records)
    assert copy(data, max_fail=0.5) == out
    assert not any("s1-b" in r.message for r in caplog.records[lines:])  # accepted, so not tried again
    assert read_folder(out).utts == ["lpc-s1-a", "lpc-s2-c"]
    assert (out / "failures").read_text().startswith("s1-b ")
    assert not (tmp_path / "wav/lpc-s1-b.wav").exists()
    (line,) = {r.getMessage() for r in caplog.records if "left out" in r.getMessage()}
    assert "1 of 3 utterances failed" in line and f"listed in {out}/failures" in line


def test_what_failed_and_was_accepted_is_copied_once_it_is_mended(tmp_path, copy):
    data = corpus(tmp_path)
    whole = (tmp_path / "audio/s1-b.wav").read_bytes()
    (tmp_path / "audio/s1-b.wav").unlink()
    out = copy(data, max_fail=0.5, num_jobs=2)
    digest = input_digest(out)
    (tmp_path / "audio/s1-b.wav").write_bytes(whole)
    before = stamps(tmp_path / "wav")
    assert copy(data, max_fail=0.5, num_jobs=2) == out
    after = stamps(tmp_path / "wav")
    assert after.keys() - before.keys() == {"lpc-s1-b.wav"} and after.items() >= before.items()
    assert len(read_folder(out).utts) == 3 and (out / "failures").read_text() == ""
    assert input_digest(out) != digest, "what is made of the copies is stale then"


def test_a_missing_or_foreign_shard_is_an_error(tmp_path, copy):
    data = corpus(tmp_path)
    copy_synthesis(data, "lpc", tmp_path / "out", tmp_path / "wav", job=1, num_jobs=2)
    with pytest.raises(MasdError, match="shard 2 of 2 is not finished"):
        finish_copy_synthesis(data, "lpc", tmp_path / "out", 2)
    copy_synthesis(
        data, "lpc", tmp_path / "out", tmp_path / "wav", vocoder_config={"order": 8}, job=2, num_jobs=2
    )
    with pytest.raises(MasdError, match="shards 1 and 2 differ"):
        finish_copy_synthesis(data, "lpc", tmp_path / "out", 2)
    with pytest.raises(MasdError, match="other than mlsa"):
        finish_copy_synthesis(data, "mlsa", tmp_path / "out", 2)
    corpus(tmp_path, [*UTTS, "s3-d"])
    with pytest.raises(MasdError, match="other data than"):
        finish_copy_synthesis(data, "lpc", tmp_path / "out", 2)


def test_more_jobs_than_utterances_and_then_fewer(tmp_path, copy):
    data = corpus(tmp_path)
    assert len(read_folder(copy(data, num_jobs=5)).utts) == 3
    assert len(read_folder(copy(data, num_jobs=2)).utts) == 3
    assert len(list((tmp_path / "out/.jobs").glob(".done.*"))) == 2


def test_peaks_beyond_full_scale_are_scaled_not_clipped(tmp_path, copy):
    data = corpus(tmp_path)
    x = speech(0.4)
    write_wav(tmp_path / "audio/s1-a.wav", np.clip(x / np.abs(x).max() * 3, -1, 1) * 0.999)
    copy(data, audio_format="flac")
    y, _ = soundfile.read(tmp_path / "wav/lpc-s1-a.flac")
    assert np.abs(y).max() > 0.99 and np.mean(np.abs(y) > 0.999) < 1e-3


def test_segments_are_honoured_and_pipes_refused(tmp_path, copy):
    corpus(tmp_path)
    path = tmp_path / "audio/s1-a.wav"
    data = write_folder(tmp_path / "seg", {"r": path}, {"u": "s"}, segments={"u": ("r", 0.1, 0.35)}).path
    got = read_folder(copy(data, out="seg_out"))
    assert load_utterance(got, "lpc-u").shape == (4000,)
    data = write_folder(tmp_path / "pipe", {"u": f"cat {path} |"}, {"u": "s"}).path
    with pytest.raises(MasdError, match="--allow-pipes true"):
        copy(data, out="pipe_out")
    assert read_folder(copy(data, out="pipe_out", allow_pipes=True)).utts == ["lpc-u"]


def test_a_segment_shorter_than_a_frame_is_a_failure_of_its_own(tmp_path, copy):
    corpus(tmp_path)
    segments = {"u": ("r", 0.1, 0.35), "v": ("r", 0.1, 0.10001), "w": ("r", 0.1, 0.11)}
    wav, spk = {"r": tmp_path / "audio/s1-a.wav"}, dict.fromkeys(segments, "s")
    got = copy(write_folder(tmp_path / "seg", wav, spk, segments=segments).path, max_fail=0.7)
    assert read_folder(got).utts == ["lpc-u"]
    reasons = dict(line.split(" ", 1) for line in (got / "failures").read_text().splitlines())
    assert "not as long as one sample" in reasons["v"] and "too short" in reasons["w"]


def test_configurations_come_from_files_too(tmp_path):
    write_yaml(tmp_path / "v.yaml", {"type": "lpc", "order": 12})
    assert (
        vocoder_of("x", tmp_path / "v.yaml", 0).digest()
        == vocoder_of("x", {"type": "lpc", "order": 12}, 0).digest()
    )
    assert vocoder_of("lpc", {"seed": 3}, 1).digest() == vocoder_of("lpc", {}, 3).digest()
    for name in ("a b", "a/b", ""):
        with pytest.raises(MasdError, match="utterance ids"):
            vocoder_of(name, {"type": "lpc"})
    write_yaml(tmp_path / "l.yaml", ["lpc"])
    with pytest.raises(MasdError, match="keys and values"):
        vocoder_of("lpc", tmp_path / "l.yaml")


@pytest.mark.slow
def test_the_entry_points_from_the_command_line(tmp_path):
    """Also that a checkpoint's weights, not its path, decide whether copies are made again."""
    data = corpus(tmp_path)
    write_yaml(tmp_path / "v.yaml", {"type": "hifigan"} | save_hifigan(tmp_path))

    def run(stage, *arguments):
        words = ("--data", data, "--vocoder", "tiny", "--out", tmp_path / "out")
        return call(*stage.split(), *words, *arguments)

    synthesise = ["--wav-dir", str(tmp_path / "wav"), "--vocoder-config", str(tmp_path / "v.yaml")]
    done = run("copy_synthesis", *synthesise, "--audio-format", "flac", "--num-jobs", "1")
    assert done.returncode == 0 and "real-time factor" in done.stderr, done.stderr
    assert run("finish copy-synthesis", "--num-jobs", "1").returncode == 0
    assert len(read_folder(tmp_path / "out").utts) == 3
    assert (tmp_path / "out/copy_synthesis.yaml").is_file()
    before = stamps(tmp_path / "wav")
    (tmp_path / "moved").mkdir()
    write_yaml(tmp_path / "v.yaml", {"type": "hifigan"} | save_hifigan(tmp_path / "moved"))
    (tmp_path / "generator.pth.tar").unlink()
    assert "is done" in run("copy_synthesis", *synthesise, "--audio-format", "flac").stderr
    assert stamps(tmp_path / "wav") == before
