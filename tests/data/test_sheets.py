"""Keys and scores as other people keep them: encodings, separators, headers, labels, and what is refused."""

import json

import pytest

from masd.data.keys import file_key
from masd.data.sheets import label_of, read_text_of
from masd.errors import MasdError
from masd.metrics.scores import read_score_file

LABELS = {"a": "bonafide", "b": "spoof"}
SCORES = {"a": 1.5, "b": -2.0}
PLAIN = "a 1.5\nb -2.0\n"


def key_of(tmp_path, text):
    (tmp_path / "key").write_text(text, encoding="utf-8", newline="")
    return file_key(tmp_path / "key")


def scores_of(tmp_path, text, **options):
    (tmp_path / "scores").write_text(text, encoding="utf-8", newline="")
    return read_score_file(tmp_path / "scores", **options).scores


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "text", [PLAIN, "file,score\na,1.5\nb,-2.0\n", "\nutt\tcm-score\na\t1.5\n\nb\t-2\n\n"]
)
def test_an_editors_encoding_and_line_ends_change_nothing(tmp_path, encoding, end, text):
    (tmp_path / "scores").write_bytes(text.replace("\n", end).encode(encoding))
    assert read_score_file(tmp_path / "scores").scores == SCORES


def test_big_endian_with_a_mark_is_read_too(tmp_path):
    (tmp_path / "scores").write_bytes(("\ufeff" + PLAIN).encode("utf-16-be"))
    assert read_score_file(tmp_path / "scores").scores == SCORES


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (PLAIN.encode("utf-16-le"), r"iconv -f UTF-16LE -t UTF-8 .*x >"),
        (PLAIN.encode("utf-16-be"), r"iconv -f UTF-16BE -t UTF-8"),
        ("é 1.0\n".encode("latin1"), r"not UTF-8 text; convert it \(iconv -f LATIN1"),
        (b"\xff\xfea", r"not UTF-16 text"),
        (b"PK\x03\x04 an xlsx", "a spreadsheet or compressed file, not text; save it as CSV"),
    ],
)
def test_other_encodings_are_named_with_the_command_that_mends_them(tmp_path, data, said):
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(MasdError, match=said):
        read_text_of(tmp_path / "x")


KEYS = {
    "In-the-Wild": "file,speaker,label\na,Alec Guinness,bona-fide\nb,Alec Guinness,spoof\n",
    "Speech DF Arena": "file_name,label\na,bonafide\nb,spoof\n",
    "AntiDeepfake": "ID,Label,Duration,SampleRate,Path,Attack,Speaker,Proportion,AudioChannel,AudioEncoding,"
    "AudioBitSample,Language\na,real,4.1,16000,$ROOT/x/a.wav,-,-,-,1,PCM_S,16,EN\n"
    "b,fake,4.1,16000,$ROOT/x/b.wav,A07,-,-,1,PCM_S,16,EN\n",
    "index column": ",path,label\n0,a,Real\n1,b,Fake\n",
    "semicolons, spaces": "file; label\na; genuine\nb; deepfake\n",
    "tabs": "filename\tcm-label\na\tbona_fide\nb\tspoofed\n",
    "tabs and blanks": "a\tbonafide\nb \t\tspoof\n",
    "white space": "utt label\na human\nb spoof\n",
    "is_fake": "path,is_fake\na,0\nb,1\n",
    "is_real": "path,is_real\na,True\nb,False\n",
    "quoted": 'file,note,label\n"a","x, and\n""y""",real\n"b",z,fake\n',
    "no header": "a,bonafide\nb,spoof\n",
    "no header, other words": "a real\nb fake\n",
    "objects": '{"file": "a", "label": "real"}\n{"file": "b", "label": "fake"}\n',
}


@pytest.mark.parametrize("form", KEYS)
def test_every_form_of_key_gives_the_same_labels(tmp_path, form):
    assert key_of(tmp_path, KEYS[form]).label == LABELS


def test_columns_beside_the_label_become_conditions(tmp_path):
    wild = key_of(tmp_path, KEYS["In-the-Wild"])
    assert wild.tables == {"spk": {"a": "Alec Guinness", "b": "Alec Guinness"}}
    anti = key_of(tmp_path, KEYS["AntiDeepfake"])
    assert anti.attack == {"a": "-", "b": "A07"}
    assert anti.condition("language") == {"a": "EN", "b": "EN"}
    assert anti.tables["spk"] == {}  # `-` names no speaker


def test_mlaad_lists_fakes_alone_and_that_is_said(tmp_path, caplog):
    names = "path|original_file|language|is_original_language|duration|training_data|model_name|architecture"
    line = "./fake/de/x/0.wav|de/by/y.wav|de|True|5.1|M-AILABS|tts_models/de|vits|Er sagte, es sei gut"
    with caplog.at_level("INFO"):
        key = key_of(tmp_path, f"{names}|transcript\n{line}\n")
    assert key.label == {"./fake/de/x/0.wav": "spoof"}
    assert key.attack == {"./fake/de/x/0.wav": "tts_models/de"}
    assert key.condition("language") == {"./fake/de/x/0.wav": "de"}
    assert "all are taken as spoof" in caplog.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,label\na,0\nb,1\n", r"key:2: trial a has label 0, and nothing says whether 1 is bona fide or"),
        ("a 0\nb 1\n", r"key:1: trial a has label 0, and nothing says"),
        ("file,label\na,real\nb,maybe\n", r"key:3: trial b has label maybe; it must be bonafide or spoof"),
        (
            "recording,verdict\na,real\n",
            r"key:1: no key known.*header that names file and label; .*`recording,",
        ),
        ("file,label\na,real\nb\n", r"key:3: 1 columns, 2 in the first line"),
        ('file,label\na,real\n"b,fake\n', r"key:4: not CSV .*is a quote open"),
        ("file,label\na,real\na,real\n", r"key:3: trial a is listed twice"),
        ("file,label,attack\na,real,A07\n", r"trial a is labelled bonafide and has attack A07"),
        ('{"file": "a", "p_fake": 0.9, "label": "spoof"}\n', "a detector's verdicts, no key"),
        ('{"file": "a", "label": "real"}\n{"fi', r"key:2: not one whole JSON object a line"),
    ],
)
def test_a_key_that_could_mean_two_things_or_none_is_refused(tmp_path, text, said):
    with pytest.raises(MasdError, match=said):
        key_of(tmp_path, text)


def test_a_zero_or_one_means_nothing_without_its_column():
    assert [label_of("1", column) for column in ("label", "is_fake", "is_real")] == [
        None,
        "spoof",
        "bonafide",
    ]


TABLES = {
    "no header": "a,1.5\nb,-2\n",
    "Arena": "/x/a.wav 1.5\n/x/b.wav -2\n",
    "file,score": "file,score\na,1.5\nb,-2\n",
    "cm_score among others": "id|asv_score|cm_score\na|9|1.5\nb|9|-2\n",
    "prediction": "wav;prediction\na;1.5\nb;-2\n",
    "AntiDeepfake": 'ID,Score,Label\na,"[-0.5, 1.0]",1\nb,"[1.5, -0.5]",0\n',
    "fake_score": "file,spoof_score\na,-1.5\nb,2\n",
}


@pytest.mark.parametrize("form", TABLES)
def test_every_form_of_score_table_gives_the_same_scores(tmp_path, form):
    given = scores_of(tmp_path, TABLES[form])
    assert {utt.removeprefix("/x/").removesuffix(".wav"): score for utt, score in given.items()} == SCORES


def test_p_fake_alone_is_read_as_log_odds_and_said(tmp_path, caplog):
    with caplog.at_level("INFO"):
        scores = scores_of(tmp_path, "file,p_fake\na,0.5\nb,0.9\nc,1\nd,0\n")
    assert "read as P(fake) as log-odds of bona fide" in caplog.text
    assert scores["a"] == 0
    assert scores["b"] == pytest.approx(-2.1972246)
    assert -40 < scores["c"] < -30
    assert 600 < scores["d"] < 700
    assert scores_of(tmp_path, "file,p_real\na,0.5\nb,0.1\n")["b"] == pytest.approx(-2.1972246)
    with pytest.raises(MasdError, match=r"scores:2: trial a: a probability of 1.5"):
        scores_of(tmp_path, "file,p_fake\na,1.5\n")


def test_a_stated_polarity_turns_what_does_not_state_its_own(tmp_path):
    assert scores_of(tmp_path, PLAIN, polarity="spoof") == {"a": -1.5, "b": 2.0}
    turned = [scores_of(tmp_path, TABLES["fake_score"], polarity=p) for p in ("bonafide", "spoof")]
    assert turned == [SCORES, SCORES]
    with pytest.raises(MasdError, match="say which class has the higher scores"):
        scores_of(tmp_path, PLAIN, polarity="up")


def test_what_detect_prints_is_a_score_file_whose_verdicts_are_no_labels(tmp_path, caplog):
    rows = [
        {"file": "a", "score": 1.5, "p_fake": 0.2, "label": "spoof", "warnings": ["short"], "threshold": 2.0},
        {"file": "b", "score": -2.0, "p_fake": 0.9, "label": "spoof", "warnings": [], "threshold": 2.0},
        {"file": "c", "score": None, "p_fake": None, "label": "inconclusive", "reason": "no speech"},
    ]
    (tmp_path / "scores").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_score_file(tmp_path / "scores")
    assert (found.scores, found.labels) == (SCORES, {})
    assert "1 trial (c) without a score: left out" in caplog.text
    with pytest.raises(MasdError, match="or what `detect --json` writes; the first line is `# plus"):
        scores_of(tmp_path, "# plus: spoof from P(fake) 0.5 up\nspoof 0.9 -2.0 b\n")


def test_labels_beside_scores_are_kept_for_the_check_against_the_key(tmp_path):
    (tmp_path / "scores").write_text("file,score,label\na,1.5,Bona-Fide\nb,-2,fake\n")
    assert read_score_file(tmp_path / "scores").labels == LABELS
    (tmp_path / "scores").write_text("file,score,label\na,1.5,1\nb,-2,0\n")
    assert read_score_file(tmp_path / "scores").labels == {}
