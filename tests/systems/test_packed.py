"""A packed model judges as its folder does; archives that were made to do harm do none."""

import json
import zipfile

import numpy as np
import pytest
import yaml
from entry_points import call

from masd.audio import write_wav
from masd.errors import MasdError
from masd.judge.detector import Detector
from masd.pretrained import PLUS
from masd.systems import load, packed

FILES = {path.name for path in PLUS.iterdir() if path.suffix in (".yaml", ".safetensors")}


@pytest.fixture(scope="module")
def zipped(tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "plus.zip"
    packed.pack(PLUS, path, "mit")
    return path


def made(path, members):
    """A zip file of (name or ZipInfo, content)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def linked(name, to):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, 0o120777 << 16
    return info, to


def test_a_packed_model_gives_the_folders_scores(zipped, tmp_path):
    x = np.random.default_rng(0).normal(0, 0.1, 32000).astype(np.float32)
    x *= 1 + np.sin(np.arange(32000) / 1500)
    write_wav(tmp_path / "x.wav", np.clip(x, -1, 1))
    hub = tmp_path / "hub"
    packed.pack(PLUS, hub)
    expected = Detector(PLUS).judge(tmp_path / "x.wav")
    for model in (zipped, hub):
        assert Detector(model).judge(tmp_path / "x.wav").score == expected.score
    done = call("detect", "--json", "--model", zipped, tmp_path / "x.wav")
    assert json.loads(done.stdout)["score"] == expected.score


def test_the_folder_of_an_archive_goes_with_its_system(zipped):
    system = load(zipped)
    folder = system.folder
    assert folder.is_dir()
    del system
    assert not folder.exists()


def test_a_hub_folder_has_card_metadata_config_and_safetensors(tmp_path):
    done = call("pack", "--model", PLUS, "--out", tmp_path / "hub", "--licence", "cc-by-4.0")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "hub").iterdir()} == FILES | {"README.md", "config.json"}
    head, card = (tmp_path / "hub/README.md").read_text().split("---\n", 2)[1:]
    metadata = yaml.safe_load(head)
    assert metadata["license"] == "cc-by-4.0" and metadata["pipeline_tag"] == "audio-classification"
    assert card.strip() == (PLUS / "README.md").read_text().strip()
    assert json.loads((tmp_path / "hub/config.json").read_text())["system"] == "plus"
    again = tmp_path / "again"
    packed.pack(tmp_path / "hub", again, "mit")  # one head, the new one
    assert (again / "README.md").read_text().count("pipeline_tag") == 1
    assert "license: mit" in (again / "README.md").read_text()


def test_a_model_without_a_card_gets_one_of_what_it_says(zipped, tmp_path):
    made(tmp_path / "bare.zip", [(name, (PLUS / name).read_bytes()) for name in FILES])
    packed.unpack(tmp_path / "bare.zip", tmp_path / "bare")
    packed.pack(tmp_path / "bare", tmp_path / "hub")
    card = (tmp_path / "hub/README.md").read_text()
    stated = yaml.safe_load((PLUS / "model.yaml").read_text())
    dev = [stated["development"][0][name] for name in ("utterances", "bonafide", "spoof")]
    assert f"development: dev | {' | '.join(map(str, dev))} |" in card
    assert f"{100 * stated['dev']['eer']:.2f} %" in card


def test_the_same_model_gives_the_same_bytes_and_comes_back(zipped, tmp_path):
    packed.pack(PLUS, tmp_path / "again.zip", "mit")
    assert (tmp_path / "again.zip").read_bytes() == zipped.read_bytes()
    done = call("unpack", "--model", zipped, "--out", tmp_path / "model")
    assert done.returncode == 0, done.stderr
    assert all((tmp_path / "model" / name).read_bytes() == (PLUS / name).read_bytes() for name in FILES)
    with pytest.raises(MasdError, match="has something in it"):
        packed.unpack(zipped, tmp_path / "model")


def test_a_zipped_folder_is_taken_and_strangers_in_it_are_not_written(tmp_path):
    ours = [(f"plus/{name}", (PLUS / name).read_bytes()) for name in FILES]
    strangers = [(name, "x") for name in ("../escaped", "/tmp/escaped", "plus/sub/model.yaml", "plus/run.py")]
    inner = tmp_path / "a"
    inner.mkdir()
    packed.unpack(made(inner / "x.zip", ours + strangers), inner / "model")
    assert {path.name for path in (inner / "model").iterdir()} == FILES
    assert {path.name for path in inner.iterdir()} == {"x.zip", "model"}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


MODEL = ("model.yaml", "format: 2\n")


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([("../model.yaml", "x")], "no whole model|model.yaml"),
        ([("a/b/model.yaml", "x")], "no model.yaml at its top"),
        ([("notes.txt", "x")], "no model.yaml at its top"),
        ([linked("model.yaml", "/etc/passwd")], "model.yaml is a link"),
        ([MODEL, linked("model.safetensors", "/etc/passwd")], "model.safetensors is a link"),
        ([MODEL, ("model.safetensors", bytes(64 << 20))], "model.safetensors swells from"),
        ([MODEL, *((f"{i}.txt", "") for i in range(1001))], "holds 1002 files"),
        ([MODEL], "not a model of format|no key"),
    ],
    ids=["above", "deep", "none", "link", "link to tensors", "bomb", "many", "cut"],
)
def test_archives_that_are_no_models_are_refused(members, said, tmp_path):
    path = made(tmp_path / "x.zip", members)
    for attempt in (lambda: packed.unpack(path, tmp_path / "out"), lambda: load(path)):
        with pytest.raises(MasdError, match=said) as error:
            attempt()
        assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["x.zip"]


def test_files_that_say_less_than_they_hold_and_sums_over_the_limit_are_refused(tmp_path, monkeypatch):
    content = np.random.default_rng(0).bytes(3 << 20)
    path = made(tmp_path / "x.zip", [MODEL, ("model.safetensors", content)])
    monkeypatch.setattr(packed, "MOST", 1 << 20)
    with pytest.raises(MasdError, match="when unpacked"):
        packed.unpack(path, tmp_path / "out")
    monkeypatch.undo()
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")  # the last entry of the directory: its size is 24 bytes further
    data[at + 24 : at + 28] = (1000).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(MasdError, match=r"longer than it says|not a zip file, or damaged"):
        packed.unpack(path, tmp_path / "out")


def test_an_archive_that_is_damaged_or_none_is_named(zipped, tmp_path):
    data = bytearray(zipped.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "x.zip").write_bytes(data)
    (tmp_path / "y.zip").write_bytes(b"RIFF")
    for name in ("x.zip", "y.zip"):
        with pytest.raises(MasdError, match=f"{name}: not a zip file, or damaged"):
            load(tmp_path / name)


def test_a_model_that_is_not_what_it_states_is_not_packed(tmp_path):
    packed.unpack(made(tmp_path / "x.zip", [(n, (PLUS / n).read_bytes()) for n in FILES]), tmp_path / "m")
    (tmp_path / "m/model.safetensors").write_bytes(b"0")
    with pytest.raises(MasdError, match=r"model.safetensors: missing or not the file"):
        packed.pack(tmp_path / "m", tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()


def test_a_stated_file_without_a_name_is_refused(tmp_path):
    text = (PLUS / "model.yaml").read_bytes().replace(b"model.safetensors:", b"5:")
    path = made(tmp_path / "x.zip", [("model.yaml", text), ("model.safetensors", b"0")])
    with pytest.raises(MasdError, match=r"/5: missing or not the file that model\.yaml states"):
        packed.unpack(path, tmp_path / "out")
