"""Pretrained front ends: the three checkpoint formats, read without fairseq, give the same outputs."""

import argparse
import sys
import types

import pytest
import torch
from fairseq_names import GROUP, LAYER, SMALL, to_fairseq

from masd.errors import MasdError
from masd.models.front_ends import NAMED, FrontEnd, build, infer, read_front_end
from masd.models.ssl_aasist import SslAasist

KINDS = [
    {"kind": kind, **SMALL, **norm, **({"buckets": 8, "distance": 800} if kind == "wavlm" else {})}
    for kind in ("wav2vec2", "wavlm")
    for norm in (GROUP, LAYER)
]


def name_of(architecture):
    return f"{architecture['kind']}-{architecture['norm']}"


@pytest.fixture(params=KINDS, ids=name_of)
def front_end(request):
    torch.manual_seed(0)
    return FrontEnd(request.param).eval()


def same(one, other):
    x = torch.randn(2, 6000)
    with torch.no_grad():
        torch.testing.assert_close(one(x), other(x), rtol=1e-5, atol=1e-5)


def test_torchaudio_files(front_end, tmp_path):
    torch.save(front_end.model.state_dict(), tmp_path / "model.pth")
    same(read_front_end(tmp_path / "model.pth").eval(), front_end)


def test_fairseq_files_hold_settings_as_objects_which_are_not_run(front_end, tmp_path, monkeypatch):
    """The settings' classes are stood in for: argparse's, and those of packages that are not there."""
    dictionary = type("Dictionary", (), {"__module__": "fairseq.data.dictionary", "symbols": ["a"]})
    for name in ("fairseq", "fairseq.data", "fairseq.data.dictionary"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules["fairseq.data.dictionary"].Dictionary = dictionary
    path = tmp_path / "fairseq.pt"
    state = {"model": to_fairseq(front_end.model.state_dict()), "cfg": {"task": {"normalize": True}}}
    torch.save(state | {"task_state": {"dictionaries": [dictionary()]}}, path)
    monkeypatch.undo()  # it is not there when the file is read
    same(read_front_end(path).eval(), front_end)
    torch.save(state | {"args": argparse.Namespace(arch="wav2vec2")}, path)
    same(read_front_end(path).eval(), front_end)


@pytest.mark.parametrize("stranger", ["os.system", "builtins.eval"])
def test_a_file_that_wants_any_other_code_is_refused(tmp_path, stranger):
    module, name = stranger.rsplit(".", 1)
    import importlib

    function = getattr(importlib.import_module(module), name)

    class Bomb:
        def __reduce__(self):
            return function, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    torch.save({"model": {}, "args": Bomb()}, tmp_path / "bomb.pt")
    with pytest.raises(MasdError, match="pickled objects"):
        read_front_end(tmp_path / "bomb.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("family", ["Wav2Vec2", "Hubert", "WavLM"])
@pytest.mark.parametrize("first", [False, True])
def test_hugging_face_folders_give_what_transformers_gives(family, first, tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, conv_dim=[8] * 7,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, do_stable_layer_norm=first,
        feat_extract_norm="layer" if first else "group", conv_bias=first, vocab_size=5,
    )  # fmt: skip
    original = getattr(transformers, f"{family}Model")(config).eval()
    original.save_pretrained(tmp_path)
    mine = read_front_end(tmp_path).eval()
    x = torch.randn(2, 6000)
    given = torch.nn.functional.layer_norm(x, x.shape[1:]) if first else x
    with torch.no_grad():
        reference = original(given, output_hidden_states=True)
        torch.testing.assert_close(mine(x), reference.last_hidden_state, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(mine.all_layers(x)[0], reference.hidden_states[1], rtol=1e-4, atol=1e-5)


def test_a_checkpoint_with_another_shape_is_refused_by_name(front_end, tmp_path):
    state = front_end.model.state_dict()
    state["encoder.transformer.layers.1.final_layer_norm.weight"] = torch.zeros(3)
    torch.save(state, tmp_path / "model.pth")
    with pytest.raises(MasdError, match=r"layers\.1\.final_layer_norm\.weight is \(3,\) .* \(64,\)"):
        read_front_end(tmp_path / "model.pth")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(MasdError, match=r"other\.pth: no wav2vec 2\.0"):
        read_front_end(tmp_path / "other.pth")


@pytest.mark.parametrize("name", ["wav2vec2_base", "wav2vec2_xlsr_300m", "hubert_large", "wavlm_large"])
def test_named_architectures_are_torchaudios_and_told_by_their_shapes(name):
    import torchaudio

    with torch.device("meta"):
        mine = build(NAMED[name]).state_dict()
        published = getattr(torchaudio.models, name)().state_dict()
    assert {k: v.shape for k, v in mine.items()} == {k: v.shape for k, v in published.items()}
    assert infer(mine, {}, name) == NAMED[name]


def test_layers_are_weighted_and_front_ends_stand_side_by_side():
    torch.manual_seed(0)
    ends = [FrontEnd(KINDS[1]), FrontEnd(KINDS[3])]
    net = SslAasist(ends, tuned=False).eval()
    net.layer_weights[0].data = torch.tensor([0.0, 100.0])
    x = torch.randn(1, 16000)
    with torch.no_grad():
        frames = net.frames(x)
        torch.testing.assert_close(frames[..., :64], ends[0].all_layers(x)[1])
        torch.testing.assert_close(frames[..., 64:], ends[1].all_layers(x).mean(0))


@pytest.mark.parametrize("tuned", [True, False])
def test_front_ends_are_trained_on_or_frozen(tuned):
    torch.manual_seed(0)
    net = SslAasist([FrontEnd(KINDS[1])], tuned).train()
    embedding, logits = net(torch.randn(2, 16000))
    assert embedding.shape == (2, 160)
    logits.sum().backward()
    inside = [p.grad for p in net.front_ends.parameters()]
    assert any(g is not None and g.abs().sum() > 0 for g in inside) == tuned
    assert net.front_ends[0].training == tuned
    assert net.project.weight.grad.abs().sum() > 0
