"""Cues that are no trace of synthesis are found, where there are any, and said at the top of the page."""

import io

import numpy as np
import pytest
import soundfile

from masd.bin.probe import cues as probe_cues
from masd.data.folder import read_folder, write_folder
from masd.errors import MasdError
from masd.metrics.auc import auc, auc_interval
from masd.report.cue_probe import ALL, Sample, choose, probe_rows, verdict
from masd.report.cues import NUMBERS, describe, file_facts, utterance_cues
from masd.stage.files import read_json

RATE = 16000


def hum(seed, seconds=0.5):
    """Two voices that differ in nothing but chance."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(RATE * seconds)) / RATE
    return 0.1 * np.sin(2 * np.pi * rng.uniform(150, 250) * t + rng.uniform(0, 6)) + 0.01 * rng.normal(
        size=len(t)
    )


def make_set(folder, count=52, suffixes=("wav",), spoof=lambda x: x, rate=RATE, copies=True):
    """A set of `count` recordings in files of these suffixes, and as many WAV files that `spoof` makes."""
    wav, lab, attack, source, spk = {}, {}, {}, {}, {}
    (folder / "wav").mkdir(parents=True)
    for i in range(count):
        for utt, x, suffix, hz in (
            (f"b{i:02d}", hum(i), suffixes[i % len(suffixes)], RATE),
            (f"s{i:02d}", spoof(hum(1000 + i)), "wav", rate),
        ):
            wav[utt] = folder / "wav" / f"{utt}.{suffix}"
            soundfile.write(wav[utt], x, hz)
            fake = utt.startswith("s")
            lab[utt], attack[utt] = ("spoof", "A01") if fake else ("bonafide", "-")
            source[utt], spk[utt] = (f"r{i:02d}" if copies else utt), f"p{i % 8}"
    return write_folder(folder, wav=wav, utt2spk=spk, utt2lab=lab, utt2attack=attack, utt2source=source)


def probed(folder, out, **options):
    probe_cues([folder], out, **options)
    return read_json(out / f"{folder.name}.json")


def test_a_confounded_corpus_is_caught(tmp_path):
    """Real speech as MP3, Ogg and FLAC, fakes as WAV: a detector of file formats has no errors here."""
    make_set(tmp_path / "eval", 40, suffixes=("mp3", "ogg", "flac"), copies=False)
    result = probed(tmp_path / "eval", tmp_path / "cues")
    (row,) = result["rows"]
    assert row["attack"] == ALL and row["finding"] == "found" and row["by"] == "speaker"
    assert row["single"]["format"] == 1.0 == row["auc"] and row["low"] < 0.95
    said = verdict(result)
    assert said.startswith("Caution: format") and "[0.63, 1.00]" in said, said
    assert "tell spoofed speech from bona fide speech in eval" in said


@pytest.mark.parametrize(
    ("options", "cue"),
    [
        ({"spoof": lambda x: x * 0.4}, "level"),
        ({"spoof": lambda x: x + 0.05}, "mean"),
        ({"spoof": lambda x: np.concatenate([np.zeros(RATE // 10), x])}, "leading silence"),
        ({"spoof": lambda x: np.concatenate([x, np.zeros(RATE // 10)])}, "trailing silence"),
        ({"spoof": lambda x: x[: len(x) // 2]}, "length"),
        ({"rate": 22050}, "sampling rate"),
    ],
)
def test_a_planted_cue_is_named(tmp_path, options, cue):
    make_set(tmp_path / "train", count=12, **options)
    result = probed(tmp_path / "train", tmp_path / "cues")
    single = result["rows"][0]["single"]
    assert single[cue] == 1.0 and verdict(result).startswith("Caution: ")
    assert cue in verdict(result) or list(single.values()).count(1.0) > 5


def test_a_gate_stops_where_a_cue_is_found_and_looks_at_all_sets_together(tmp_path):
    for name in ("train", "dev"):
        make_set(tmp_path / name, 50, spoof=lambda x: x * 0.5)
    sets = [tmp_path / "train", tmp_path / "dev"]
    with pytest.raises(MasdError, match=r"3 of 3 probes tell .* all attacks in train, AUC up to"):
        probe_cues(sets, tmp_path / "cues", gate=True)
    assert {p.name for p in (tmp_path / "cues").iterdir()} == {"train.json", "dev.json", "train+dev.json"}
    probe_cues(sets, tmp_path / "cues")


def test_a_set_that_was_probed_is_not_read_again(tmp_path):
    folder = make_set(tmp_path / "eval", count=8)
    before = probed(folder.path, tmp_path / "cues")
    for path in (folder.path / "wav").iterdir():
        path.unlink()
    assert probed(folder.path, tmp_path / "cues") == before
    with pytest.raises(MasdError, match="no such audio file"):
        probe_cues([folder.path], tmp_path / "cues", force=True)


def sample(rng, count, copies):
    """Two classes of `count` whose cues come from one distribution."""
    attack = np.repeat(["-", "A01"], count)
    sources = np.concatenate([np.arange(count), np.arange(count) + (0 if copies else count)]).astype(str)
    facts = np.full((2 * count, 3), "same")
    speakers = rng.integers(20, size=2 * count).astype(str)
    return Sample(rng.normal(size=(2 * count, len(NUMBERS))), facts, attack, sources, speakers)


@pytest.mark.parametrize("copies", [True, False])
def test_nothing_is_found_where_nothing_is(copies):
    """Over many sets of two equal classes the AUC is around one half and the interval covers it."""
    rng, rows = np.random.default_rng(0), []
    for seed in range(12):
        rows += probe_rows(sample(rng, 80, copies), "none", 0.65, seed)
    assert abs(np.mean([row["auc"] for row in rows]) - 0.5) < 0.05
    assert sum(row["low"] <= 0.5 <= row["high"] for row in rows) >= 9
    assert {row["by"] for row in rows} == {"source" if copies else "speaker"}
    assert not any(row["finding"] == "found" for row in rows)


def test_the_sample_is_stated_and_takes_the_recordings_of_the_copies(tmp_path):
    folder = make_set(tmp_path / "train", count=30)
    folder.tables["utt2attack"] |= {f"s{i:02d}": "A02" for i in range(0, 30, 2)}
    chosen = choose(folder, 5, 0)
    kinds = list(chosen.values())
    assert (kinds.count("A01"), kinds.count("A02")) == (5, 5)
    copied = {folder.source(utt) for utt, attack in chosen.items() if attack != "-"}
    assert copied <= {folder.source(utt) for utt, attack in chosen.items() if attack == "-"}
    assert choose(folder, 5, 0) == chosen != choose(folder, 5, 1)
    assert len(choose(folder, 500, 0)) == 60


def test_what_a_file_is_comes_from_its_header_and_of_a_pipe_nothing_is_known(tmp_path):
    stream = io.BytesIO()
    soundfile.write(stream, np.zeros((100, 2)), 44100, format="WAV", subtype="PCM_24")
    (tmp_path / "x.mp3").write_bytes(stream.getvalue())
    assert file_facts(str(tmp_path / "x.mp3")) == ("WAV PCM_24", "44100", "2")
    (tmp_path / "y.xyz").write_bytes(b"no audio")
    assert file_facts(str(tmp_path / "y.xyz")) == (".xyz", "unknown", "unknown")
    assert file_facts(f"cat {tmp_path}/x.mp3 |") == ("unknown",) * 3


def test_segments_and_pipes_are_honoured(tmp_path):
    soundfile.write(tmp_path / "x.wav", hum(0, 2.0), RATE)
    wav, segments = {"r": f"cat {tmp_path}/x.wav |"}, {"u": ("r", 0.5, 1.5)}
    folder = write_folder(tmp_path / "d", wav=wav, utt2spk={"u": "s"}, segments=segments)
    with pytest.raises(MasdError, match="allow-pipes"):
        utterance_cues(read_folder(folder.path), "u")
    cues = utterance_cues(read_folder(folder.path), "u", allow_pipes=True)
    assert dict(zip(NUMBERS, cues.numbers, strict=True))["length"] == 1.0


def test_cues_by_hand():
    t = np.arange(RATE)
    x = np.where(t < RATE // 2, 0.5 * np.sin(2 * np.pi * 1000 * t / RATE), 0.0) + 0.05
    cues = dict(zip(NUMBERS, describe(x), strict=True))
    level = np.sqrt(0.5 * 0.125 + 0.05**2)
    assert cues["length"] == 1
    assert cues["level"] == pytest.approx(20 * np.log10(level), abs=1e-3)
    assert cues["peak"] == pytest.approx(20 * np.log10(0.55 / level), abs=1e-3)
    assert cues["mean"] == pytest.approx(20 * np.log10(0.05 / level), abs=1e-3)
    assert cues["near-zero samples"] == cues["silence"] == 0
    assert cues["noise floor"] == pytest.approx(20 * np.log10(0.05 / level), abs=0.1)
    quiet = dict(zip(NUMBERS, describe(np.concatenate([np.zeros(3200), x, np.zeros(1600)])), strict=True))
    assert (quiet["leading silence"], quiet["trailing silence"]) == (0.2, 0.1)
    assert np.isfinite(describe(np.zeros(1))).all() and np.isfinite(describe(np.zeros(RATE))).all()


def test_polarity_is_heard():
    """A saw of 400 Hz rises slowly and falls fast; turned over, the other way round."""
    saw = 0.5 * (np.arange(RATE) * 400 / RATE % 1 - 0.5)
    skewness = [describe(x)[NUMBERS.index("polarity")] for x in (saw, -saw)]
    assert skewness[0] < -0.1
    assert skewness[1] == pytest.approx(-skewness[0])


def test_an_auc_without_an_error_has_an_interval_of_some_width():
    """20 recordings of each class: no error among them leaves 0.025 ** (1 / 20)."""
    fake = np.arange(40) % 2 == 1
    value, low, high = auc_interval(np.where(fake, -1.0, 1.0), fake, np.arange(40))
    assert (value, low, high) == (1.0, pytest.approx(0.025 ** (1 / 20)), 1.0)


def test_the_interval_of_an_auc_covers_the_truth_and_resamples_groups():
    rng, covered, widths = np.random.default_rng(0), 0, []
    for seed in range(60):
        fake = np.arange(200) % 2 == 1
        scores = rng.normal(size=200) - fake  # the true AUC: Phi(1 / sqrt 2) = 0.760
        value, low, high = auc_interval(scores, fake, np.arange(200), n=200, seed=seed)
        assert value == auc(scores[~fake], scores[fake])
        covered += low <= 0.7602 <= high
        wide = auc_interval(np.tile(scores, 4), np.tile(fake, 4), np.tile(np.arange(200), 4), n=200)
        widths.append((high - low, wide[2] - wide[1]))
    assert covered >= 53
    alone, copied = np.mean(widths, axis=0)
    assert copied == pytest.approx(alone, rel=0.15), "four copies of a trial tell no more than one"
