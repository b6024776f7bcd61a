"""Preparation of ASVspoof 2021 DF, WaveFake and FoR: counts, splits, and what a damaged download is told."""

import importlib.util
import shutil
import sys
import time

import df_tree
import pytest
from paper_recipes import ROOT
from zero_shot_trees import TTS

from masd.data.folder import read_folder
from masd.errors import MasdError
from masd.stage.files import write_yaml
from masd.stage.tables import read_table

DF_COUNTS = {"eval": (270, 270), "progress": (135, 135), "hidden": (10, 20)}
DF_PUBLISHED = {name: {"bonafide": b, "spoof": s, "trials": b + s} for name, (b, s) in DF_COUNTS.items()}


def touch(path, _=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


class Local:
    """A recipe's local/prepare.py, called as its run.sh does."""

    def __init__(self, name, monkeypatch, tmp_path):
        self.recipe, self.out = ROOT / "egs" / name, tmp_path / "data"
        self.module = None
        for part in ("locate", "prepare"):
            spec = importlib.util.spec_from_file_location(part, self.recipe / "local" / f"{part}.py")
            self.module = importlib.util.module_from_spec(spec)
            monkeypatch.setitem(sys.modules, part, self.module)
            spec.loader.exec_module(self.module)

    def __call__(self, corpus, published, size="full", **options):
        write_yaml(self.out.parent / "published.yaml", published)
        part = self.recipe / "conf" / f"corpus_{size}.yaml"
        numbers = self.out.parent / "published.yaml"
        self.module.prepare(str(corpus), part, self.out, published=numbers, **options)
        return self.out


@pytest.fixture
def df(monkeypatch, tmp_path):
    return Local("asvspoof2021_df", monkeypatch, tmp_path)


@pytest.fixture
def wavefake(monkeypatch, tmp_path):
    return Local("wavefake", monkeypatch, tmp_path)


@pytest.fixture
def fake_or_real(monkeypatch, tmp_path):
    return Local("for", monkeypatch, tmp_path)


@pytest.fixture
def df_corpus(tmp_path):
    df_tree.lay_out(tmp_path / "df", DF_COUNTS, touch)
    return tmp_path / "df"


# ASVspoof 2021 DF


def test_df_sets_hold_what_the_keys_say(df, df_corpus):
    data = df(df_corpus, DF_PUBLISHED)
    for name, (bonafide, spoof) in DF_COUNTS.items():
        folder = read_folder(data / name)
        labels = list(folder.tables["utt2lab"].values())
        assert (labels.count("bonafide"), labels.count("spoof")) == (bonafide, spoof)
        assert set(folder.tables["utt2subset"].values()) == {name}
    parts = {path.split("/")[-4] for path in read_folder(data / "eval").wav.values()}
    assert parts == {f"ASVspoof2021_DF_eval_part0{n}" for n in range(4)}
    assert (data / "breakdown").read_text() == (
        "codec,corpus,vocoder,codec*corpus,codec*vocoder,corpus*vocoder,codec*vocoder*corpus\n"
    )


def test_df_takes_the_older_keys_and_audio_in_one_folder(df, tmp_path):
    """Eight columns tell no vocoder type, so no table of it is made and no breakdown asked for."""
    df_tree.lay_out(tmp_path / "df", DF_COUNTS, touch, columns=8, merged=True)
    data = df(tmp_path / "df", DF_PUBLISHED)
    folder = read_folder(data / "eval")
    assert len(folder.utts) == 540 and "utt2vocoder" not in folder.tables
    assert (data / "breakdown").read_text() == "codec,corpus,codec*corpus\n"


def test_df_is_found_from_a_part_and_from_the_folder_above(df, df_corpus):
    for given in (df_corpus / "ASVspoof2021_DF_eval_part02", df_corpus.parent):
        assert len(read_folder(df(given, DF_PUBLISHED) / "eval").utts) == 540


def test_df_tiny_has_every_condition_and_is_the_same_each_time(df, df_corpus):
    first = read_folder(df(df_corpus, DF_PUBLISHED, "tiny") / "eval")
    spoofs = [utt for utt in first.utts if first.lab(utt) == "spoof"]
    assert len(spoofs) == 9 * 3 * 5 and len(first.utts) == len(spoofs) + 9 * 3
    assert read_folder(df(df_corpus, DF_PUBLISHED, "tiny") / "eval").wav == first.wav


def test_df_of_full_size_would_take_less_than_a_minute(df, tmp_path):
    """A twelfth of the trials in a twelfth of a minute; audio files are empty, so cannot be opened."""
    counts = {name: (b // 12, s // 12) for name, (b, s) in df_tree.COUNTS.items()}
    df_tree.lay_out(tmp_path / "df", counts, touch_fast())
    begin = time.process_time()
    data = df(tmp_path / "df", {"all": {"bonafide": sum(b for b, _ in counts.values())}})
    assert time.process_time() - begin < 60 / 12
    assert len(read_table(data / "eval" / "utt2lab")) == sum(counts["eval"])


def touch_fast():
    """Make empty files as hard links of one, which is quicker."""
    first = []

    def make(path, _):
        if first:
            path.hardlink_to(first[0])
        else:
            path.touch()
            first.append(path)

    return make


def remove_part(root):
    shutil.rmtree(root / "ASVspoof2021_DF_eval_part02")


def rename_part(root):
    (root / "ASVspoof2021_DF_eval_part02").rename(root / "part2")


def cut_archive(root):
    files = sorted(root.glob("*part03/**/*.flac"))
    for path in files[len(files) // 2 :]:
        path.unlink()


def remove_keys(root):
    shutil.rmtree(root / "keys")


def keys(root):
    return root / "keys" / "DF" / "CM" / "trial_metadata.txt"


def windows_keys(root):
    keys(root).write_bytes(keys(root).read_bytes().replace(b"\n", b"\r\n"))


def cut_keys(root):
    text = keys(root).read_text()
    keys(root).write_text(text[: len(text) // 2])


def fewer_keys(root):
    lines = keys(root).read_text().splitlines(keepends=True)
    keys(root).write_text("".join(lines[:-1]))


def repeat_key(root):
    lines = keys(root).read_text().splitlines(keepends=True)
    keys(root).write_text("".join([*lines, lines[4]]))


def remove_audio(root):
    for path in root.glob("ASVspoof2021*"):
        shutil.rmtree(path)
    (root / "ASVspoof2021_DF_eval_part00.tar.gz").touch()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (
            remove_part,
            r"no ASVspoof2021_DF_eval_part02/ASVspoof2021_DF_eval/flac; the other parts are beside",
        ),
        (
            rename_part,
            r"no ASVspoof2021_DF_eval_part02/ASVspoof2021_DF_eval/flac; the other parts are beside",
        ),
        (cut_archive, r"eval: \d+ of 540 files of the protocol are not in .*part03.* \(DF_E_"),
        (remove_keys, r"neither .*keys/DF/CM/trial_metadata.txt nor .* DF-keys-full.tar.gz"),
        (windows_keys, r"trial_metadata.txt:1: Windows line end .* dos2unix"),
        (cut_keys, r"trial_metadata.txt:\d+: \d+ columns, not 8 or 13|keys, eval: \d+ bonafide"),
        (fewer_keys, r"keys, \w+: \d+ \w+, published are \d+"),
        (repeat_key, r"trial_metadata.txt: 'DF_E_\d+' stands there twice"),
        (remove_audio, r"unpack ASVspoof2021_DF_eval_part00.tar.gz"),
    ],
)
def test_df_says_what_is_wrong_with_a_download(df, df_corpus, damage, says):
    damage(df_corpus)
    with pytest.raises(MasdError, match=says) as caught:
        df(df_corpus, DF_PUBLISHED)
    assert "\n" not in str(caught.value) and not df.out.exists()


def test_df_goes_on_with_what_there_is_when_not_strict(df, df_corpus):
    remove_part(df_corpus)
    left = read_folder(df(df_corpus, DF_PUBLISHED, strict=False) / "eval").utts
    assert 300 < len(left) < 540


def test_df_has_no_training_part(df, df_corpus):
    with pytest.raises(MasdError, match=r"evaluation set and has no training part.*asvspoof2019_la.*--model"):
        df(df_corpus, DF_PUBLISHED, zero_shot=False)


@pytest.mark.parametrize("name", ["asvspoof2021_df", "wavefake", "for"])
def test_a_wrong_folder_is_told_what_the_corpus_looks_like(name, monkeypatch, tmp_path):
    local = Local(name, monkeypatch, tmp_path)
    (tmp_path / "a" / "b" / "c" / "music").mkdir(parents=True)
    for given, says in (
        ("", "no --corpus given: it says where .*DIR/"),
        (tmp_path / "nowhere", "nowhere: no such folder; .* looks like DIR/"),
        (tmp_path / "a" / "b" / "c" / "music", "music: .*looks like DIR/"),
    ):
        with pytest.raises(MasdError, match=says):
            local(given, {})


# WaveFake

COPIES = {"ljspeech_melgan": "_gen", "ljspeech_hifiGAN": "_generated", "ljspeech_waveglow": ""}
WAVEFAKE = {
    **dict.fromkeys(COPIES, 50),
    "jsut_parallel_wavegan": 10,
    TTS: 20,
    "ljspeech": 50,
    "jsut": 10,
}


@pytest.fixture
def wavefake_corpus(tmp_path, wavefake, monkeypatch):
    """The tree of a release with five folders of copies, empty files in it."""
    monkeypatch.setattr(
        wavefake.module, "FOLDERS", {k: v for k, v in wavefake.module.FOLDERS.items() if k in WAVEFAKE}
    )
    root = tmp_path / "wavefake"
    for n in range(1, 51):
        touch(root / "LJSpeech-1.1" / "wavs" / f"LJ001-{n:04d}.wav")
        for folder, suffix in COPIES.items():
            touch(root / "generated_audio" / folder / f"LJ001-{n:04d}{suffix}.wav")
    for n in range(1, 11):
        touch(root / "jsut_ver1.1" / "basic5000" / "wav" / f"BASIC5000_{n:04d}.wav")
        touch(root / "generated_audio" / "jsut_parallel_wavegan" / f"BASIC5000_{n:04d}_gen.wav")
    for n in range(20):
        touch(root / "generated_audio" / TTS / f"gen_{n}.wav")
        touch(root / "generated_audio" / TTS / "generated" / f"gen_{n}.wav")
    return root


def test_wavefake_never_lets_a_sentence_into_two_sets(wavefake, wavefake_corpus):
    """Not as a recording in one and a copy in another either; the last fifth is eval."""
    data = wavefake(wavefake_corpus, WAVEFAKE, zero_shot=False)
    sets = {name: read_folder(data / name) for name in ("train", "dev", "eval", "pretrain", "pretrain_dev")}
    sources = {name: set(folder.tables["utt2source"].values()) for name, folder in sets.items()}
    for one in ("train", "dev", "eval"):
        for other in {"train", "dev", "eval"} - {one}:
            assert not sources[one] & sources[other]
    assert sources["pretrain"] <= sources["train"] and sources["pretrain_dev"] <= sources["dev"]
    assert sources["eval"] == {
        *(f"ljspeech-LJ001-{n:04d}" for n in range(41, 51)),
        *(f"jsut-BASIC5000_{n:04d}" for n in (9, 10)),
        *(f"ljspeech-tts-gen_{n}" for n in (6, 7, 8, 9)),  # the last fifth in the order of names
    }
    labels = list(sets["eval"].tables["utt2lab"].values())
    assert (labels.count("bonafide"), labels.count("spoof")) == (12, 3 * 10 + 2 + 4)
    train = sets["train"].tables
    copies = [train["utt2source"][u] for u, attack in train["utt2attack"].items() if attack != "-"]
    assert max(map(copies.count, copies)) == 2 and TTS not in set(train["utt2attack"].values())


def test_wavefake_ids_tell_folder_and_file_and_sort_by_speaker(wavefake, wavefake_corpus):
    folder = read_folder(wavefake(wavefake_corpus, WAVEFAKE) / "eval")
    assert "ljspeech-ljspeech_hifiGAN-LJ001-0050_generated" in folder.utts
    assert "ljspeech-bonafide-LJ001-0050" in folder.utts
    speakers = [folder.spk(utt) for utt in folder.utts]
    assert speakers == sorted(speakers)


def remove_folder(root):
    shutil.rmtree(root / "generated_audio" / "ljspeech_melgan")


def rename_folder(root):
    (root / "generated_audio" / "ljspeech_melgan").rename(root / "generated_audio" / "lj_melgan")


def cut_folder(root):
    (root / "generated_audio" / "ljspeech_melgan" / "LJ001-0007_gen.wav").unlink()


def second_copy(root):
    touch(root / "generated_audio" / "ljspeech_melgan" / "LJ001-0007.wav")


def stranger(root):
    folder = root / "generated_audio" / "ljspeech_melgan"
    (folder / "LJ001-0007_gen.wav").rename(folder / "LJ999-0007_gen.wav")


def remove_ljspeech(root):
    shutil.rmtree(root / "LJSpeech-1.1")


def remove_generated(root):
    shutil.rmtree(root / "generated_audio")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (remove_folder, r"no .*generated_audio/ljspeech_melgan, with 50 files"),
        (rename_folder, r"no .*ljspeech_melgan, with 50 files; there is lj_melgan, was it renamed\?"),
        (cut_folder, r"ljspeech_melgan: 49 files, published are 50"),
        (second_copy, r"LJ001-0007_gen.wav: a second copy of LJ001-0007 beside .*LJ001-0007.wav"),
        (stranger, r"LJ999-0007_gen.wav: no recording of ljspeech has that name \(1 such"),
        (remove_ljspeech, r"no .*LJSpeech-1.1/wavs: .*--ljspeech says where LJSpeech-1.1 is"),
        (remove_generated, r"neither generated_audio nor anything else of WaveFake is in it"),
    ],
)
def test_wavefake_says_what_is_wrong_with_a_download(wavefake, wavefake_corpus, damage, says):
    damage(wavefake_corpus)
    with pytest.raises(MasdError, match=says) as caught:
        wavefake(wavefake_corpus, WAVEFAKE)
    assert "\n" not in str(caught.value) and not wavefake.out.exists()


def test_wavefake_without_jsut_goes_on_without_its_copies(wavefake, wavefake_corpus):
    shutil.rmtree(wavefake_corpus / "jsut_ver1.1")
    folder = read_folder(wavefake(wavefake_corpus, WAVEFAKE, strict=False) / "eval")
    assert set(folder.utt2spk.values()) == {"ljspeech"} and len(folder.utts) == 4 * 10 + 4


def test_wavefake_bona_fide_may_lie_elsewhere(wavefake, wavefake_corpus):
    elsewhere = wavefake_corpus.parent / "corpora"
    elsewhere.mkdir()
    (wavefake_corpus / "LJSpeech-1.1").rename(elsewhere / "LJSpeech-1.1")
    for given in (elsewhere, elsewhere / "LJSpeech-1.1", elsewhere / "LJSpeech-1.1" / "wavs"):
        assert wavefake(wavefake_corpus, WAVEFAKE, ljspeech=str(given)).is_dir()


def test_wavefake_marks_vocoders_heard_in_training(wavefake, wavefake_corpus, tmp_path, capsys):
    """Of a model trained elsewhere those of its pretraining, of one trained here those of its train."""
    data = wavefake(wavefake_corpus, WAVEFAKE, zero_shot=False)
    spec = importlib.util.spec_from_file_location("seen", wavefake.recipe / "local" / "seen.py")
    seen = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(seen)
    for heard, says in (
        (["hifigan", "melgan", "world"], "--seen-attacks ljspeech_hifiGAN,ljspeech_melgan\n"),
        (["world"], "--seen-attacks none\n"),
        ([], "--seen-attacks none\n"),
    ):
        write_yaml(tmp_path / "model" / "encoder.yaml", {"extra": {"vocoders": heard}})
        seen.seen(data, tmp_path / "model")
        assert capsys.readouterr().out == says
    for unknown in (None, tmp_path / "no encoder"):
        seen.seen(data, unknown)
        assert capsys.readouterr().out == ""
    seen.seen(data, tmp_path / "model", zero_shot=False)
    assert (
        capsys.readouterr().out == f"--seen-attacks {','.join(sorted({*COPIES, 'jsut_parallel_wavegan'}))}\n"
    )


# FoR

FOR = {"for-norm": {part: {"real": 6, "fake": 7} for part in ("training", "validation", "testing")}}


@pytest.fixture
def for_corpus(tmp_path):
    """for-norm one folder deeper, for-original directly, with MP3 files; one empty file a folder of fakes."""
    root = tmp_path / "for"
    for part in ("training", "validation", "testing"):
        for label, count in (("real", 6), ("fake", 6)):
            for version, suffix in (("for-norm/for-norm", "wav"), ("for-original", "mp3")):
                for n in range(count):
                    path = root / version / part / label / f"file{n}.{suffix}"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(b"x")
        touch(root / "for-norm" / "for-norm" / part / "fake" / "file99.wav")
    return root


def test_for_leaves_out_empty_files_and_for_original(fake_or_real, for_corpus):
    """The containers of for-original tell its classes apart, so it must be asked for by name."""
    folder = read_folder(fake_or_real(for_corpus, FOR) / "eval")
    assert len(folder.utts) == 12 and set(folder.tables["utt2version"].values()) == {"for-norm"}
    both = read_folder(fake_or_real(for_corpus, FOR, versions="for-norm,for-original") / "eval")
    assert len(both.utts) == 24 and set(both.tables["utt2codec"].values()) == {"wav", "mp3"}
    assert both.source("for-norm-testing-fake-file1.wav") == both.source(
        "for-original-testing-fake-file1.mp3"
    )


def test_blanks_in_names_of_for_are_underscores_in_ids(fake_or_real, for_corpus):
    real = for_corpus / "for-norm" / "for-norm" / "testing" / "real"
    (real / "file0.wav").rename(real / "file0 (1).wav")
    folder = read_folder(fake_or_real(for_corpus, FOR) / "eval")
    utt = "for-norm-testing-real-file0_(1).wav"
    assert folder.wav[utt] == f"{real}/file0 (1).wav" and folder.source(utt) == "testing-real-file0_(1)"
    (real / "file1.wav").rename(real / "file0_(1).wav")
    with pytest.raises(MasdError, match=r"file0_\(1\)\.wav: its id .* is taken by 'file0 \(1\)\.wav'"):
        fake_or_real(for_corpus, FOR)


def test_for_is_found_from_a_version_itself(fake_or_real, for_corpus):
    for given in (for_corpus / "for-norm", for_corpus / "for-norm" / "for-norm"):
        assert len(read_folder(fake_or_real(given, FOR) / "eval").utts) == 12


def empty_fakes(root):
    for path in (root / "for-norm" / "for-norm" / "training" / "fake").iterdir():
        path.unlink()


def remove_testing(root):
    for version in ("for-norm/for-norm", "for-original"):
        shutil.rmtree(root / version / "testing")


def remove_class(root):
    shutil.rmtree(root / "for-norm" / "for-norm" / "validation" / "real")


def remove_file(root):
    (root / "for-norm" / "for-norm" / "training" / "real" / "file0.wav").unlink()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (empty_fakes, r"for-norm/training/fake: no audio in it; a copy of FoR with an empty folder is"),
        (remove_testing, r"none of for-norm, for-2sec and for-rerec with its folder testing is in it"),
        (remove_class, r"validation/real: no such folder; FoR looks like DIR/"),
        (remove_file, r"for-norm/training: 5 real, published are 6"),
    ],
)
def test_for_says_what_is_wrong_with_a_download(fake_or_real, for_corpus, damage, says):
    damage(for_corpus)
    with pytest.raises(MasdError, match=says) as caught:
        fake_or_real(for_corpus, FOR, zero_shot=False)
    assert "\n" not in str(caught.value) and not fake_or_real.out.exists()


def test_for_names_the_versions_there_are(fake_or_real, for_corpus):
    with pytest.raises(MasdError, match="--versions for-best: the versions of FoR are for-norm"):
        fake_or_real(for_corpus, FOR, versions="for-best")
    with pytest.raises(MasdError, match=r"no .*for-rerec/testing in it"):
        fake_or_real(for_corpus, FOR, versions="for-rerec")
