"""Recipe egs/demos: its protocol keeps sets apart; stages 0 and 1 do what they say, on pages made here."""

import importlib.util
import os
import shutil
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from demos_tree import EACH, PAGES, pages
from paper_recipes import PaperRecipe

from masd.audio import audio_files, read_audio
from masd.data.folder import read_folder
from masd.errors import MasdError

RECIPE = Path(__file__).parents[2] / "egs" / "demos"
sys.path.insert(0, str(RECIPE / "local"))

import clips as listed  # noqa: E402
import gather  # noqa: E402
import prepare  # noqa: E402

ALL = sum(2 * EACH * len(pages) for pages in PAGES.values())


@pytest.fixture(scope="module")
def whole():
    return listed.load_clips(), *listed.load_protocol()


def test_no_repository_family_speaker_or_recording_is_in_two_sets(whole):
    clips, sets, _ = whole
    assert {clip.clip for clip in clips} == set(sets)
    keys = {
        name: listed.keys_of(c for c in clips if sets[c.clip] == name) for name in ("train", "dev", "eval")
    }
    assert not keys["train"] & keys["dev"]
    assert not keys["train"] & keys["eval"]
    assert not keys["dev"] & keys["eval"]


def test_a_fold_trains_on_nothing_that_it_tests_or_that_eval_has(whole):
    clips, sets, folds = whole
    held = listed.keys_of(clip for clip in clips if sets[clip.clip] == "eval")
    tested = Counter()
    for fold in "12345":
        train, test = listed.fold_sets(clips, sets, folds, fold)
        train, dev = listed.hold_out(train, int(fold))
        assert not listed.keys_of(train) & listed.keys_of(test)
        assert not listed.keys_of(dev) & listed.keys_of(test)
        assert not listed.keys_of([*train, *dev, *test]) & held
        shared = listed.keys_of(train) & listed.keys_of(dev)
        assert {kind for kind, _ in shared} <= {"family"}, "a threshold is chosen on other speakers and pages"
        for part in (train, dev, test):
            assert min(Counter(clip.label for clip in part).values()) >= 30
        tested.update(clip.clip for clip in test)
    assert set(tested.values()) == {1}
    assert len(tested) > 800


def test_every_set_has_both_classes_of_several_pages_and_eval_every_kind(whole):
    clips, sets, _ = whole
    for name in ("train", "dev", "eval"):
        for label in ("bonafide", "spoof"):
            part = [clip for clip in clips if (sets[clip.clip], clip.label) == (name, label)]
            assert len(part) >= 100
            assert len({clip.repo for clip in part}) >= 5
    kinds = Counter(c.kind for c in clips if sets[c.clip] == "eval" and c.label == "spoof")
    assert min(kinds[kind] for kind in ("vocoder", "tts", "vc", "codec")) >= 20


@pytest.mark.parametrize(
    ("generator", "family"),
    [
        ("HiFi-GAN V3", "HiFi-GAN"),
        ("HiFi-GAN ablation w/o MRF", "HiFi-GAN"),
        ("Multi-band MelGAN", "MelGAN"),
        ("VALL-E + DAC", "DAC"),
        ("EnCodec (low-rate, FunCodec page)", "EnCodec"),
        ("Mega-TTS (reproduced, MobileSpeech page)", "Mega-TTS"),
        ("Parallel WaveNet (KLAXAD)", "ClariNet"),
    ],
)
def test_a_family_is_one_line_of_architecture(whole, generator, family):
    assert {clip.family for clip in whole[0] if clip.generator == generator} == {family}


def test_one_speaker_has_one_name_in_all_corpora(whole):
    known = {clip.speaker: clip.who for clip in whole[0]}
    assert known["libri_3570"] == known["libritts_3570"] == ("librivox_3570",)
    assert known["mls_pl_9098"] == known["mls_pl_pl_9098"]
    assert known["p258_p245"] == ("p258", "p245")
    assert known["?"] == ()


@contextmanager
def lists_of(conf):
    """Let the recipe's scripts read the lists in a folder, in place of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listed, "CONF", conf)
        yield


class Pages:
    """Six repositories, and the clips that stage 0 cloned of them."""

    def __init__(self, root):
        self.root, self.conf, self.downloads = root, pages(root, RECIPE / "conf"), root / "downloads"
        self.gather(self.downloads)

    def gather(self, downloads, conf=None, hub=None, **options):
        with lists_of(conf or self.conf):
            gather.gather("", downloads, f"file://{hub or self.root / 'hub'}/{{repo}}", **options)

    def look(self, folder, conf=None):
        with lists_of(conf or self.conf):
            gather.gather(str(folder))

    def prepare(self, out, **options):
        with lists_of(self.conf):
            part = RECIPE / "conf" / "corpus_full.yaml"
            prepare.prepare(part, self.root / "data" / out, downloads=self.downloads, **options)
        return self.root / "data" / out


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return Pages(tmp_path_factory.mktemp("pages"))


def clips_in(downloads):
    return sorted((downloads / "clips").glob("*.flac"))


def test_clips_are_cloned_at_their_commit_and_converted(site):
    made = clips_in(site.downloads)
    assert len(made) == ALL
    x, info = read_audio(made[0])
    assert (info.rate, info.channels, len(x)) == (16000, 1, 19200)
    assert not list(site.downloads.glob("tmp*")), "clones are not kept"


def test_what_is_missing_stands_in_one_table_and_the_rest_goes_on(site, tmp_path, capsys):
    shutil.copytree(site.root / "hub", tmp_path / "hub")
    shutil.rmtree(tmp_path / "hub" / "anna" / "one")
    lost = 2 * EACH
    with pytest.raises(MasdError, match=f"{lost} of {ALL} clips are missing.*--strict false"):
        site.gather(tmp_path / "downloads", hub=tmp_path / "hub")
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("anna/one"))
    assert line.split()[1:5] == ["0", str(lost), "0", "0"]
    assert "git fetch: fatal:" in line
    site.gather(tmp_path / "downloads", hub=tmp_path / "hub", strict=False)
    assert len(clips_in(tmp_path / "downloads")) == ALL - lost


def copy_lists(site, folder, change):
    """Return a copy of the lists whose lines of clips are changed."""
    conf = shutil.copytree(site.conf, folder / "conf")
    head, *rows = [line.split("\t") for line in (conf / "clips.tsv").read_text().splitlines()]
    rows = [change(dict(zip(head, row, strict=True))) for row in rows]
    lines = ["\t".join(row[name] for name in head) for row in rows]
    (conf / "clips.tsv").write_text("\n".join(["\t".join(head), *lines, ""]))
    return conf


def test_a_file_that_is_not_there_is_named_and_one_of_another_length_is_unusable(site, tmp_path, capsys):
    def change(row):
        if row["clip"] == "anna_one_spoof_1":
            row["path"] = "wavs/gone.wav"
        if row["clip"] == "ben_one_spoof_1":
            row["seconds"] = "3.00"
        return row

    conf = copy_lists(site, tmp_path, change)
    site.gather(tmp_path / "downloads", conf=conf, strict=False)
    table = capsys.readouterr().out
    assert "no wavs/gone.wav" in table
    assert "1.20 s long, ben_one_spoof_1 has 3.00 s" in table
    assert len(clips_in(tmp_path / "downloads")) == ALL - 2


def test_a_folder_has_clips_by_their_names_as_published_or_by_their_samples(site, tmp_path, caplog):
    caplog.set_level("INFO")
    (tmp_path / "mine").mkdir()
    marks = {}
    for number, path in enumerate(clips_in(site.downloads)):
        marks[path.stem] = gather.fingerprint_of(path)
        shutil.copy(path, tmp_path / "mine" / f"{number}.flac")
    conf = copy_lists(site, tmp_path, lambda row: row | {"sha256": marks[row["clip"]]})
    for folder in (site.downloads / "clips", site.downloads, site.root / "hub", tmp_path / "mine"):
        site.look(folder, conf)
        assert f"{ALL} of {ALL} clips, 0 of them" in caplog.messages[-1]
    site.look(site.downloads)
    assert f"{ALL} of {ALL} clips, {ALL} of them by another decoder or resampler" in caplog.messages[-1]


def test_a_folder_without_clips_is_one_line(site, tmp_path):
    with pytest.raises(MasdError, match="no clip of demos is there"):
        site.look(tmp_path)


@pytest.fixture(scope="module", params=["clean", "conditioned"])
def prepared(request, site):
    out = site.prepare(request.param, track=request.param)
    return request.param, {name: read_folder(out / name) for name in ("train", "dev", "eval", "pretrain")}


def test_sets_are_the_protocols_and_say_what_a_clip_is(prepared):
    _, sets = prepared
    for name, some in PAGES.items():
        tables = sets[name].tables
        assert set(tables["utt2repo"].values()) == set(some)
        assert len(sets[name].utts) == 2 * EACH * len(some)
        for utt in sets[name].utts:
            fake = tables["utt2lab"][utt] == "spoof"
            assert (tables["utt2family"][utt] != "-") == fake == (tables["utt2attack"][utt] != "-")
    assert set(sets["pretrain"].tables["utt2lab"].values()) == {"bonafide"}
    assert sets["eval"].utt2spk["carl_one_spoof_0"] == "librivox_19"
    assert sets["dev"].utt2spk["ben_one_spoof_0"] == "someone-ben/one"
    assert sets["train"].tables["utt2attack"]["anna_one_spoof_0"] == "HiFi-GAN_V1"


def test_a_recording_and_its_copy_went_through_one_chain(prepared):
    """Level and coding are the recording's; nothing of the clean track is left above the low-pass."""
    track, sets = prepared
    folder = sets["eval"]
    for number in range(EACH):
        pair = [f"carl_one_{label}_{number}" for label in ("bonafide", "spoof")]
        x, y = (read_audio(folder.wav[utt])[0].astype(np.float64) for utt in pair)
        assert np.sqrt(np.mean(x**2)) == pytest.approx(np.sqrt(np.mean(y**2)), rel=0.02)
        for table in ("utt2source", "utt2codec"):
            assert len({folder.tables[table][utt] for utt in pair}) == 1
        for z in (x, y):
            assert abs(z.mean()) < 1e-3
            power = np.abs(np.fft.rfft(z)) ** 2
            high = power[np.fft.rfftfreq(len(z), 1 / 16000) > 7600].sum()
            assert track == "conditioned" or high < 1e-4 * power.sum()


def test_preparing_again_makes_nothing_again(prepared, site):
    track, _ = prepared
    before = {path: path.stat().st_mtime_ns for path in audio_files(site.root / "data")}
    site.prepare(track, track=track)
    assert before == {path: path.stat().st_mtime_ns for path in audio_files(site.root / "data")}


def test_a_fold_is_prepared_in_place_of_the_sets(site):
    out = site.prepare("fold", fold="2", zero_shot=True)
    assert set(read_folder(out / "eval").tables["utt2repo"].values()) == set(PAGES["dev"])
    with pytest.raises(MasdError, match="--fold 9: folds are 1, 2"):
        site.prepare("fold", fold="9")


def test_a_protocol_is_the_same_for_the_same_seed_and_keeps_pages_whole(site, tmp_path):
    plan = tmp_path / "plan.yaml"
    plan.write_text((RECIPE / "conf" / "protocol.yaml").read_text().replace("restarts: 24", "restarts: 2"))
    # mini has a module of this name too
    spec = importlib.util.spec_from_file_location("demos_protocol", RECIPE / "local" / "make_protocol.py")
    protocols = importlib.util.module_from_spec(spec)
    sys.modules["demos_protocol"] = protocols
    spec.loader.exec_module(protocols)
    with lists_of(site.conf):
        for name in ("a", "b"):
            protocols.make_protocol(plan, tmp_path / name)
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text()
    rows = [line.split("\t") for line in (tmp_path / "a").read_text().splitlines()[1:]]
    sets = {page: {row[1] for row in rows if row[0].startswith(page)} for page in ("anna_one", "ben_two")}
    assert sets["anna_one"] == {"train"}, "LJ and HiFi-GAN are in train whatever comes out"
    assert len(sets["ben_two"]) == 1


@pytest.mark.skipif("DEMOS_CORPUS" not in os.environ, reason="DEMOS_CORPUS names no folder with the clips")
def test_the_real_clips_are_those_of_the_list():
    clips = listed.load_clips()
    found = gather.places(os.environ["DEMOS_CORPUS"], Path("downloads"), clips)
    assert len(found) == len(clips)
    for clip in clips[::50]:
        assert gather.fingerprint(listed.load_clip(clip, found[clip.clip])) == clip.sha256


@pytest.mark.slow
def test_a_system_is_trained_and_its_results_are_by_page(site, tmp_path):
    recipe = PaperRecipe(tmp_path, "demos")
    shutil.copytree(site.conf, recipe.path / "conf", dirs_exist_ok=True)
    options = ("--corpus", site.downloads, "--size", "tiny", "--system", "plus", "--nj", 1, "--ngpu", 0)
    recipe.run(*options)
    page = (recipe.path / "exp" / "tiny" / "report" / "appendix.md").read_text()
    assert "carl/one" in page
    assert "Spoofed trials against the bona fide ones of the same repo." in page
    assert "Resampled by repo, the pooled EER's 95 % interval is" in page
