"""docs/library.md, run as it is: a user's way into the package from Python."""

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import masd
from masd.data.folder import write_folder
from masd.errors import MasdError
from masd.feats.config import FeatsConfig
from masd.feats.dump import dump_shard, finish_dump
from masd.metrics.scores import write_scores
from masd.models.encoder import Encoder, EncoderConfig, save_encoder

PAGE = (Path(__file__).parents[1] / "docs/library.md").read_text()
CODE = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A folder with the files that the page names, of noise and of an encoder that was not trained."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    utts = ["s1-a", "s1-b", "s2-c", "s2-d"]
    for utt in [*utts, "recording"]:
        soundfile.write(f"{utt}.wav", 0.1 * rng.standard_normal(24000), 16000)
    lab = dict(zip(utts, ("bonafide", "spoof", "spoof", "bonafide"), strict=True))
    write_folder(
        "data/small/eval",
        {utt: f"{utt}.wav" for utt in utts},
        {utt: utt[:2] for utt in utts},
        utt2lab=lab,
        utt2attack={utt: "-" if lab[utt] == "bonafide" else "A01" for utt in utts},
    )
    dump_shard("data/small/eval", "dump/small/eval", FeatsConfig())
    finish_dump("dump/small/eval", 1)
    config = EncoderConfig()
    torch.manual_seed(0)
    save_encoder("exp/small/ssl_adversarial_s0", Encoder(config), config, FeatsConfig(), {})
    scores = Path("exp/small/full_s0/scores/eval/scores")
    scores.parent.mkdir(parents=True)
    write_scores(scores, dict(zip(utts, (2.0, -1.0, 0.5, 1.0), strict=True)))
    kinds = {"target": 2.0, "nontarget": -2.0, "spoof": 1.0}
    lines = [f"{i} {kind} {rng.normal(mean)}\n" for kind, mean in kinds.items() for i in range(50)]
    Path("asv_scores.txt").write_text("".join(lines))


def test_the_page_on_the_library_runs_and_gives_what_it_says(recipe, capsys):
    """Names, shapes and polarity of the page are those of the code."""
    names = {}
    for code in CODE:
        exec(compile(code, "docs/library.md", "exec"), names)
    assert names["hand"].shape == (3,) and names["x"].shape == (24000,)
    assert np.array_equal(names["dump"].hand["s1-a"], names["hand"])
    assert names["z"].shape[1] == 3 and names["f_ssl"].shape == (1, 130)
    assert names["rate"] == 0 and names["cost"] == 0 and 0 <= names["tandem"] < 1
    assert names["verdict"].label == "inconclusive"  # the recording is noise
    assert "inconclusive" in capsys.readouterr().out


LINES = re.findall(r"^- `(masd[\w.]+)`: ((?:`\w+`(?:, )?)*)", masd.__doc__, re.MULTILINE)


@pytest.mark.parametrize(("module", "names"), LINES)
def test_the_package_names_what_there_is(module, names):
    """`help(masd)` points to modules, and to names or modules in them."""
    found = importlib.import_module(module)
    for name in re.findall(r"`(\w+)`", names):
        assert hasattr(found, name) or importlib.import_module(f"{module}.{name}")


def test_a_calibration_that_does_not_exist_is_refused():
    with pytest.raises(MasdError, match="calibration platt: temperature or affine"):
        masd.Detector(calibration="platt")
