"""One's own recordings, in folders or in a table: zero-shot at once, and trained on their split."""

import json
import re
import subprocess

import field_trees
import pytest
from paper_recipes import ROOT, PaperRecipe

from masd.data import corpus
from masd.data.checks import check_apart
from masd.data.folder import read_folder
from masd.stage.files import read_yaml

QUICK = ("--size", "tiny", "--nj", "1")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A copy of the recipe."""
    return PaperRecipe(tmp_path_factory.mktemp("own"), "own")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Recordings in folders: 6 speakers, each bona fide and by 3 generators."""
    return field_trees.own(tmp_path_factory.mktemp("mine"), field_trees.touch)


def prepare(recipe, tmp_path, *options, size="full"):
    """Run local/corpus.py prepare; return what it said, and its sets."""
    out = tmp_path / "data"
    words = ("--part", f"conf/corpus_{size}.yaml", "--out", out, *options)
    done = recipe.python("local/corpus.py", "prepare", *words)
    return done, {
        path.name: read_folder(path) for path in out.iterdir() if path.is_dir()
    } if out.exists() else {}


def counted(folder):
    """{generator: utterances}, - for bona fide."""
    attacks = list(folder.tables["utt2attack"].values())
    return {name: attacks.count(name) for name in sorted(set(attacks))}


@pytest.mark.slow
def test_a_folder_is_scored_at_once_then_trained_on_and_compared(recipe, tmp_path):
    """By the packaged model; then a system is trained, and the packaged one is compared on the same eval."""
    mine = field_trees.own(tmp_path, field_trees.Voices(), speakers=12)
    page = recipe.path / "exp/tiny/RESULTS.md"
    recipe.run(*QUICK, "--corpus", mine)
    text = page.read_text()
    assert "# Results on my recordings" in text and "zero_shot_plus" in text
    assert "Cues that are not synthesis" in text or "cue" in text.lower()
    assert counted(read_folder(recipe.path / "data/tiny/eval")) == {
        "-": 12,
        "my_gen": 12,
        "vits": 12,
        "xtts": 12,
    }
    recipe.run(*QUICK, "--corpus", mine, "--zero-shot", "false", "--system", "lfcc_gmm")
    train, dev, held = (read_folder(recipe.path / "data/tiny" / name) for name in ("train", "dev", "eval"))
    check_apart(train, dev)
    assert set(train.utt2spk.values()).isdisjoint(held.utt2spk.values())
    recipe.run(*QUICK, "--corpus", mine, "--split", "true")
    text = page.read_text()
    assert "zero_shot_plus" in text and "lfcc_gmm" in text and "left out" not in text
    path = recipe.path / "exp/tiny/lfcc_gmm_s0/results/eval/metrics.json"
    figures = json.loads(path.read_text())
    heard = set(counted(train)) - {"-"}
    assert set(figures["seen"]["attacks"]) == heard and len(figures["unseen"]["attacks"]) == 1


def test_folders_say_label_generator_speaker_and_source(recipe, folders, tmp_path):
    done, sets = prepare(recipe, tmp_path, "--corpus", folders)
    assert done.returncode == 0, done.stderr
    folder = sets["eval"]
    assert set(sets) == {"eval"} and counted(folder) == {"-": 6, "my_gen": 6, "vits": 6, "xtts": 6}
    assert folder.spk("s3-a-my_gen") == "s3" and folder.source("s3-a-my_gen") == "s3-a"
    assert (tmp_path / "data/breakdown").read_text() == "codec\n"
    assert (tmp_path / "data/split").read_text().startswith("# eval is all recordings\n")


@pytest.mark.parametrize("speaker_folders", [True, False])
def test_a_split_keeps_speakers_or_else_recordings_apart(recipe, tmp_path, speaker_folders):
    mine = field_trees.own(tmp_path / "mine", field_trees.touch, 20, speaker_folders)
    options = ("--corpus", mine, "--split", "true", "--zero-shot", "false", "--unseen", "xtts")
    done, sets = prepare(recipe, tmp_path, *options)
    assert done.returncode == 0, done.stderr
    assert {name: counted(folder) for name, folder in sets.items()} == {
        "train": {"-": 12, "my_gen": 12, "vits": 12},
        "dev": {"-": 4, "my_gen": 4, "vits": 4},
        "eval": {"-": 4, "my_gen": 4, "vits": 4, "xtts": 4},
        "pretrain": {"-": 12},
        "pretrain_dev": {"-": 4},
    }
    check_apart(sets["train"], sets["dev"])
    for name in ("train", "dev"):
        assert not {sets[name].source(u) for u in sets[name].utts} & {
            sets["eval"].source(u) for u in sets["eval"].utts
        }
    said = (tmp_path / "data/split").read_text().splitlines()[0]
    apart = "speaker" if speaker_folders else "recording (not all speakers are named)"
    assert said == f"# sets are disjoint by {apart}, drawn with seed 0; in eval alone: xtts"
    again, alone = prepare(recipe, tmp_path / "2", "--corpus", mine, "--split", "true")
    assert again.returncode == 0 and set(alone) == {"eval"} and alone["eval"].wav == sets["eval"].wav


def test_of_three_generators_one_is_in_eval_alone(recipe, folders, tmp_path):
    done, sets = prepare(recipe, tmp_path, "--corpus", folders, "--split", "true", "--zero-shot", "false")
    assert done.returncode == 0, done.stderr
    assert len(counted(sets["train"])) == len(counted(sets["dev"])) == 3 and len(counted(sets["eval"])) == 4


def table(path, header, rows):
    """Write a CSV file and the recordings that it names."""
    for row in rows:
        field_trees.touch(path.parent / row.split(",")[0], "")
    field_trees.put(path, [header, *rows])
    return path


def test_a_table_says_it_in_place_of_folders(recipe, tmp_path):
    """Sets, a further column to break down by, speakers' names with blanks; labels in any usual spelling."""
    rows = [
        "wav/1.wav,real,Ann B.,,train,en",
        "wav/2.mp3,fake,Ann B.,vits,train,en",
        "wav/3.wav,bona-fide,Carl,,dev,de",
        "wav/4.wav,spoof,Carl,vits,dev,de",
        "other/1.wav,bonafide,Dora,,test,en",
        "other/2.wav,deepfake,Dora,xtts,test,de",
    ]
    csv = table(tmp_path / "list.csv", "path,label,speaker,attack,set,language", rows)
    done, sets = prepare(recipe, tmp_path, "--csv", csv, "--zero-shot", "false", "--split", "true")
    assert done.returncode == 0, done.stderr
    assert {name: counted(folder) for name, folder in sets.items()} == {
        "train": {"-": 1, "vits": 1},
        "dev": {"-": 1, "vits": 1},
        "eval": {"-": 1, "xtts": 1},
        "pretrain": {"-": 1},
        "pretrain_dev": {"-": 1},
    }
    assert sets["train"].spk("wav-1") == "Ann_B." and sets["eval"].utts == ["other-1", "other-2"]
    assert sets["train"].tables["utt2codec"] == {"wav-1": "wav", "wav-2": "mp3"}
    assert (tmp_path / "data/breakdown").read_text() == "language,codec\n"
    moved = tmp_path / "elsewhere.csv"
    csv.rename(moved.parent.parent / moved.name)
    done, again = prepare(
        recipe, tmp_path / "2", "--csv", moved.parent.parent / moved.name, "--corpus", tmp_path
    )
    assert done.returncode == 0 and again["eval"].wav == sets["eval"].wav


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["a.wav,real,x", "b.wav,fake,y", "a.flac,real,x"], "a.wav and a.flac would both be a"),
        (["a.wav,real,x", "b.wav,perhaps,y"], "must be bonafide or spoof"),
        (["a.wav,real,train", "b.wav,fake,nowhere"], "b is in set 'nowhere'; known are train, training, dev"),
    ],
)
def test_what_is_wrong_with_a_table_is_one_line(recipe, tmp_path, rows, said):
    last = "set" if "train" in rows[0] else "speaker"
    csv = table(tmp_path / "list.csv", f"path,label,{last}", rows)
    done, _ = prepare(recipe, tmp_path, "--csv", csv)
    (line,) = done.stderr.strip().splitlines()
    assert done.returncode == 1 and line.startswith("corpus prepare: error: ") and said in line


def test_a_recording_that_is_not_there_stops_a_strict_run(recipe, tmp_path):
    csv = table(tmp_path / "list.csv", "path,label", ["a.wav,real", "b.wav,fake", "c.wav,fake"])
    (tmp_path / "b.wav").unlink()
    done, _ = prepare(recipe, tmp_path, "--csv", csv)
    assert done.returncode == 1 and "1 of 3 files of the protocol are not in" in done.stderr
    done, sets = prepare(recipe, tmp_path, "--csv", csv, "--strict", "false")
    assert done.returncode == 0 and sets["eval"].utts == ["a", "c"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("real/s0/a.flac", "its id s0-a is taken by"),
        ("fake/anna-002.wav", "Move it to its generator's folder; wanted is DIR/real/"),
    ],
)
def test_no_file_is_lost_without_a_word(recipe, tmp_path, name, said):
    """A name that is another file's id, or a fake of nobody, is one line that names the file."""
    mine = field_trees.own(tmp_path / "mine", field_trees.touch)
    field_trees.touch(mine / name, "")
    done, _ = prepare(recipe, tmp_path, "--corpus", mine)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("corpus prepare: error: ") and said in done.stderr


def test_too_little_to_split_and_an_unknown_generator_are_said(recipe, tmp_path):
    mine = field_trees.own(tmp_path / "mine", field_trees.touch, speakers=2)
    for options, said in (
        (("--split", "true"), "2 of independent speakers or recordings make no three sets"),
        (("--unseen", "melgan"), "--unseen melgan: the generators are my_gen, vits, xtts"),
    ):
        done, _ = prepare(recipe, tmp_path, "--corpus", mine, *options)
        assert done.returncode == 1 and said in done.stderr


def test_the_size_tiny_takes_a_few_of_each_generator(recipe, tmp_path):
    mine = field_trees.own(tmp_path / "mine", field_trees.touch, speakers=20)
    _, sets = prepare(recipe, tmp_path, "--corpus", mine, size="tiny")
    assert set(counted(sets["eval"]).values()) == {12}


def test_where_recordings_are_is_asked_for(recipe):
    done = subprocess.run(
        ["./run.sh", "--corpus", "nowhere"], cwd=recipe.path, capture_output=True, text=True
    )
    assert done.returncode == 1 and "--corpus nowhere: no such folder" in done.stderr
    done = recipe.python("local/corpus.py", "locate")
    assert done.returncode == 1 and "no --corpus given" in done.stderr


def test_the_vocoders_that_the_readme_names_need_no_weights():
    """So that its command for training is one that works at once."""
    readme = (ROOT / "egs/own/README.md").read_text()
    named = re.search(r'--ngpu 0 --vocoders "([^"]+)"', readme)[1].split()
    known = read_yaml(ROOT / "utils/conf/vocoders.yaml")["vocoders"]
    assert named and all(known[name] == {} for name in named)


def test_the_page_on_a_new_corpus_names_what_there_is(tmp_path):
    """A recipe copied as it says has every file that it lists, and `masd.data` every function."""
    page = (ROOT / "docs/new_corpus.md").read_text()
    copied = PaperRecipe(tmp_path, "in_the_wild").path
    table = re.findall(r"^\| `([^|]+)` \|", page, re.MULTILINE)
    names = [name for row in table for name in re.split("`, `", row)]
    assert len(names) >= 6
    for name in names:
        assert (copied / name).exists() or (copied / "conf" / name).exists(), name
    for name in ("find_root", "list_audio", "complete", "write_sets"):
        assert f"`{name}`" in page and callable(getattr(corpus, name))
    assert "`file_key`" in page and len(page.splitlines()) <= 60
