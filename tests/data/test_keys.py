"""Keys as the challenges release them: every form read into the same tables, what is wrong with one named."""

import os
from collections import Counter
from pathlib import Path

import pytest

from masd.data.keys import Key, file_key, folder_key
from masd.errors import MasdError
from masd.stage.tables import write_table

FORMS = {
    "2019 LA": [
        "LA_0079 LA_E_1138215 - - bonafide",
        "LA_0039 LA_E_2834763 - A11 spoof",
    ],
    "2021 LA": [
        "LA_0009 LA_E_9332881 alaw ita_tx bonafide bonafide notrim eval",
        "LA_0020 LA_E_6866159 alaw loc_tx A07 spoof notrim progress",
    ],
    "2021 DF": [
        "LA_0043 DF_E_2000026 low_mp3 asvspoof bonafide bonafide notrim eval bonafide - - - -",
        "LA_0023 DF_E_2000011 nocodec asvspoof A14 spoof notrim progress traditional_vocoder - - - -",
    ],
    "2021 DF, first release": [
        "LA_0043 DF_E_2000026 low_mp3 asvspoof bonafide bonafide notrim eval",
        "LA_0023 DF_E_2000011 nocodec asvspoof A14 spoof notrim progress",
    ],
    "ASVspoof 5": [
        "D_0461 D_0000000190 M - - - - bonafide bonafide -",
        "D_4461 D_0000000169 F C05 2 - AC1 A14 spoof -",
    ],
    "ASVspoof 5, first release": [
        "D_0461 D_0000000190 M - bonafide bonafide",
        "D_4461 D_0000000169 F - A14 spoof",
    ],
    "ASVspoof 5, headed": ["filename\tcm-label", "E_000001\tbonafide", "E_000002\tspoof"],
    "plain": ["b bonafide", "a spoof"],
    "plain with attacks": ["b bonafide -", "a spoof A14"],
}


def write(tmp_path, lines):
    path = tmp_path / "key.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_labels_and_attacks(tmp_path, form):
    key = file_key(write(tmp_path, FORMS[form]))
    assert Counter(key.label.values()) == {"bonafide": 1, "spoof": 1}
    (fake,) = (utt for utt, label in key.label.items() if label == "spoof")
    (real,) = key.label.keys() - {fake}
    assert key.attack[real] == "-"
    assert key.attack[fake] in ("A11", "A07", "A14", "spoof")


def test_conditions_and_subsets_of_2021(tmp_path):
    key = file_key(write(tmp_path, FORMS["2021 DF"]))
    assert key.condition("codec") == {"DF_E_2000026": "low_mp3", "DF_E_2000011": "nocodec"}
    assert key.condition("vocoder")["DF_E_2000011"] == "traditional_vocoder"
    assert key.condition("source")["DF_E_2000011"] == "asvspoof"
    assert key.condition("attack")["DF_E_2000011"] == "A14"
    assert list(key.subset("eval").label) == ["DF_E_2000026"]
    assert list(key.subset("eval").condition("codec")) == ["DF_E_2000026"]
    with pytest.raises(MasdError, match="no subset hidden; there are eval, progress"):
        key.subset("hidden")
    with pytest.raises(MasdError, match="no condition noise; there are attack, codec"):
        key.condition("noise")
    old = file_key(write(tmp_path, FORMS["2021 DF, first release"]))
    assert "source" in old.tables
    assert "transmission" in file_key(write(tmp_path, FORMS["2021 LA"])).tables
    with pytest.raises(MasdError, match="names no subsets"):
        file_key(write(tmp_path, FORMS["2019 LA"])).subset("eval")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["a spoof A1", "a spoof A1"], "key.txt:2: trial a is listed twice"),
        (["a spoof A1", "b bonafide"], "key.txt:2: 2 columns, 3 in the first line"),
        (["b bonafide -", "a odd A1"], "key.txt:2: trial a has label odd; it must be bonafide or spoof"),
        (["a b c d"], "key.txt:1: no key known here; give .*the first line is `a b c d`"),
        (["a bonafide A07"], "trial a is labelled bonafide and has attack A07; is the key reversed"),
        (["LA_1 LA_E_1 - bonafide spoof"], "is labelled spoof and has attack bonafide; is the key reversed"),
        (["filename\tcm-label"], "a header and no trials"),
    ],
)
def test_what_is_wrong_with_a_key_is_named(tmp_path, lines, said):
    with pytest.raises(MasdError, match=said):
        file_key(write(tmp_path, lines))


def test_a_data_folder_gives_the_same_key(tmp_path):
    write_table(tmp_path / "utt2lab", {"a": "spoof", "b": "bonafide"})
    write_table(tmp_path / "utt2attack", {"a": "A14", "b": "-"})
    write_table(tmp_path / "utt2codec", {"a": "mp3", "b": "none"})
    write_table(tmp_path / "utt2dur", {"a": 1.0, "b": 2.0})
    key = folder_key(tmp_path)
    assert (key.label, key.attack) == ({"a": "spoof", "b": "bonafide"}, {"a": "A14", "b": "-"})
    assert list(key.tables) == ["codec"]
    write_table(tmp_path / "utt2lab", {"a": "bonafide", "b": "spoof"})
    with pytest.raises(MasdError, match="trial a is labelled bonafide and has attack A14"):
        folder_key(tmp_path)


@pytest.mark.skipif(
    not os.environ.get("ASVSPOOF2019_LA_PROTOCOLS"),
    reason="ASVSPOOF2019_LA_PROTOCOLS does not name the folder of the challenge's protocols",
)
@pytest.mark.parametrize(
    ("name", "bonafide", "spoof", "attacks"),
    [("train.trn", 2580, 22800, 6), ("dev.trl", 2548, 22296, 6), ("eval.trl", 7355, 63882, 13)],
)
def test_the_real_protocols_of_2019(name, bonafide, spoof, attacks):
    key = file_key(Path(os.environ["ASVSPOOF2019_LA_PROTOCOLS"]) / f"ASVspoof2019.LA.cm.{name}.txt")
    assert Counter(key.label.values()) == {"bonafide": bonafide, "spoof": spoof}
    assert len(set(key.attack.values()) - {"-"}) == attacks


def test_trials_are_renamed_in_every_table_unless_two_would_be_one():
    key = Key(
        "k", {"a.wav": "bonafide", "b.wav": "spoof"}, {"a.wav": "-", "b.wav": "x"}, {"spk": {"b.wav": "s"}}
    )
    new = key.rename(lambda utt: utt.removesuffix(".wav"))
    assert new == Key("k", {"a": "bonafide", "b": "spoof"}, {"a": "-", "b": "x"}, {"spk": {"b": "s"}})
    with pytest.raises(MasdError, match=r"k: a\.wav and b\.wav would both be u; rename one"):
        key.rename(lambda _: "u")
