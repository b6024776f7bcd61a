"""Released checkpoints in their true layouts with small random weights: loaded strictly, scored as ours."""

import sys
import types
import zipfile
from pathlib import Path

import pytest
import torch
from fairseq_names import LAYER, SMALL, to_fairseq
from torch.nn import functional as F

from masd.errors import MasdError
from masd.models.front_ends import FrontEnd
from masd.systems.classifier import on_front_ends
from masd.systems.released import LAYOUTS, fetched, released

ARCHITECTURE = {"kind": "wav2vec2", **SMALL, **LAYER}
# how each release names what is on the front end: (our name, its name)
NAMES = {
    "w2v2_aasist": ("project.", "LL."),
    "sls": ("", ""),
    "nes2net": ("", "Nested_Res2Net_TDNN."),
    "mhfa": ("projection.", "projection.trans."),
    "antideepfake": ("", ""),
}
PREFIX = {"antideepfake": "m_ssl.model.", "mhfa": "frontend.upstream.upstream.model."}


def checkpoint(system):
    """A network of ours with random weights, and its tensors as the release would hold them."""
    torch.manual_seed(0)
    net = on_front_ends(system, [ARCHITECTURE]).eval()
    front_end = net.front_ends[0]
    with torch.no_grad():
        for value in net.state_dict().values():
            if value.is_floating_point() and value.ndim == 1:
                value.add_(torch.rand_like(value) / 4)
    state = to_fairseq(front_end.model.state_dict())
    state = {PREFIX.get(system, "ssl_model.model.") + name: value for name, value in state.items()}
    ours, theirs = NAMES[system]
    for name, value in net.state_dict().items():
        if not name.startswith("front_ends."):
            taken = name.startswith(ours)
            state[(theirs if taken else "") + name.removeprefix(ours)] = value
    return net, state


@pytest.mark.parametrize("system", LAYOUTS)
def test_a_release_scores_as_its_network_does(system, tmp_path):
    net, state = checkpoint(system)
    if system in ("w2v2_aasist", "sls", "nes2net"):  # saved from DataParallel
        state = {f"module.{name}": value for name, value in state.items()}
    torch.save(state, tmp_path / "model.pth")
    loaded, x = released(system, tmp_path / "model.pth"), 0.1 * torch.randn(2, 64600) + 0.3
    scaled = system in ("antideepfake", "mhfa")
    net.front_ends[0].architecture["normalise"] = False
    with torch.no_grad():
        logits = net(F.layer_norm(x, x.shape[1:]) if scaled else x)[1]
        # WeDefense's classes are [bona fide, spoof]
        expected = (logits[:, 0] - logits[:, 1]) * (1 if system == "mhfa" else -1)
        torch.testing.assert_close(loaded.score(x), expected, rtol=1e-4, atol=1e-5)
    assert not any(p.requires_grad for p in loaded.parameters()) and not loaded.training


def test_antideepfake_is_a_mean_and_a_linear_layer(tmp_path):
    _, state = checkpoint("antideepfake")
    torch.save(state, tmp_path / "mms.ckpt")
    x = torch.randn(1, 64600)
    loaded = released("antideepfake", tmp_path / "mms.ckpt")
    end = FrontEnd({**ARCHITECTURE, "normalise": True}).eval()
    end.model.load_state_dict(loaded.net.front_ends[0].model.state_dict())
    with torch.no_grad():
        fake, real = state["proj_fc.weight"] @ end(x).mean(1)[0] + state["proj_fc.bias"]
        torch.testing.assert_close(loaded.score(x)[0], real - fake)


def test_wedefense_comes_as_a_zip(tmp_path):
    _, state = checkpoint("mhfa")
    torch.save(state, tmp_path / "avg_model.pt")
    path = tmp_path / "detection_MHFA_wav2vec2_large.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("detection_MHFA_wav2vec2_large/config.yaml", "model: SSL_BACKEND_MHFA\n")
        archive.write(tmp_path / "avg_model.pt", "detection_MHFA_wav2vec2_large/avg_model.pt")
    x = torch.randn(1, 16000)
    with torch.no_grad():
        assert released("mhfa", path).score(x) == released("mhfa", tmp_path / "avg_model.pt").score(x)


def test_what_is_wrong_with_a_release_is_said_by_the_first_name(tmp_path):
    _, state = checkpoint("w2v2_aasist")
    cases = {
        r"tensor first_bn\.bias is nothing where the configuration asks for \(1,\)": {
            name: value for name, value in state.items() if name != "first_bn.bias"
        },
        r"tensor GAT_layer_X\.bias is \(3,\) where .* nothing": state | {"GAT_layer_X.bias": torch.ones(3)},
        r"tensor out_layer\.bias is \(3,\) where .* \(2,\)": state | {"out_layer.bias": torch.ones(3)},
        r"tensor front_ends\.0\.model\.encoder\.transformer\.layer_norm\.bias is nothing": {
            name: value for name, value in state.items() if name != "ssl_model.model.encoder.layer_norm.bias"
        },
        r"no tensor ssl_model\.model\.\* of that release; the first is out_layer\.bias": {
            "out_layer.bias": torch.ones(2)
        },
        "tensor pos_S holds NaN": state | {"pos_S": torch.full((1, 42, 64), torch.nan)},
    }
    for number, (said, wrong) in enumerate(cases.items()):
        path = tmp_path / f"{number}.pth"
        torch.save(wrong, path)
        with pytest.raises(MasdError, match=rf"{path.name}: {said}"):
            released("w2v2_aasist", path)


def test_a_release_of_another_system_is_refused(tmp_path):
    _, state = checkpoint("sls")
    torch.save(state, tmp_path / "sls.pth")
    with pytest.raises(MasdError, match=r"sls\.pth: tensor Build_in_Res2Nets\.0\.bn1\.bias is nothing"):
        released("nes2net", tmp_path / "sls.pth")
    with pytest.raises(
        MasdError, match=r"system lfcc_lcnn: checkpoints of aasist, .*antideepfake.* are known"
    ):
        released("lfcc_lcnn", tmp_path / "sls.pth")


def test_a_release_on_the_hub_is_fetched(tmp_path, monkeypatch):
    asked = []

    def download(place, file):
        asked.append((place, file))
        if place == "lab/none":
            raise OSError("404\nno such model")
        return str(path)

    path = tmp_path / "sls.pth"
    torch.save(checkpoint("sls")[1], path)
    hub = types.SimpleNamespace(hf_hub_download=download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    x = torch.randn(1, 64600)
    with torch.no_grad():
        assert released("sls", "hf:lab/sls/deep/sls.pth").score(x) == released("sls", path).score(x)
    assert fetched(Path("hf:lab/sls")) == path and fetched(path) == path
    assert asked == [("lab/sls", "deep/sls.pth"), ("lab/sls", "model.safetensors")]
    with pytest.raises(MasdError, match=r"hf:lab/none: not to be had .*404 no such model"):
        fetched(Path("hf:lab/none"))
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MasdError, match="huggingface_hub is not installed"):
        fetched(Path("hf:lab/sls"))


def test_a_zip_that_is_damaged_or_swells_is_refused(tmp_path):
    path = tmp_path / "mhfa.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("avg_model.pt", b"0" * 1000)
    path.write_bytes(path.read_bytes().replace(b"0" * 1000, b"0" * 999 + b"1"))
    with pytest.raises(MasdError, match=r"mhfa\.zip: a damaged zip file"):
        released("mhfa", path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("avg_model.pt", bytes(1 << 21))
    with pytest.raises(MasdError, match=r"mhfa\.zip: avg_model\.pt swells to 2097152 bytes"):
        released("mhfa", path)
